"""`python tests/bench_history.py`: what 500 attempts of history cost the host, by strategy. Printed, never asserted.

An attempt here is everything of ours (plan, context, prompt, files, knobs, journal) with a proposer and a judge that
answer at once; the verdict is one of real size. Limits: wall times of this machine and its disk as they are now.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import checkout  # noqa: F401 - the packages below are found by it
from search_bench import Bench, Table, reply

from agent.proposers import Proposal
from evaluators.evaluation import Evaluation, evaluation_adapter
from runs.store import RunDirectory

EVALUATION = (
    Path(__file__).parents[1] / "examples" / "convt3d-73-by-ask-and-tell" / "attempts" / "007" / "evaluation.json"
)
HISTORY, MORE = 500, 20


class Instant:
    """Answers at once with code that is new each time, and prose of a usual length."""

    name = "instant"

    def __init__(self) -> None:
        self._number = 0

    def propose(self, context: object, prompt: str) -> Proposal:
        self._number += 1
        return Proposal(reply=reply("gemm", 1000 + self._number) + "prose " * 3000, model=self.name)

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        return 0


class Recorded(Table):
    """One recorded verdict for every candidate."""

    def __init__(self) -> None:
        super().__init__()
        self._evaluation = evaluation_adapter.validate_json(EVALUATION.read_bytes())

    def evaluate(self, problem, candidate, gpu, **options) -> Evaluation:  # type: ignore[no-untyped-def]
        return self._evaluation.model_copy(update={"candidate_id": candidate.id})


def timed(work) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Wall and processor seconds of one call; the difference is waiting, for the disk or for other work."""
    started, started_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - started_cpu


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for strategy in ("linear", "beam", "evolve"):
            bench, proposer = Bench(None, Path(folder)), Instant()
            bench.table = Recorded()
            directory: RunDirectory = bench.begin(strategy)
            bench.go(directory, proposer=proposer, max_attempts=HISTORY)
            opened = min(timed(directory.state) for _ in range(3))
            whole = timed(lambda d=directory, p=proposer, b=bench: b.go(d, proposer=p, max_attempts=HISTORY + MORE))
            # the bench reads the journal twice around the loop
            wall_ms, cpu_ms = (1e3 * (all_ - 2 * open_) / MORE for all_, open_ in zip(whole, opened, strict=True))
            size_kib = (directory.path / "journal.jsonl").stat().st_size >> 10
            print(
                f"{strategy}: {wall_ms:.1f} ms per attempt after {HISTORY} (target 50), {cpu_ms:.1f} of it computing; ",
                end="",
            )
            print(f"journal of {size_kib} KiB opens in {opened[0] * 1e3:.0f} ms (target 300)")
    print(f"{os.cpu_count()} cores, load {', '.join(f'{value:.1f}' for value in os.getloadavg())}")


if __name__ == "__main__":
    main()
