"""Stages in order, one repair per failure, always from the best so far - as a pure function of the record."""

from itertools import pairwise

import pytest

from agent.budget import WorstCase, exhausted, refusal, warnings
from agent.decision import decide
from agent.policy import Position
from agent.strategies.linear import Linear
from evaluators.evaluation import Estimate, Failed, KernelResources, Passed, Unverified
from prompts.stage import Stage
from runs.nouns import Attempt, Attempted, Budget, Proposed, Usage
from runs.state import fold

STAGES = (
    Stage(key="algorithm", order=1, title="", focus="", proposals=3),
    Stage(key="grid", order=2, title="", focus=""),
    Stage(key="tuning", order=3, title="", focus=""),
)


def next_plan(state, stages):
    return Linear().next(Position(state, stages))


COMMON = {"problem": "p", "gpu": "4090"}


def spilling(spills):
    kernel = KernelResources(
        name="k", grid=(1, 1, 1), registers=40, spills=spills, shared_memory_bytes=0, theoretical_occupancy_pct=50.0,
        occupancy_limiter="registers", num_warps=4, num_stages=1, waves=1.0,
    )  # fmt: skip
    return {**COMMON, "kernels": (kernel,)}


def unbounded(spills=0):
    """As CUDA text is without a GPU: passed, compiled, no bound."""
    return Passed(candidate_id="u", **spilling(spills))


def passed(ms, candidate="c", spills=0):
    estimate = Estimate(value_ms=ms, limiter="issue", assumptions=(), unmodelled=(), target="sm_89")
    return Passed(candidate_id=candidate, estimate=estimate, **spilling(spills))


def failed(kind="compile_error", candidate="c"):
    return Failed(candidate_id=candidate, rung="build", kind=kind, message="m", **COMMON)


def play(*outcomes):
    """Make attempts with these evaluations (None: no code in the reply) as the loop would; return the state."""
    events = []
    for number, evaluation in enumerate(outcomes, 1):
        state = fold(events)
        plan = next_plan(state, STAGES)
        decision, reason = decide(evaluation, state.best)
        events.append(
            Attempted(
                attempt=Attempt(
                    number=number,
                    parent=plan.parent,
                    stage=plan.stage.key,
                    role=plan.role,
                    plan="",
                    candidate_id=f"c{number}" if evaluation else None,
                    evaluation=evaluation,
                    decision=decision,
                    reason=reason,
                    usage=Usage(requests=1, cost_usd=0.01),
                    started_at="t",
                    seconds=1.0,
                )
            )
        )
    return fold(events)


def trace(state):
    return [(a.stage, a.role, a.parent, a.decision) for a in state.attempts]


def test_a_failed_attempt_is_repaired_once_then_the_stages_go_on_from_the_best():
    state = play(passed(10), failed(), failed(), passed(4), passed(5), failed(), passed(1))
    assert trace(state) == [
        ("algorithm", "propose", None, "keep"),
        ("algorithm", "optimize", 1, "discard"),
        ("algorithm", "repair", 2, "discard"),
        ("grid", "optimize", 1, "keep"),
        ("tuning", "optimize", 4, "discard"),
        ("algorithm", "optimize", 4, "discard"),
        ("algorithm", "repair", 6, "keep"),
    ]
    assert state.best.number == 7


def test_without_any_kernel_the_first_stage_is_asked_again():
    state = play(None, None, failed(), failed())
    assert trace(state) == [
        ("algorithm", "propose", None, "discard"),
        ("algorithm", "repair", 1, "discard"),
        ("algorithm", "propose", None, "discard"),
        ("algorithm", "repair", 3, "discard"),
    ]
    assert next_plan(state, STAGES).role == "propose"


def test_a_stage_goes_on_only_while_it_gains_and_within_its_proposals():
    gains = play(passed(10), passed(8), passed(6), passed(5))
    assert [a.stage for a in gains.attempts] == ["algorithm"] * 3 + ["grid"]
    stalls = play(passed(10), passed(12), passed(12))
    assert [a.stage for a in stalls.attempts] == ["algorithm", "algorithm", "grid"]


@pytest.mark.parametrize(
    ("challenger", "best", "decision", "words"),
    [
        (passed(10), None, "keep", "first candidate"),
        (passed(9), passed(10), "keep", "no difference is claimed"),
        (passed(4), passed(10), "keep", "2.5x"),
        (passed(9.95), passed(10), "discard", "no gain"),
        (passed(11), passed(10), "discard", "no gain"),
        (passed(1.2996), passed(1.2998), "discard", "1.2996 ms against 1.2998 ms of attempt 1, less than 1 % lower"),
        (failed("timeout"), None, "crash", "timeout"),
        (failed(), passed(10), "discard", "compile_error"),
        (None, passed(10), "discard", "no candidate"),
        (passed(99), "unverified", "keep", "unverified"),
        ("unverified", passed(1), "discard", "passed"),
        ("unverified", None, "keep", "unverified"),
        (unbounded(), passed(1), "discard", "no complete estimate"),
        (unbounded(), unbounded(), "discard", "equal spills"),
        (unbounded(spills=8), unbounded(), "discard", "8 bytes spilled in place of 0"),
        (unbounded(), unbounded(spills=8), "keep", "0 bytes spilled in place of 8"),
        (passed(10), unbounded(), "keep", "which is faster is not known here"),
        (passed(10, spills=8), unbounded(), "discard", "8 bytes spilled in place of 0"),
    ],
)
def test_decisions(challenger, best, decision, words):
    unverified = Unverified(candidate_id="c", rung="correctness", message="m", **COMMON)
    challenger = unverified if challenger == "unverified" else challenger
    best = unverified if best == "unverified" else best
    incumbent = play(best).best if best else None
    got, reason = decide(challenger, incumbent)
    assert got == decision
    assert words in reason


def test_budgets_name_what_ended_and_never_take_an_unknown_price_for_free():
    state = play(passed(10), passed(9))
    assert exhausted(Budget(max_attempts=3), state, elapsed_s=5) is None
    assert "attempts used up" in exhausted(Budget(max_attempts=2), state, elapsed_s=5)
    assert "time used up" in exhausted(Budget(max_attempts=9, max_seconds=5), state, elapsed_s=5)
    assert exhausted(Budget(max_attempts=9, max_seconds=9), state, elapsed_s=8) is None, "one takes a second"
    assert "one takes 1 s" in exhausted(Budget(max_attempts=9, max_seconds=9), state, elapsed_s=8.1)
    profiled = play(passed(10).model_copy(update={"rung_seconds": {"profile": 0.75}}))
    assert exhausted(Budget(max_attempts=9, max_seconds=9), profiled, elapsed_s=8.7) is None, (
        "only a new best is profiled"
    )
    assert "one takes" in exhausted(Budget(max_attempts=9, max_seconds=9), profiled, elapsed_s=8.8)
    assert refusal(Budget(max_cost_usd=0.05), state.usage, WorstCase(0.02)) is None
    assert "cost cap" in refusal(Budget(max_cost_usd=0.03), state.usage, WorstCase(0.02))
    assert "unknown" in refusal(Budget(max_cost_usd=1), state.usage, WorstCase(None))
    assert "token cap" in refusal(Budget(max_tokens=10), state.usage, WorstCase(0.0, 11))


def test_a_warning_is_said_once_at_half_and_at_four_fifths():
    states = [play(*[passed(10 - number) for number in range(count)]) for count in range(11)]
    said = [warnings(Budget(max_attempts=10, max_cost_usd=0.1), before, after) for before, after in pairwise(states)]
    assert [number for number, lines in enumerate(said, 1) if lines] == [5, 8]
    (over,) = warnings(Budget(max_seconds=1.8), states[1], states[2])
    assert over == "111 % of --max-seconds is spent (2 of 1.8)"
    (last,) = warnings(Budget(max_attempts=2), states[1], states[2])
    assert last == "all of --max-attempts is spent (2 of 2)"
    assert said[4] == ["50 % of --max-attempts is spent (5 of 10)", "50 % of --max-cost is spent (0.05 of 0.1)"]


def test_a_paid_reply_is_finished_even_when_the_budget_is_spent():
    events = [
        Proposed(
            number=1, parent=None, stage="algorithm", role="propose", usage=Usage(), reply_sha256="x", started_at="t"
        )
    ]
    state = fold(events)
    assert state.next_number == 1
    assert exhausted(Budget(max_attempts=1, max_cost_usd=0.0), state, elapsed_s=0) is None


def test_the_best_never_regresses_over_random_histories():
    import random

    chance = random.Random(7)
    for _ in range(200):
        outcomes = [
            chance.choice([None, failed(), failed("timeout"), passed(chance.uniform(1, 100))])
            for _ in range(chance.randrange(1, 15))
        ]
        state = play(*outcomes)
        figures = [o.estimate.value_ms for o in outcomes if o is not None and o.verdict == "passed"]
        if figures:
            best = state.best.evaluation.estimate.value_ms
            assert min(figures) <= best <= min(figures) * 1.01 ** len(figures)
