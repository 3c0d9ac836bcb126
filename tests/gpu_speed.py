"""How long a verdict takes on this machine's GPU: what `make bench` prints there beside the playbook's table.

    python3 tests/gpu_speed.py                          # a minute and a half for two problems and a short run
    python3 tests/gpu_speed.py --problems 68 --attempts 0

Of each problem the playbook's first kernel is judged three times, as three candidates (a comment tells them apart, so that each
is compiled anew): by a judge that knows the problem's baselines already, without an incumbent; in a duel with itself, the
longest there is; with Nsight Compute. Then `agent optimize` runs for a few attempts.

Limits: wall times of this machine as it is now; a GPU that others use is no place for it.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from checkout import ROOT

from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation, family_of
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.search import best_guess
from agent.proposers.playbook.shape import shape_from
from evaluators.candidate import Candidate
from evaluators.client import JudgeClient
from evaluators.evaluation import Evaluation, Rung
from evaluators.gpu_catalog import all_gpus, load_gpu
from evaluators.ladder import DECIDING, DEVICE_RUNGS
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Incumbent
from runs.measured import timing_of
from runs.store import RunDirectory, run_paths
from runs.table import table

TARGETS_S = {"68": 8, "73": 4}
METRICS = ("gpu__time_duration.sum", "dram__bytes.sum", "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct")
Row = tuple[str, str, str]


def main() -> int:
    """Measure and print; 1 where there is no GPU."""
    options = _arguments()
    with JudgeClient(device="auto") as judge:
        device = judge.device()
        if device is None:
            print("no NVIDIA GPU here: nothing is measured")
            return 1
        rows = [row for problem in options.problems for row in told(verdicts(judge, problem, options.gpu))]
    if options.attempts:
        rows += told([rate(options.gpu, options.attempts)])
    print(table((f"on {device}", "figure", "remark"), rows))
    return 0


def told(rows: list[Row]) -> list[Row]:
    """The rows, printed at once also: a sitting that is cut off keeps them."""
    print(*map(" | ".join, rows), sep="\n", file=sys.stderr, flush=True)
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", default=("68", "73"), help="numbers of built-in problems")
    parser.add_argument("--attempts", type=int, default=12, help="of the run on convt3d-73; 0: no run")
    parser.add_argument("--gpu", default="h200", choices=[gpu.key for gpu in all_gpus()], help="target of the kernels")
    return parser.parse_args()


def verdicts(judge: JudgeClient, number: str, gpu: str) -> list[Row]:
    """Seconds of each kind of evaluation of one problem, and what the protocol costs there."""
    problem = load_problem(f"convt3d-{number}")
    judge.evaluate(problem, _kernel(judge, problem, gpu, 0), load_gpu(gpu), rungs=DECIDING)  # calibration, baselines
    warm = _judged(judge, problem, gpu, 1, DECIDING)
    timing = timing_of(warm)
    if timing is None:
        return [(f"{number}: a warm verdict", "-", f"{warm.verdict}: {getattr(warm, 'message', '')[:120]}")]
    same = Incumbent(candidate=_kernel(judge, problem, gpu, 1), latency_ms=timing.latency.median_ms)
    duel = _judged(judge, problem, gpu, 2, DECIDING, same)
    profiled = _judged(judge, problem, gpu, 3, DEVICE_RUNGS)
    target = f"target {TARGETS_S[number]} s; " if number in TARGETS_S else ""
    return [
        (f"{number}: a warm verdict", f"{warm.duration_s:.1f} s", target + _parts(warm)),
        (f"{number}: in a duel of equals", f"{duel.duration_s:.1f} s", _parts(duel)),
        (f"{number}: Nsight Compute", f"{profiled.rung_seconds.get('profile', 0.0):.1f} s", "target 15 s"),
        (
            f"{number}: the protocol",
            f"{timing.protocol_ms:.3f} ms",
            f"+- {timing.protocol_error_ms:.3f}; target +- 0.05; one batch +- {timing.protocol_spread_ms:.3f}",
        ),
    ]


def _judged(
    judge: JudgeClient,
    problem: Problem,
    gpu: str,
    serial: int,
    rungs: Sequence[Rung],
    incumbent: Incumbent | None = None,
) -> Evaluation:
    candidate = _kernel(judge, problem, gpu, serial)
    return judge.evaluate(problem, candidate, load_gpu(gpu), rungs=rungs, incumbent=incumbent, metrics=METRICS)


def _kernel(judge: JudgeClient, problem: Problem, gpu: str, serial: int) -> Candidate:
    reference = read_reference(problem.source)
    situation = Situation(shape_from(judge.facts(problem), reference.layer), load_gpu(gpu), 6e-4)
    chosen = best_guess(situation).configuration
    family = family_of(chosen)
    assert family is not None, chosen
    return Candidate(language="triton", source=f"{candidate_source(chosen, family, reference)}\n# {serial}\n")


def _parts(evaluation: Evaluation) -> str:
    return ", ".join(f"{rung} {seconds:.1f}" for rung, seconds in evaluation.rung_seconds.items())


def rate(gpu: str, attempts: int) -> Row:
    """Attempts a minute of a run on convt3d-73, baselines and profiles included."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("optimize", "-p", "convt3d-73", "--gpu", gpu, "--model", "playbook", "--max-attempts", str(attempts))
        done = subprocess.run(
            [sys.executable, "-m", "agent", *words, "--plain", "--runs-dir", folder],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        paths = run_paths(Path(folder))
        if not paths:
            return ("a run on 73", "-", (done.stderr.strip().splitlines() or ["nothing said"])[-1][:120])
        state = RunDirectory(paths[0]).state()
        made = len(state.attempts)
    return (
        "a run on 73",
        f"{60 * made / max(state.seconds, 1e-9):.1f} a minute",
        f"{made} attempts; target 8 a minute",
    )


if __name__ == "__main__":
    sys.exit(main())
