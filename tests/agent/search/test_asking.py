"""Asking within limits: worst case before every call, one brief retry of a cut reply, a shorter prompt where it does not fit."""

import pytest
from scripted_llm import Step
from search_bench import reply

from agent.proposers.errors import ContextTooLong
from prompts.context import Memory
from runs.nouns import Unanswered

TOO_LONG = Step(
    status=400,
    error={"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded", "type": "invalid"},
)
PRICED = [{"id": "gpt-4o", "object": "model", "pricing": {"prompt": "0.0000025", "completion": "0.00001"}}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}


def prompt_of(request):
    return request["body"]["messages"][0]["content"]


def test_a_cost_cap_stops_before_the_call_that_could_exceed_it(bench):
    """The endpoint lists its prices, as OpenRouter does."""
    bench.server.models = PRICED
    bench.server.play(*(Step(text=reply("gemm", 256 - n), usage=USAGE) for n in range(9)))
    reason, state = bench.go(bench.begin(), max_attempts=9, max_cost_usd=0.05)
    made = len(bench.server.requests)
    assert 0 < made < 9
    assert reason.startswith("cost cap $0.05")
    worst = float(reason.rpartition("$")[2])
    assert state.usage.cost_usd <= 0.05
    assert state.usage.cost_usd + worst > 0.05
    assert len(state.attempts) == made
    assert any("% of --max-cost" in note for note in bench.view.notes) == (state.usage.cost_usd >= 0.025)


def test_a_cap_below_one_call_makes_no_call_and_no_attempt(bench):
    bench.server.models = PRICED
    bench.server.play(Step(text=reply("gemm", 64)))
    reason, state = bench.go(bench.begin(), max_attempts=9, max_cost_usd=0.001)
    assert reason.startswith("cost cap")
    assert bench.server.requests == []
    assert state.attempts == ()


def test_a_token_cap_counts_the_worst_case_and_survives_resume(bench):
    bench.server.play(*(Step(text=reply("gemm", 256 - n), usage=USAGE) for n in range(9)))
    directory = bench.begin()
    reason, state = bench.go(directory, max_attempts=9, max_tokens=20_000)
    assert reason.startswith("token cap 20000")
    made = len(state.attempts)
    assert 0 < made < 9
    reason, state = bench.go(directory, max_attempts=9, max_tokens=20_000)
    assert len(state.attempts) == made, "what was spent counts after a resume, too"
    _, state = bench.go(directory, max_attempts=9, max_tokens=40_000)
    assert len(state.attempts) > made


def test_a_cut_reply_is_asked_for_once_more_briefly_and_both_are_paid(bench):
    cut = Step(text="Plan: think\n\n```python\nimport torch\nclass Mod", finish_reason="length", usage=USAGE)
    bench.server.play(cut, Step(text=reply("gemm", 64), usage=USAGE))
    directory = bench.begin()
    _, state = bench.go(directory, max_attempts=1)
    assert len(bench.server.requests) == 2
    first, second = map(prompt_of, bench.server.requests)
    assert second.startswith(first), "the provider's prompt cache holds"
    assert "cut off at the token limit" in second[len(first) :]
    assert state.best.number == 1
    assert state.usage.input_tokens == 2000
    assert state.usage.requests == 2
    assert directory.read(1, "reply-cut.md").startswith("Plan: think")
    assert [e.reason for e in directory.events() if isinstance(e, Unanswered)] == ["cut at the token limit"]


def test_a_second_cut_reply_is_an_attempt_without_code(bench):
    cut = Step(text="still thinking", finish_reason="length", usage=USAGE)
    bench.server.play(cut, cut)
    _, state = bench.go(bench.begin(), max_attempts=1)
    assert len(bench.server.requests) == 2
    assert state.attempts[0].candidate_id is None


def test_a_cut_reply_that_holds_code_is_not_paid_twice(bench):
    bench.server.play(Step(text=reply("gemm", 64) + "\nand further", finish_reason="length", usage=USAGE))
    _, state = bench.go(bench.begin(), max_attempts=1)
    assert len(bench.server.requests) == 1
    assert state.best.number == 1


def test_a_cut_reply_is_not_asked_for_again_beyond_the_budget(bench):
    cut = Step(text="thinking", finish_reason="length", usage=USAGE)
    bench.server.play(cut, cut)
    directory = bench.begin()
    bench.go(directory, max_attempts=1)
    worst = len(directory.read(1, "prompt.md").encode()) + 2000 + 64
    bench.server.play(cut)
    _, state = bench.go(bench.begin(), max_attempts=1, max_tokens=worst + 500)
    assert len(bench.server.requests) == 1
    assert state.attempts[0].candidate_id is None
    assert any("not asked for again: token cap" in note for note in bench.view.notes)


def test_a_prompt_beyond_the_context_loses_its_parts_in_order(bench):
    memory = Memory(problem="p", gpu="g", stage="algorithm", change="a lesson of old", outcome="gain")
    bench.server.play(TOO_LONG, TOO_LONG, Step(text=reply("gemm", 64)))
    directory = bench.begin(memories=[memory])
    _, state = bench.go(directory, max_attempts=1)
    prompts = [prompt_of(request) for request in bench.server.requests]
    assert "a lesson of old" in prompts[0]
    assert "a lesson of old" not in prompts[1]
    assert "Ideas (pick" in prompts[1]
    assert "Ideas (pick" not in prompts[2]
    assert state.attempts[0].prompt_dropped == ("outcomes of earlier runs", "ideas")
    assert state.attempts[0].prompt_chars == len(prompts[2])
    assert directory.read(1, "prompt.md") == prompts[2], "what is on record is what was answered"


def test_a_prompt_that_cannot_be_shortened_further_is_the_error_it_was(bench):
    bench.server.play(TOO_LONG, then="repeat")
    with pytest.raises(ContextTooLong):
        bench.go(bench.begin(), max_attempts=1)
    assert len(bench.server.requests) == 2, "whole, without ideas; there is nothing else to leave out"
