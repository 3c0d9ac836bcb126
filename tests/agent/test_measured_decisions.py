"""Measured candidates: the duel decides, a clock beats an estimate, what fails on fresh seeds is no best."""

import pytest

from agent.decision import decide, rank
from evaluators.evaluation import Estimate, Failed, Passed
from evaluators.measurement import Duel, Latency, Timing
from runs.nouns import Attempt, Attempted, Confirmed
from runs.state import fold

COMMON = {"problem": "p", "gpu": "h100-sxm"}


def timing(ms):
    latency = Latency(median_ms=ms, p20_ms=ms, p80_ms=ms, samples=9)
    return Timing(
        device="NVIDIA H100",
        is_target=True,
        latency=latency,
        clock="device events",
        outside=latency,
        protocol_ms=2.0,
        protocol_spread_ms=0.05,
        verified_calls=9,
        floor_ms=0.3,
        floor_limiter="memory",
        precision="tf32",
    )


def passed(ms=None, *, duel=None, bound=1.0, candidate="c"):
    estimate = Estimate(value_ms=bound, limiter="issue", assumptions=(), unmodelled=())
    measured = timing(ms) if ms else None
    return Passed(candidate_id=candidate, estimate=estimate, timing=measured, duel=duel, **COMMON)


def attempt(number, evaluation, decision="keep"):
    return Attempt(
        number=number,
        parent=None,
        stage="algorithm",
        role="propose",
        plan="",
        candidate_id=f"c{number}",
        evaluation=evaluation,
        decision=decision,
        reason="",
        started_at="t",
        seconds=1.0,
    )


def duel(ratio, low, high):
    return Duel(incumbent_id="c1", ratio=ratio, low=low, high=high, pairs=12)


@pytest.mark.parametrize(
    ("challenger", "best", "decision", "words"),
    [
        (passed(0.9, duel=duel(0.9, 0.88, 0.93)), passed(1.0), "keep", "1.111x (1.075-1.136) the speed"),
        (passed(0.99, duel=duel(0.99, 0.96, 1.01)), passed(1.0), "discard", "no gain beyond doubt"),
        (passed(2.0), passed(1.0), "discard", "clearly slower"),
        (passed(5.0), passed(), "keep", "only estimated"),
        (passed(), passed(5.0), "discard", "not measured"),
        (passed(0.5, duel=duel(0.5, 0.4, 0.6), bound=9.0), passed(1.0, bound=1.0), "keep", "measured 0.5 ms"),
    ],
)
def test_the_clock_decides(challenger, best, decision, words):
    got, reason = decide(challenger, attempt(1, best))
    assert got == decision
    assert words in reason


def test_measured_candidates_are_ranked_by_time():
    assert min([passed(3.0, bound=0.1), passed(1.0, bound=9.0)], key=rank).timing.latency.median_ms == 1.0


def test_a_best_that_fails_on_fresh_seeds_gives_its_place_back():
    events = [Attempted(attempt=attempt(1, passed(2.0))), Attempted(attempt=attempt(2, passed(1.0)))]
    assert fold(events).best.number == 2
    held = [*events, Confirmed(number=2, evaluation=passed(1.0), at="t")]
    assert fold(held).best.number == 2
    assert fold(held).confirmation(2)
    wrong = Failed(candidate_id="c2", rung="timing", kind="incorrect_numerical", message="m", **COMMON)
    assert fold([*events, Confirmed(number=2, evaluation=wrong, at="t")]).best.number == 1
