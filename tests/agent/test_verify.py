"""What `agent verify` compares and what it does not: made-up measurements against the card of an export."""

import importlib.util
from pathlib import Path

import measured
import pytest

from agent.commands.verify import held_against
from evaluators.evaluation import Unverified
from evaluators.problem import Problem
from runs.export import export_source
from runs.exports.card import kernel_code, read_card

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("runs_conftest", ROOT / "tests" / "runs" / "conftest.py")
runs_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs_conftest)
recorded, recorded_measured = runs_conftest.recorded, runs_conftest.recorded_measured


@pytest.fixture
def judge(recorded_measured):
    """`judge(timing=..., ...)`: what is found where the verdict differs from the recorded one in this."""
    text = export_source(recorded_measured)
    problem = Problem.model_validate_json(recorded_measured.run.config.problem_source)
    evaluation = recorded_measured.state().best.evaluation

    def found(card=None, verdict=evaluation, **changed):
        claimed = read_card(text).model_copy(update=card or {})
        return held_against(claimed, verdict.model_copy(update=changed), problem, kernel_code(text) + "\n")

    return found


def words(finding):
    return "\n".join([*finding.regressions, *finding.notes])


def test_the_same_verdict_holds_and_both_speeds_are_compared(judge):
    finding = judge()
    assert finding.regressions == []
    assert len(finding.notes) == 2, finding.notes
    assert "measured time on NVIDIA GeForce RTX 4090: 2.5 ms" in finding.notes[0]
    assert finding.notes[1] == "estimated bound: 3.25 ms, the card says 3.25 ms"


@pytest.mark.parametrize(("median_ms", "is_worse"), [(2.0, False), (2.6, False), (2.75, True), (5.0, True)])
def test_a_time_beyond_both_intervals_and_a_margin_is_a_regression(judge, median_ms, is_worse):
    found = judge(timing=measured.timing(median_ms)).regressions
    assert [text.partition(":")[0] for text in found] == (["measured time on NVIDIA GeForce RTX 4090"] * is_worse)


def test_times_of_two_devices_are_not_compared(judge):
    finding = judge(timing=measured.timing(50.0, device=measured.OTHER))
    assert finding.regressions == []
    assert f"measured time: not compared, the card's is of {measured.TARGET}, here {measured.OTHER}" in finding.notes


def test_times_by_two_clocks_are_compared_by_the_one_that_both_have(judge):
    def by_the_judges_clock(median_ms):
        return measured.timing(median_ms).model_copy(update={"clock": "judge's clock"})

    late = judge(timing=by_the_judges_clock(2.75))
    assert late.regressions == []
    assert "2.75 ms" in words(late) and "the one by judge's clock, the other by device events" in words(late)
    assert "the one by judge's clock" in judge(timing=by_the_judges_clock(5.0)).regressions[0]


def test_a_time_on_one_side_only_is_not_compared(judge):
    assert "measured time: not compared, this verdict holds none" in judge(timing=None).notes
    assert "measured time: not compared, the card holds none" in judge(card={"timing": None}).notes
    assert judge(timing=None).regressions == []


def test_bounds_are_compared_with_the_same_toolchain_only(judge):
    card = {"estimated_bound_ms": 1.0}
    assert judge(card=card).regressions == ["estimated bound: 3.25 ms, the card says 1 ms"]
    other = judge(card={**card, "toolchain": "ptxas 0.1"})
    assert other.regressions == [] and "estimated bound: not compared, the card's is of ptxas 0.1" in other.notes
    assert "not compared, the card's is for h200" in words(judge(card={**card, "gpu": "h200"}))
    assert "no complete one" in words(judge(card={**card, "is_bound_complete": False}))
    assert "no complete one" in words(judge(estimate=None))


def test_what_differs_in_the_environment_is_named_and_is_no_regression(judge):
    finding = judge(environment={**measured.ENVIRONMENT, "driver": "1000.1"})
    assert finding.regressions == [] and "driver differs: card 999.99, here 1000.1" in finding.notes


def test_unverified_is_a_regression_unless_only_the_gpu_of_the_card_is_missing(judge):
    fields = {"candidate_id": "c", "problem": "p", "gpu": "rtx-4090", "rung": "correctness", "message": "Gluon"}
    without_gpu = Unverified(**fields, environment={"torch": "2.0"})
    finding = judge(verdict=without_gpu)
    assert finding.regressions == [] and f"device differs: card {measured.TARGET}, here none" in finding.notes
    assert any(note.startswith("verdict: unverified") and note.endswith("Gluon") for note in finding.notes)
    on_the_gpu = judge(verdict=Unverified(**fields, environment=measured.ENVIRONMENT))
    assert [text.partition(",")[0] for text in on_the_gpu.regressions] == ["verdict: unverified"]
    both_without = judge(verdict=without_gpu, card={"environment": {"torch": "2.0"}})
    assert [text.partition(",")[0] for text in both_without.regressions] == ["verdict: unverified"]
