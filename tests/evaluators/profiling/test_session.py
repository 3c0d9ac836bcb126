"""One pass behind the real sandbox, with a stand-in for Nsight Compute; and why it delivers nothing, in words."""

import os
from pathlib import Path

import pytest
import torch

from evaluators.judge.shared_bytes import on_host
from evaluators.profiling import reasons
from evaluators.profiling.command import options
from evaluators.profiling.place import COMBINATIONS, Profiler
from evaluators.profiling.session import Material, profile
from sandbox import Zygote

PROGRAMS = Path(__file__).parent / "programs"
NCU = str(PROGRAMS / "stand_in" / "ncu")
BEYOND_LANDLOCK = str(PROGRAMS / "stand_in" / "ncu_beyond_landlock")
DURATION, BYTES = "gpu__time_duration.sum", "dram__bytes.sum"


@pytest.fixture(scope="module")
def profiler():
    with Zygote(("evaluators.inside.command",)) as server:
        if server.tier.name != "T1":
            pytest.skip("a profiler needs namespaces and a root of its own")
    found = Profiler(search_path=(str(PROGRAMS),))
    yield found
    found.close()


@pytest.fixture
def material():
    shared, code = on_host(1 << 20), os.memfd_create("code")
    yield Material("# the candidate", "[]", shared.descriptor, code)
    shared.close()
    os.close(code)


def test_the_command_line_asks_for_the_metrics_and_leaves_the_machine_alone():
    line = " ".join(options(("a.sum", "b.pct")))
    assert line.startswith("--metrics a.sum,b.pct --profile-from-start off")
    assert "--clock-control none" in line
    assert "--csv --page raw --print-units base" in line


def test_figures_arrive_and_unknown_metrics_are_said(profiler, material):
    delivered = profile(profiler, NCU, material, (DURATION, "smsp__unknown.pct", "sm__absent.pct"))
    assert [(launch.kernel, launch.values) for launch in delivered.launches] == [("conv", {DURATION: 2000.0})]
    assert delivered.missing == {
        "smsp__unknown.pct": "this Nsight Compute does not know the metric on this GPU",
        "sm__absent.pct": "Nsight Compute printed no such column",
    }


def test_a_metric_that_silences_everything_costs_only_the_stage_its_own(profiler, material):
    delivered = profile(profiler, NCU, material, (DURATION, BYTES, "sm__unmentioned.pct"))
    assert delivered.launches[0].values == {DURATION: 2000.0, BYTES: 1000.0}
    assert "said nothing" in delivered.missing["sm__unmentioned.pct"]


def test_nothing_delivered_has_its_reason(profiler, material):
    assert profile(profiler, NCU, material, ("forbidden",)).reason == reasons.PERMISSION


@pytest.mark.parametrize(("ncu", "said"), [("/nowhere/ncu", "No such file"), ("/bin/false", "exit code")])
def test_a_profiler_that_works_nowhere_has_its_reason(profiler, material, ncu, said):
    other = Profiler()
    assert said in profile(other, ncu, material, (DURATION,)).reason
    assert other.place(ncu).zygote is None
    other.close()


def test_named_pipes_are_there_for_a_profiler_behind_every_layer(profiler, material):
    """Nsight Compute starts its program through them; behind Landlock as it is for candidates they are refused."""
    place = profiler.place(NCU)
    assert place.zygote is not None
    assert place.note == ""
    assert "landlock" in " ".join(place.zygote.tier.layers)


@pytest.mark.usefixtures("profiler")
@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_what_the_tiny_kernel_says_goes_before_what_its_profiler_says():
    other = Profiler(search_path=(str(PROGRAMS),))
    assert other.place(str(PROGRAMS / "stand_in" / "ncu_of_nothing")).reason.startswith(
        "under Nsight Compute: no CUDA driver"
    )


@pytest.mark.usefixtures("profiler")
@pytest.mark.skipif(PROGRAMS.is_relative_to("/tmp"), reason="an own /tmp hides this checkout, which lies below /tmp")
def test_landlock_is_left_off_last_and_the_figures_say_so(material):
    other = Profiler(search_path=(str(PROGRAMS),))
    place = other.place(BEYOND_LANDLOCK)
    assert place.zygote is not None, place.reason
    assert "own root" in place.zygote.tier.layers
    assert "landlock" not in " ".join(place.zygote.tier.layers)
    assert profile(other, BEYOND_LANDLOCK, material, (DURATION,)).note == COMBINATIONS[-1].note
    assert other.place("/another/ncu") is place
    other.close()


@pytest.mark.usefixtures("profiler")
def test_strict_does_without_a_profiler_rather_than_without_landlock():
    strict = Profiler("strict", search_path=(str(PROGRAMS),))
    place = strict.place(BEYOND_LANDLOCK)
    assert place.zygote is None
    assert "'strict' refuses" in place.reason


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission", "NVreg_RestrictProfilingToAdminUsers=0"),
        ("==ERROR== InterprocessLockFailed", "remove it"),
        ("==ERROR== A driver resource was unavailable. Ensure that no other tool (like DCGM)", "dcgmi profpause"),
        ("==ERROR== The current CUDA driver version is insufficient", "of the driver's version"),
        ("==ERROR== Profiling is not supported on device 0", "newer Nsight Compute"),
        ("==ERROR== LibraryNotLoaded", "reinstall"),
        ("==ERROR== Unknown Error on device 0.", "older than the driver"),
        ("==WARNING== No kernels were profiled.", "no kernel ran"),
        ("==ERROR== Failed to save memory for replay", "not enough memory"),
        ("something\n==ERROR== never seen before\n", "exit code 9: ==ERROR== never seen before"),
        ("", "nothing was printed"),
    ],
)
def test_reasons_are_recognized(printed, said):
    assert said in reasons.reason_in(printed, 9)


def test_a_pass_that_does_not_end_says_so():
    assert reasons.reason_in("", None) == "ncu did not end in time"
