"""Proposals in parallel: equal replies give equal runs whatever the timing; nothing is lost, nothing is overspent."""

import os
import signal
import time

import pytest
from numbered_author import Author
from search_bench import Table, reply

from agent.proposers.errors import QuotaExhausted
from agent.proposers.replay import ReplayProposer
from agent.team import Team
from runs.nouns import Planned, Proposed

TEXTS = [
    reply(family, tile, f"plan {n}", f"ID = {n}")
    for n, (family, tile) in enumerate(
        [
            ("direct", 128),
            ("gemm", 256),
            ("scatter", -1),
            ("gemm", 128),
            ("gemm", -1),
            ("gemm", 96),
            ("direct", 64),
            ("gemm", 80),
            ("scatter", 64),
            ("gemm", 64),
        ]
    )
]
FORWARDS = {n: 0.01 * n for n in range(1, 11)}
BACKWARDS = {n: 0.05 * (3 - n % 4) for n in range(1, 11)}


def made(directory):
    """What a run decided and what it asked, without times."""
    timeless = {"started_at", "seconds"}
    attempts = [attempt.model_dump(exclude=timeless) for attempt in directory.state().attempts]
    return attempts, [directory.read(attempt["number"], "prompt.md") for attempt in attempts]


@pytest.mark.parametrize("strategy", ["linear", "beam:width=2", "evolve:islands=2,migration=2"])
def test_the_same_replies_give_the_same_run_whatever_the_timing(bench, strategy):
    runs = []
    for delays_s in ({}, FORWARDS, BACKWARDS):
        author, directory = Author(TEXTS, delays_s=delays_s), bench.begin(strategy, parallel=4)
        reason, state = bench.go(directory, author, max_attempts=10)
        assert reason == "attempts used up (10)"
        assert sorted(author.asked, key=lambda each: each[1]) == [(a.role, a.number) for a in state.attempts]
        runs.append(made(directory))
    assert runs[0] == runs[1] == runs[2]
    assert state.best.evaluation.estimate.value_ms == 2.0
    repaired = [attempt.parent for attempt in state.attempts if attempt.role == "repair"]
    assert repaired == sorted(set(repaired)), "a failure is repaired once, also where many are in flight"
    assert state.planned == state.replies == ()


def test_what_is_written_at_once_is_told_to_differ(bench):
    author = Author(TEXTS)
    bench.go(bench.begin(parallel=3), author, max_attempts=3)
    assert "being written at this moment" not in author.prompts[1]
    assert "1 other proposal from the same point is being written" in author.prompts[2]
    assert "take number 3" in author.prompts[3]


def test_judging_overlaps_asking(bench):
    class Watching(Table):
        in_flight = ()

        def evaluate(self, *arguments, **options):
            self.in_flight = (*self.in_flight, author.in_flight)
            return super().evaluate(*arguments, **options)

    bench.table = Watching()
    author = Author(TEXTS, gather=3, delays_s={2: 1.0, 3: 1.0})
    _, state = bench.go(bench.begin(parallel=3), author, max_attempts=6)
    assert author.at_once == 3
    assert bench.table.in_flight[0] > 0, "the first is judged while others are being written"
    assert len(state.attempts) == 6


def test_a_cap_is_kept_with_calls_in_flight_and_stops_where_one_by_one_does(bench):
    """A call costs 0.4 cents and could cost 1: of 5.2 cents, 11 calls, as without anything in flight."""
    runs = []
    texts = [reply("gemm", 300 - n) for n in range(20)]
    for parallel, delays_s in ((1, {}), (4, FORWARDS), (4, BACKWARDS)):
        author = Author(texts, delays_s=delays_s, gather=min(parallel, 2))
        directory = bench.begin(parallel=parallel)
        reason, state = bench.go(directory, author, max_attempts=20, max_cost_usd=0.052)
        assert reason.startswith("cost cap $0.052: $0.0440 spent, the next call could cost $0.0100")
        assert len(author.asked) == len(state.attempts) == 11
        assert author.at_once == (1 if parallel == 1 else 2), "each sets aside a call and its brief repetition"
        runs.append(made(directory))
    assert runs[1] == runs[2]


def test_an_unknown_price_makes_no_call(bench):
    author = Author(TEXTS, worst_usd=None)
    reason, _ = bench.go(bench.begin(parallel=4), author, max_attempts=9, max_cost_usd=1.0)
    assert "price of this model is unknown" in reason
    assert author.asked == []


def test_ctrl_c_keeps_what_is_being_paid_for(bench):
    class Interrupted(Table):
        def evaluate(self, *arguments, **options):
            raise KeyboardInterrupt

    whole = bench.begin(parallel=4)
    bench.go(whole, Author(TEXTS), max_attempts=8)
    bench.table, directory = Interrupted(), bench.begin(parallel=4)
    author = Author(TEXTS, delays_s={2: 0.1, 3: 1.0, 4: 0.1})
    reason, state = bench.go(directory, author, max_attempts=8)
    assert reason == "interrupted"
    assert state.attempts == ()
    assert sorted(event.number for event in state.replies) == [1, 2, 3, 4]
    assert state.usage.cost_usd == pytest.approx(0.016)
    assert any("replies that are paid for" in note for note in bench.view.notes)
    bench.table, again = Table(), Author(TEXTS)
    bench.go(directory, again, max_attempts=8)
    assert sorted(number for _, number in again.asked) == [5, 6, 7, 8]
    assert made(directory) == made(whole)


def test_an_error_of_one_call_keeps_the_others(bench):
    directory = bench.begin(parallel=4)
    broken = Author(TEXTS, errors={3: QuotaExhausted("no credit left")}, delays_s={4: 0.1})
    with pytest.raises(QuotaExhausted):
        bench.go(directory, broken, max_attempts=8)
    state = directory.state()
    assert [attempt.number for attempt in state.attempts] == [1, 2]
    assert {event.number for event in state.replies} >= {4, 5}
    again = Author(TEXTS)
    bench.go(directory, again, max_attempts=8)
    assert {number for _, number in again.asked}.isdisjoint({4, 5})
    assert [attempt.number for attempt in directory.state().attempts] == list(range(1, 9))


@pytest.mark.parametrize("dies_at", [0, 3, 5])
def test_a_kill_loses_nothing_and_asks_for_nothing_twice(bench, dies_at):
    class Deadly(Table):
        def evaluate(self, *arguments, **options):
            if len(self.asked) == dies_at:
                time.sleep(0.15)  # some of those in flight arrive, some do not
                os.kill(os.getpid(), signal.SIGKILL)
            return super().evaluate(*arguments, **options)

    whole = bench.begin(parallel=4)
    bench.go(whole, Author(TEXTS), max_attempts=10)
    directory = bench.begin(parallel=4)
    bench.table = Deadly()
    child = os.fork()
    if child == 0:
        bench.go(directory, Author(TEXTS, delays_s=dict.fromkeys(range(2, 11, 2), 0.3)), max_attempts=10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    on_disk = {number for number in range(1, 11) if directory.read(number, "proposal.json") is not None}
    bench.table, again = Table(), Author(TEXTS)
    bench.go(directory, again, max_attempts=10)
    assert {number for _, number in again.asked} == set(range(1, 11)) - on_disk
    assert made(directory) == made(whole)
    events = directory.events()
    for kind in (Planned, Proposed):
        numbers = [event.number for event in events if isinstance(event, kind)]
        assert sorted(numbers) == list(range(1, 11))


def test_parallel_with_an_analyst_and_its_replay(bench):
    def members():
        return Team(
            Author(TEXTS, delays_s=BACKWARDS), Author(["Plan: bigger tiles"] * 10, "analyst", delays_s=FORWARDS)
        )

    directory, again = bench.begin(parallel=3), bench.begin(parallel=3)
    team = members()
    bench.go(directory, team.author, team, max_attempts=8, max_cost_usd=1.0)
    replay = ReplayProposer(directory)
    bench.go(again, replay, Team(replay, replay), max_attempts=8)
    assert "- plan: bigger tiles" in team.author.prompts[5]
    assert made(again)[1] == made(directory)[1]
    same = {"candidate_id", "stage", "role", "parent", "decision", "analysis"}
    first, second = (
        [attempt.model_dump(include=same) for attempt in each.state().attempts] for each in (directory, again)
    )
    assert first == second
