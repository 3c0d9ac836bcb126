"""The table of Nsight Compute, read: rows as ncu 2025.3 printed them on an H100, and rows for what it did not show."""

import pytest

from evaluators.profiling.table import metrics_of, read, refusals
from evaluators.profiling.trace import metrics_in

DURATION, BYTES, STALLS = (
    "gpu__time_duration.sum",
    "dram__bytes.sum",
    "smsp__warp_issue_stalled_barrier_per_warp_active.pct",
)
WANTED = (DURATION, BYTES, STALLS, "lts__t_sector_hit_rate.pct", "sm__absent.pct")
REPORT = '''==PROF== Connected to process 4711 (/usr/bin/python3.12)
==PROF== Profiling "conv" - 0: 0%....50%....100% - 9 passes
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC","device__attribute_clock_rate","dram__bytes.sum","gpu__time_duration.sum","lts__t_sector_hit_rate.pct","smsp__warp_issue_stalled_barrier_per_warp_active.pct"
"","","","","","","","","","","","","byte","ns","%","%"
"0","4711","python3.12","127.0.0.1","conv","1","7","(128, 1, 1)","(4, 1, 1)","0","9.0","1,980,000","1,073,741,824","3,000,000","n/a","10.5"
"1","4711","python3.12","127.0.0.1","fill, ""zero""","1","7","(128, 1, 1)","(4, 1, 1)","0","9.0","1,980,000","1,024","1,000","nan","0"
"2","4711","python3.12","127.0.0.1","conv","1","7","(128, 1, 1)","(4, 1, 1)","0","9.0","1,980,000","1,000,000","1,000,000","n/a","2.5"
==PROF== Disconnected from process 4711
'''

# An H100 printed it; of its 274 columns those of the device and of launches that nobody asked for are cut to a few, and
# the names beyond the 45th, which were not kept, are put back by the order of the figures: avg, max, min, sum.
PRINTED = """==PROF== Disconnected from process 1743
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC","c2clink__enabled_mask","device__attribute_clock_rate","device__attribute_confidential_computing_mode","device__attribute_display_name","dram__bytes.avg","dram__bytes.max","dram__bytes.min","dram__bytes.sum","gpu__time_duration.avg","gpu__time_duration.sum","launch__func_cache_config","launch__preferred"
"","","","","","","","","","","","","","","","byte","byte","byte","byte","ns","ns","",""
"0","1743","python3.12","127.0.0.1","add_one","1","7","(256, 1, 1)","(1024, 1, 1)","0","9.0","0","1,980,000","No-CC","NVIDIA H100 80GB HBM3","26,291.20","27,136","24,576","1,051,648","3,616","3,616","CachePreferNone",""
"""


def test_what_an_h100_printed_is_read():
    (launch,) = read(PRINTED, (DURATION, BYTES, STALLS))
    assert launch.kernel == "add_one"
    assert launch.values == {DURATION: 3616.0, BYTES: 1051648.0}
    assert launch.units == {DURATION: "ns", BYTES: "byte"}
    assert read(PRINTED, ("dram__bytes.avg",))[0].values == {"dram__bytes.avg": 26291.2}


@pytest.fixture
def launches():
    return read(REPORT, WANTED)


def test_launches_hold_what_was_wanted_with_its_unit_and_nothing_else(launches):
    assert [launch.kernel for launch in launches] == ["conv", 'fill, "zero"', "conv"]
    assert launches[0].values == {DURATION: 3e6, BYTES: 1073741824.0, STALLS: 10.5}
    assert launches[0].units == {DURATION: "ns", BYTES: "byte", STALLS: "%"}
    assert launches[0].refused == {"lts__t_sector_hit_rate.pct": "n/a"}


def test_launches_of_one_kernel_add_up_or_are_weighted_by_their_time(launches):
    found = {(metric.kernel, metric.name): metric.value for metric in metrics_of(launches, "ncu")}
    assert found[("conv", "launches")] == 2
    assert found[("conv", DURATION)] == 4e6
    assert found[("conv", BYTES)] == 1074741824.0
    assert found[("conv", STALLS)] == pytest.approx((3 * 10.5 + 2.5) / 4)
    assert found[('fill, "zero"', DURATION)] == 1000
    assert ("conv", "lts__t_sector_hit_rate.pct") not in found


def test_what_did_not_come_has_a_reason(launches):
    assert refusals(launches, WANTED) == {
        "lts__t_sector_hit_rate.pct": "Nsight Compute printed 'n/a'",
        "sm__absent.pct": "Nsight Compute printed no such column",
    }


@pytest.mark.parametrize(
    "text", ["", "==ERROR== nothing", '"a","b"\n"1","2"\n"3","4"\n', REPORT.partition('"0","4711"')[0]]
)
def test_text_without_a_table_gives_no_launch(text):
    assert read(text, WANTED) == []


def test_a_trace_is_read_with_suspicion():
    honest = ["conv", 2e6, 3]
    forged = [["x"], ["x", "fast", 1], ["x", float("nan"), 1], ["x", 1.0, 0], ["x", True, 1], [1, 1.0, 1], "conv", None]
    found = metrics_in({"kernels": [honest, *forged]})
    assert [(m.kernel, m.name, m.value, m.source) for m in found] == [
        ("conv", "launches", 3, "cupti"),
        ("conv", DURATION, 2e6, "cupti"),
    ]
    assert metrics_in({"kernels": "many"}) == ()
    assert metrics_in({}) == ()
