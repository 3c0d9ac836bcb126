"""The machine searches what the model proposes: order, cost, the table, frozen knobs, a crash in the middle."""

import os
import signal

import pytest
from scripted_llm import Step
from search_bench import Table, reply

from agent.tuner import CONFIRMED
from evaluators.client import JudgeBug
from evaluators.evaluation import Failed
from evaluators.measurement import Latency, Timing
from runs.show import attempt_lines

SPACE = 'SPACE = {"TILE": [16, 32, 64, 128, 256]}'


class Limited(Table):
    """Tiles above `most` do not fit, those in `wrong` compute something else, `dies_at` kills the process."""

    def __init__(self, most=999, wrong=(), dies_at=None, clock=None):
        super().__init__()
        self.most, self.wrong, self.dies_at, self.clock = most, wrong, dies_at, clock

    def evaluate(self, problem, candidate, gpu, *, rungs=None, **options):
        if len(self.asked) == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        evaluation = super().evaluate(problem, candidate, gpu, rungs=rungs, **options)
        tile = int(candidate.source.split("TILE = ")[1].split()[0])
        common = {"candidate_id": candidate.id, "problem": problem.key, "gpu": gpu.key}
        if tile > self.most:
            message = "out of resource: shared memory, Required: 999, Hardware limit: 101376"
            return Failed(rung="build", kind="compile_error", message=message, **common)
        if tile in self.wrong and rungs is None:
            return Failed(rung="correctness", kind="incorrect_numerical", message="off", **common)
        return (
            evaluation if self.clock is None or rungs else evaluation.model_copy(update={"timing": self._timing(tile)})
        )

    def _timing(self, tile):
        latency = Latency(median_ms=self.clock[tile], p20_ms=1, p80_ms=1, samples=9)
        common = {"clock": "judge's clock", "protocol_ms": 0, "protocol_spread_ms": 0, "verified_calls": 9}
        floor = {"floor_ms": 0.1, "floor_limiter": "memory", "precision": "fp32"}
        return Timing(device="RTX 4090", is_target=True, latency=latency, outside=latency, **common, **floor)


def tile_of(source):
    return int(source.split("TILE = ")[1].split()[0])


def once(bench, tile=256, space=SPACE, stage_replies=(), **options):
    """One attempt with this reply (after others), its record and its row of points."""
    bench.server.play(*(Step(text=text) for text in (*stage_replies, reply("gemm", tile, "p", space))))
    directory = bench.begin(**{"tune_points": 8, **options})
    bench.go(directory, max_attempts=1 + len(stage_replies))
    return directory, directory.state().attempts[-1]


def test_the_best_point_becomes_the_candidate_and_the_reply_stays_as_it_was(bench):
    directory, attempt = once(bench)
    assert tile_of(directory.read(1, "kernel.py")) == 64
    assert tile_of(directory.read(1, "reply.md")) == 256
    assert attempt.evaluation.candidate_id == attempt.candidate_id == attempt.tuning.chosen
    assert attempt.evaluation.estimate.value_ms == 2.0
    assert [point.values["TILE"] for point in attempt.tuning.points] == [256, 128, 64, 32, 16]
    assert [point.verdict for point in attempt.tuning.points] == [
        "passed",
        "compiled",
        "passed",
        "compiled",
        "compiled",
    ]
    assert bench.table.in_full == [True, False, False, False, False, True]
    assert directory.read(1, "evaluation.json") == attempt.evaluation.model_dump_json(indent=2)
    shown = "\n".join(attempt_lines(directory, 1))
    assert "TILE=64 *" in shown
    assert "estimated_ms" in shown


def test_the_budget_of_points_is_kept_and_zero_turns_it_off(bench):
    _, attempt = once(bench, tune_points=2)
    assert [point.values["TILE"] for point in attempt.tuning.points] == [256, 128, 64]
    _, attempt = once(bench, tune_points=0)
    assert attempt.tuning is None
    assert len(bench.table.asked) == 4 + 1


def test_what_does_not_fit_costs_a_compilation_and_comes_last(bench):
    bench.table = Limited(most=64)
    directory, attempt = once(bench, tile=128)
    assert tile_of(directory.read(1, "kernel.py")) == 64
    rows = {point.values["TILE"]: point for point in attempt.tuning.points}
    assert rows[256].verdict == rows[128].verdict == "failed"
    assert "out of resource" in rows[256].detail
    assert bench.table.in_full.count(True) == 2, "the file as written, and the point that was chosen"


def test_a_wrong_file_is_not_tuned_and_a_point_that_is_wrong_is_not_chosen(bench):
    _, attempt = once(bench, tile=-1)
    assert attempt.tuning is None
    assert len(bench.table.asked) == 1
    bench.table = Limited(wrong=(64, 32))
    directory, attempt = once(bench, space=SPACE)
    assert tile_of(directory.read(1, "kernel.py")) == 16
    assert {p.values["TILE"]: p.verdict for p in attempt.tuning.points}[64] == "failed"
    bench.table = Limited(wrong=(16, 32, 64, 128))
    directory, attempt = once(bench)
    assert tile_of(directory.read(1, "kernel.py")) == 256, "the file as written stands where nothing better holds"
    assert bench.table.in_full.count(True) == 1 + CONFIRMED


def test_where_a_clock_measures_the_fastest_of_the_best_few_is_taken(bench):
    bench.table = Limited(clock={256: 9.0, 128: 1.0, 64: 4.0, 32: 3.0, 16: 5.0})
    directory, attempt = once(bench)
    assert tile_of(directory.read(1, "kernel.py")) == 32
    measured = {p.values["TILE"]: p.latency_ms for p in attempt.tuning.points if p.latency_ms is not None}
    assert measured == {256: 9.0, 64: 4.0, 32: 3.0, 16: 5.0}, "the best by compiled figures, not all"
    assert all(point.estimate_ms is not None for point in attempt.tuning.points)


def test_the_table_stands_in_the_next_prompt_and_is_bounded(bench):
    wide = f'SPACE = {{"TILE": {[16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256]}}}'
    bench.server.play(Step(text=reply("gemm", 256, "p", wide)), Step(text=reply("gemm", 60)))
    directory = bench.begin(tune_points=13)
    bench.go(directory, max_attempts=2)
    prompt = directory.read(2, "prompt.md")
    table = prompt.split("# Points of SPACE that were tried (attempt 1")[1].split("\n# ")[0]
    assert "CHOSEN TILE=64: passed" in table
    assert table.count("- ") == 12 + 1 + 1
    assert "Why the chosen one: next is TILE=" in table and "estimated bound" in table
    assert "and 2 more points" in table
    assert "are compiled, the nearest first" in prompt


def test_frozen_knobs_are_left_alone(bench):
    """The grid stage freezes warps, the tuning stage blocks; TILE is the BLOCK of the launch."""
    space = 'SPACE = {"TILE": [32, 64, 128], "NUM_WARPS": [4, 8]}\nNUM_WARPS = 4'
    wide = reply("gemm", 64, "p", space).replace("BLOCK=TILE)", "BLOCK=TILE, num_warps=NUM_WARPS)")
    again = [wide.replace("FAMILY", f"N{n} = {n}\nFAMILY") for n in range(6)]
    bench.server.play(*(Step(text=text) for text in (reply("gemm", 64), wide, *again)))
    directory = bench.begin(tune_points=4)
    bench.go(directory, max_attempts=8)
    notes = {attempt.stage: attempt.tuning.note for attempt in directory.state().attempts[1:]}
    assert notes["algorithm"] == ""
    assert notes["grid"] == "frozen in this stage, not searched: NUM_WARPS"
    assert notes["tuning"] == "frozen in this stage, not searched: TILE"


def test_a_space_that_cannot_be_searched_is_told(bench):
    directory, attempt = once(bench, space='SPACE = {"OTHER": [1, 2]}')
    assert "OTHER must be assigned exactly once" in attempt.tuning.note
    assert attempt.evaluation.verdict == "passed"
    bench.server.play(Step(text=reply("gemm", 66)))
    bench.go(directory, max_attempts=2)
    assert "NOTE: not searched: SPACE: OTHER must be assigned exactly once" in directory.read(2, "prompt.md")


def test_an_error_of_ours_leaves_one_point_unjudged(bench):
    class Buggy(Table):
        def evaluate(self, problem, candidate, gpu, *, rungs=None, **options):
            if tile_of(candidate.source) == 128:
                raise JudgeBug("internal error")
            return super().evaluate(problem, candidate, gpu, rungs=rungs, **options)

    bench.table = Buggy()
    directory, attempt = once(bench, space='SPACE = {"TILE": [32, 128, 256]}')
    assert tile_of(directory.read(1, "kernel.py")) == 32
    assert [point.verdict for point in attempt.tuning.points] == ["passed", "not judged", "passed"]


def test_equal_code_is_not_searched_again(bench):
    bench.server.play(
        Step(text=reply("gemm", 256, "p", SPACE)), Step(text=reply("gemm", 256, "again", SPACE + "  # same"))
    )
    directory = bench.begin(tune_points=8)
    bench.go(directory, max_attempts=2)
    again = directory.state().attempts[1]
    assert again.reused_from == 1
    assert again.candidate_id == again.evaluation.candidate_id
    assert directory.read(2, "kernel.py") == directory.read(1, "kernel.py")
    assert len(bench.table.asked) == 6


@pytest.mark.parametrize("dies_at", (0, 3, 5))
def test_a_kill_in_the_middle_repeats_no_point(bench, dies_at):
    bench.server.play(Step(text=reply("gemm", 256, "p", SPACE)))
    directory = bench.begin(tune_points=8)
    bench.table = Limited(dies_at=dies_at)
    child = os.fork()
    if child == 0:
        bench.go(directory, max_attempts=1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert directory.state().attempts == ()
    bench.table = Limited()
    bench.go(directory, max_attempts=1)
    assert len(bench.server.requests) == 1
    assert len(bench.table.asked) == 6 - dies_at, "what had a verdict is not judged again"
    attempt = directory.state().attempts[0]
    assert [point.values["TILE"] for point in attempt.tuning.points] == [256, 128, 64, 32, 16]
    assert tile_of(directory.read(1, "kernel.py")) == 64


def test_compiled_texts_outlive_a_kill(bench):
    """The file as written is the best point and was judged before the kill."""

    class Listing(Limited):
        def evaluate(self, *arguments, rungs=None, **options):
            evaluation = super().evaluate(*arguments, rungs=rungs, **options)
            return evaluation.model_copy(update={"listings": {"kernel.ptx": ".entry"}})

    bench.server.play(Step(text=reply("gemm", 64, "p", SPACE)))
    directory = bench.begin(tune_points=8)
    bench.table = Listing(dies_at=3)
    child = os.fork()
    if child == 0:
        bench.go(directory, max_attempts=1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    bench.table = Limited()
    bench.go(directory, max_attempts=1)
    assert tile_of(directory.read(1, "kernel.py")) == 64
    assert directory.read(1, "kernel.ptx") == ".entry"
