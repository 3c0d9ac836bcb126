"""Every strategy with the same replies: the same attempts are judged, plans are deterministic, a resumed run goes on alike."""

import pytest
from scripted_llm import Step
from search_bench import REPLIES, reply

from agent.policy import strategy_for
from evaluators.errors import UsageError

STRATEGIES = ["linear", "beam:width=2,branching=2", "evolve:islands=2,migration=2"]


def trace(state):
    return [(a.stage, a.role, a.parent, a.decision, a.skipped) for a in state.attempts]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_replies_give_the_same_best_and_equal_runs_equal_plans(bench, strategy):
    outcomes = []
    for _ in range(2):
        bench.server.play(*(Step(text=text) for text in REPLIES))
        directory = bench.begin(strategy)
        reason, state = bench.go(directory, max_attempts=len(REPLIES))
        assert reason == "attempts used up (10)"
        prompts = [request["body"]["messages"][0]["content"] for request in bench.server.requests]
        outcomes.append((trace(state), prompts))
    assert outcomes[0] == outcomes[1]
    assert state.best.evaluation.estimate.value_ms == 2.0
    assert state.usage.output_tokens > 0
    assert state.attempts[8].reused_from == 8, "only a comment differs: the verdict is known"
    assert len(bench.table.asked) == 2 * 8


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_goes_on_as_the_uninterrupted_one(bench, strategy):
    bench.server.play(*(Step(text=text) for text in REPLIES))
    _, whole = bench.go(bench.begin(strategy), max_attempts=len(REPLIES))
    bench.server.play(*(Step(text=text) for text in REPLIES))
    directory = bench.begin(strategy)
    for limit in (3, 4, len(REPLIES)):
        _, parts = bench.go(directory, max_attempts=limit)
    assert trace(parts) == trace(whole)


def test_linear_always_starts_from_the_best(bench):
    bench.server.play(*(Step(text=text) for text in REPLIES))
    _, state = bench.go(bench.begin(), max_attempts=len(REPLIES))
    best = None
    for attempt in state.attempts:
        if attempt.role == "optimize":
            assert attempt.parent == best
        best = attempt.number if attempt.decision == "keep" else best


def test_beam_keeps_several_roots_alive_and_tells_each_what_the_others_are(bench):
    bench.server.play(*(Step(text=text) for text in REPLIES))
    _, state = bench.go(bench.begin("beam:width=3,branching=1"), max_attempts=10)
    roots = [attempt for attempt in state.attempts if attempt.role == "propose"]
    assert len(roots) == 3
    prompts = [request["body"]["messages"][0]["content"] for request in bench.server.requests]
    assert "choose another algorithm family" not in prompts[0]
    assert "tried already: attempt 1: plain" in prompts[1]
    parents = {attempt.parent for attempt in state.attempts if attempt.role == "optimize"}
    assert len(parents) > 1, "more than the best is continued"


def test_evolve_shows_a_partner_of_another_behaviour_and_migrates(bench):
    replies = [reply("direct", 128), reply("gemm", 256), reply("scatter", 64), reply("scatter", 256)]
    replies += [reply("gemm", tile) for tile in (200, 190, 180, 170)]
    bench.server.play(*(Step(text=text) for text in replies))
    _, state = bench.go(bench.begin("evolve:islands=2,migration=3"), max_attempts=8)
    prompts = [request["body"]["messages"][0]["content"] for request in bench.server.requests]
    assert any("# Another candidate to take over from" in prompt for prompt in prompts)
    behaviours = {attempt.behaviour for attempt in state.attempts}
    assert behaviours == {"scalar/pointer/fp32", "scatter/pointer/fp32"}
    islands = [attempt.number % 2 for attempt in state.attempts]
    crossed = [a for a in state.attempts if a.parent and a.parent % 2 != islands[a.number - 1]]
    assert crossed, "a migrant's parent lives on the other island"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("magic", "known: beam, evolve, linear"),
        ("beam:width", "NAME=VALUE"),
        ("beam:width=0", "at least 1"),
        ("beam:depth=2", "unknown option depth"),
        ("linear:width=2", "known: none"),
    ],
)
def test_a_wrong_strategy_is_refused_with_what_there_is(name, words):
    with pytest.raises(UsageError, match=words):
        strategy_for(name)
