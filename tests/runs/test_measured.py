"""What was measured, wherever it is shown: made-up figures (tests/measured.py) beside compiled and estimated ones."""

import io
import json

import measured
import pytest

from agent.exits import figure_text
from runs.export import export_source
from runs.exporters.fields import evaluation_fields
from runs.list_rows import list_json, list_row
from runs.listing import Listing
from runs.live import outcome, view_for
from runs.measured import COLUMNS, columns, dram_bytes, headline
from runs.measured_text import clock_lines, duel_text, measured_lines, speedup_text, time_text
from runs.nouns import Budget, Confirmed
from runs.record import open_record
from runs.report.figures import changes, figures_of
from runs.report.page import report_html
from runs.show import attempt_lines, run_lines
from runs.stage_return import stage_returns
from runs.store import now


def evaluation_of(directory, number):
    return directory.state().attempt(number).evaluation


def test_measured_columns_are_there_only_where_something_was_measured(recorded, recorded_measured):
    state = recorded_measured.state()
    timed = columns(attempt.evaluation for attempt in state.attempts)
    assert [column.title for column in timed] == [column.title for column in COLUMNS]
    assert columns(attempt.evaluation for attempt in state.attempts[:4]) == ()
    on_target = columns([evaluation_of(recorded_measured, 6)])
    assert "measured_on" not in [column.title for column in on_target]


def test_the_table_has_measured_and_estimated_figures_in_different_columns(recorded_measured):
    lines = run_lines(recorded_measured)
    head = next(line for line in lines if line.startswith("#"))
    rows = {line.split()[0]: line for line in lines if line[:1].isdigit()}

    titles = head.split()
    for title in ("ms", "p20-p80", "x_eager", "x_best", "floor_%", "dram_%", "tensor_%", "measured_on", "estimated_ms"):
        assert titles.count(title) == 1
    sixth = dict(zip(titles, rows["6"].split(), strict=False))
    assert (sixth["ms"], sixth["p20-p80"], sixth["x_eager"], sixth["x_best"]) == ("2.5", "2.475-2.525", "4", "2")
    assert (sixth["floor_%"], sixth["dram_%"], sixth["tensor_%"]) == ("40", "61.0", "0.0")
    assert sixth["measured_on"] == "-" and sixth["estimated_ms"] == "3.25"
    assert measured.OTHER in rows["8"] and measured.OTHER not in rows["6"]
    assert "0.1" not in rows["7"].split(), "clocks that disagree give no time"
    (tiling,) = [line for line in lines if line.startswith("tiling")]
    assert tiling.split()[3] == "1.6", "time before / after"


def test_one_attempt_says_time_speedups_floor_baselines_clocks_duel_and_profile(recorded_measured):
    text = "\n".join(attempt_lines(recorded_measured, 6))
    for part in (
        f"time, measured on {measured.TARGET}: 2.5 ms (p20 to p80: 2.475 to 2.525) by device events",
        "4x over eager, 2x over the best same-precision baseline (channels_last_3d); 40 % of the floor (1 ms, arithmetic)",
        "25 calls verified; precision class tf32",
        "outside, the judge's clock: 2.55 ms",
        "eager is of class tf32",
        "made up: Inductor did not compile it \\x1b[31m<U+202E><script>",
        "1.25x over candidate",
        "faster beyond doubt",
        ": lts__t_sector_hit_rate.pct",
        "dram__throughput.avg.pct_of_peak_sustained_elapsed",
        "estimate (a model's lower bound, uncalibrated, not measured): 3.25 ms",
    ):
        assert part in text, part
    assert "\x1b" not in text and "\u202e" not in text


def test_clocks_that_disagree_are_shown_against_each_other_and_give_no_speedup(recorded_measured):
    lines = measured_lines(evaluation_of(recorded_measured, 7))
    assert "not believed" in lines[0] and "outside / inside 41" in lines[2]
    assert not [line for line in lines if "over eager" in line]
    assert "measured" not in outcome(recorded_measured.state().attempt(7))
    assert not [name for name, figure in figures_of(evaluation_of(recorded_measured, 7)).items() if "time" in name]
    fields = evaluation_fields(recorded_measured.state().attempt(7))
    assert not [name for name in fields if "measured" in name or "speedup" in name]
    assert "inside, device events: none" in clock_lines(measured.timing(inside=None))[1]


def test_another_device_is_named_wherever_its_time_stands(recorded_measured):
    evaluation, attempt = evaluation_of(recorded_measured, 8), recorded_measured.state().attempt(8)
    words = (
        time_text(evaluation.timing),
        outcome(attempt),
        figure_text(evaluation),
        export_source(recorded_measured, 8),
    )
    for text in (*words, "\n".join(measured_lines(evaluation))):
        assert measured.OTHER in text
    assert "not the target" in time_text(evaluation.timing)
    assert measured.TARGET not in time_text(evaluation_of(recorded_measured, 6).timing)


def test_figures_of_two_devices_are_not_compared(recorded_measured):
    sixth, eighth, fifth = (figures_of(evaluation_of(recorded_measured, number)) for number in (6, 8, 5))
    assert not [change for change in changes(sixth, eighth) if change.after.origin == "measured"]
    found = {change.after.name: change for change in changes(fifth, sixth)}
    assert found["time_ms"].percent == "-37.5 %" and found["time_ms"].direction == "better"
    assert found["scale: dram__throughput.avg.pct_of_peak_sustained_elapsed"].after.value == 61.0


def test_the_floor_and_the_best_baseline_are_of_the_candidates_own_class():
    assert measured.timing(precision="fp32").best_baseline.name == "fp32_highest"
    assert "8x over the best same-precision baseline (fp32_highest)" in speedup_text(measured.timing(precision="fp32"))
    assert speedup_text(measured.timing(20.0)).endswith("the library is faster")
    assert "eager was not timed" in speedup_text(measured.timing(baselines=None))


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.8, "faster beyond doubt"), (1.2, "slower beyond doubt"), (1.0, "no difference shown")]
)
def test_a_duel_is_a_speedup_with_its_interval(ratio, words):
    text = duel_text(measured.duel("x", ratio), "attempt 3")
    assert text.endswith(words) and "95 % interval" in text and "30 interleaved pairs" in text


def test_the_metric_of_the_kernel_that_takes_longest_counts():
    profile = measured.profile()
    assert headline(profile, ("dram__throughput.avg.pct_of_peak_sustained_elapsed",)).kernel == "scale"
    assert dram_bytes(profile) == 7e9 and dram_bytes(None) is None


def test_runs_and_stages_have_measured_figures_of_their_own(recorded_measured):
    (line,) = Listing(recorded_measured.path.parent).lines()
    assert line.times == [None] * 4 + [4.0, 2.5, None, None] and line.device == measured.TARGET.encode()
    summary = list_row(line)
    assert (summary["ms"], summary["x_eager"], summary["estimated_ms"]) == ("2.5", "4", "3.25")
    assert list_json(line)["measured"]["median_ms"] == 2.5 and list_json(line)["measured"]["speedup_over_eager"] == 4.0
    tiling = stage_returns(recorded_measured.state())[-1]
    assert (tiling.time_ratio, tiling.bound_ratio) == (1.6, 1.0)


def test_the_live_line_and_the_export_say_the_measured_time(recorded_measured):
    stream = io.StringIO()
    with view_for(stream, budget=Budget()) as view:
        view.attempt(recorded_measured.state().attempt(6))
    assert "passed 2.5 ms (measured), 4x over eager, 2x over best baseline" in stream.getvalue()
    header = export_source(recorded_measured).partition("import torch")[0]
    assert f"time, measured on {measured.TARGET}: 2.5 ms" in header and "NOT MEASURED" not in header
    assert "estimated lower bound (uncalibrated): 3.25 ms" in header


def test_tools_get_the_speedup_as_score_and_the_device(recorded_measured):
    fields = evaluation_fields(recorded_measured.state().attempt(6))
    assert fields["gen_ai.evaluation.score.value"] == 4.0 and fields["kernel.device"] == measured.TARGET
    assert fields["kernel.measured_ms"] == 2.5 and fields["kernel.estimated_bound_ms"] == 3.25
    assert json.dumps(fields)


def test_what_judging_the_best_once_more_gave_is_said_wherever_it_is_shown(recorded_measured):
    state = recorded_measured.state()
    wrong = state.attempts[0].evaluation
    assert "It was not judged once more on fresh seeds." in report_html(recorded_measured.path)
    with open_record(recorded_measured) as record:
        record.append(Confirmed(number=6, evaluation=wrong, at=now()))
        record.append(Confirmed(number=5, evaluation=state.attempts[4].evaluation, at=now()))
    lines, page = run_lines(recorded_measured), report_html(recorded_measured.path)
    assert any("passed, refuted on fresh seeds: failed: incorrect_numerical" in line for line in lines)
    assert "refuted on fresh seeds: failed: incorrect_numerical" in attempt_lines(recorded_measured, 6)
    assert "Attempt 5 won: passed, confirmed on fresh seeds, 4 ms" in page and "refuted on fresh seeds: 1" in page
    (line,) = Listing(recorded_measured.path.parent).lines()
    assert (line.best, line.measured["ms"]) == (5, "4")
