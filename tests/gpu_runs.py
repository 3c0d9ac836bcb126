"""The whole product on a GPU, problem after problem: optimize with the playbook, export the best, verify it. One table.

    python3 tests/gpu_runs.py --directory OUT                        # seven problems in 530 s, in the reference's own class
    python3 tests/gpu_runs.py --directory OUT --classes fp32         # the same asked for fp32
    python3 tests/gpu_runs.py --directory OUT --problems 68 73 --seconds 200 --max-attempts 20
    python3 tests/gpu_runs.py --directory OUT --problems drawn/*.py       # files, such as tests/random_geometries.py writes
    python3 tests/gpu_runs.py --directory OUT --gpu h100 --device cpu --problems 73 --max-attempts 2    # no GPU: no times

Every problem gets an equal share of what is left of --seconds, less what confirming and verifying took so far. Figures come
from the runs' journals and from what `agent verify --json` says; OUT keeps runs, exported kernels and the table, which is
written anew after every problem, and printed also where the sitting is cut off (SIGINT, SIGTERM).

Limits: what the command line can do within the time; tests/gpu_playbook_bench.py measures more kernels in less of it.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import checkout  # noqa: F401 - the packages below are found by it

from evaluators.evaluation import Evaluation, evaluation_adapter
from evaluators.measurement import Baseline, Timing
from runs.measured import timing_of
from runs.state import RunState
from runs.store import RunDirectory, run_paths

PROBLEMS = ("68", "70", "77", "61", "73", "58", "72")
HEAD = (
    "problem",
    "class",
    "eager, ms",
    "best baseline of the class, ms",
    "ours, ms (20 % to 80 %)",
    "clock",
    "gain over eager",
    "gain over the best",
    "floor, ms",
    "of the floor",
    "attempts",
    "s",
    "verify",
)
AFTER_S = 30.0  # confirming and verifying, until it was seen how long that takes
LEAST_S = 15.0  # with less left no problem is begun
PATIENCE_S = 15.0  # for a child that was interrupted to write its record


@dataclass
class Sitting:
    """One problem in one class: where its run lies, how long it took, what `agent verify` said of its export."""

    problem: str
    asked: str
    folder: Path
    seconds: float = 0.0
    verified: str = "not verified"
    notes: list[str] = field(default_factory=list)

    @property
    def option(self) -> str:
        """The problem as the command line takes it."""
        return f"convt3d-{self.problem}" if self.problem.isdecimal() else self.problem

    @property
    def name(self) -> str:
        """The problem as the table shows it."""
        return Path(self.problem).stem

    @property
    def state(self) -> RunState | None:
        """The fold of the run's journal; None where no run was begun."""
        paths = run_paths(self.folder) if self.folder.is_dir() else []
        return RunDirectory(paths[0]).state() if paths else None

    @property
    def evaluation(self) -> Evaluation | None:
        """Of the best: on fresh seeds where it was confirmed."""
        state = self.state
        if state is None or state.best is None:
            return None
        confirmed = state.confirmation(state.best.number)
        return confirmed.evaluation if confirmed else state.best.evaluation

    @property
    def is_confirmed(self) -> bool:
        """Whether the best was judged again after the search."""
        state = self.state
        return bool(state and state.best and state.confirmation(state.best.number))


def main() -> int:
    """Work through the problems; the table is printed whatever ends it. 130 where it was cut off, 1 without a run."""
    options = arguments()
    options.directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    ends_at, after_s = time.monotonic() + options.seconds, AFTER_S
    wanted = [(precision, problem) for precision in options.classes for problem in options.problems]
    sittings: list[Sitting] = []
    try:
        for place, (precision, problem) in enumerate(wanted):
            left_s = ends_at - time.monotonic()
            if left_s < LEAST_S:
                print(f"no time for {', '.join(f'{p} ({c})' for c, p in wanted[place:])}", flush=True)
                break
            share_s = left_s / (len(wanted) - place)
            sittings.append(Sitting(problem, precision, options.directory / precision / Path(problem).stem))
            search_s = options.max_seconds or max(1.0, share_s - after_s)
            work_through(sittings[-1], search_s, ends_at, options)
            state = sittings[-1].state
            after_s = max(sittings[-1].seconds - (state.seconds if state else 0.0), 1.0)
            (options.directory / "table.md").write_text(table(sittings) + "\n")
    except KeyboardInterrupt:
        print("\ncut off", flush=True)
        return 130
    finally:
        text = table(sittings)
        print(f"\n{text}", flush=True)
        (options.directory / "table.md").write_text(text + "\n")
    return 0 if sittings and all(sitting.state for sitting in sittings) else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="runs, kernels and the table")
    parser.add_argument("--problems", nargs="*", default=PROBLEMS, help="numbers of built-in problems, or files")
    parser.add_argument("--classes", nargs="*", default=("reference",), choices=("reference", "tf32", "fp32"))
    parser.add_argument("--seconds", type=float, default=530, help="in all, verification included")
    parser.add_argument("--max-seconds", type=float, help="of each search; default: an equal share")
    parser.add_argument("--max-attempts", type=int, default=40, help="of each search")
    parser.add_argument("--gpu", default="auto", help="target; auto: this machine's")
    parser.add_argument("--device", default="cuda", choices=("auto", "cpu", "cuda"), help="cpu: nothing is timed")
    found = parser.parse_args()
    found.directory = found.directory.resolve()
    return found


def work_through(sitting: Sitting, search_s: float, ends_at: float, options: argparse.Namespace) -> None:
    """Search, export, verify; how long that took is kept whatever ends it."""
    begun = time.monotonic()
    print(f"\n== {sitting.problem}, class {sitting.asked}: {search_s:.0f} s to search", flush=True)
    try:
        code = agent(
            *("optimize", "--problem", sitting.option, "--gpu", options.gpu, "--model", "playbook"),
            *("--max-seconds", f"{search_s:.0f}", "--max-attempts", str(options.max_attempts), "--plain"),
            *("--precision", sitting.asked, "--device", options.device, "--runs-dir", str(sitting.folder)),
            ends_at=ends_at,
        )[0]
        if sitting.state is None or sitting.state.best is None:
            sitting.notes.append(f"no kernel: agent optimize ended with exit code {code}")
            return
        verify(sitting, ends_at, options)
    finally:
        sitting.seconds = time.monotonic() - begun


def verify(sitting: Sitting, ends_at: float, options: argparse.Namespace) -> None:
    """Export the best and have it judged again by the command that a user would take."""
    kernel = sitting.folder / "kernel.py"
    code, _ = agent("export", "last", "--runs-dir", str(sitting.folder), "-o", str(kernel), ends_at=ends_at)
    if code:
        sitting.verified = f"no export: exit code {code}"
        return
    words = ("verify", str(kernel), "--problem", sitting.option, "--device", options.device, "--json")
    code, said = agent(*words, ends_at=ends_at, reads=True)
    sitting.verified = verdict_of(code, said)
    print(f"verify: {sitting.verified}", flush=True)


def verdict_of(code: int, said: str) -> str:
    """What `agent verify --json` found: holds, with its own time and clock; what got worse; or why there is nothing."""
    try:
        found = json.loads(said)
        evaluation = evaluation_adapter.validate_python(found["evaluation"])
    except (ValueError, KeyError):
        return f"nothing: exit code {code}"
    timing = timing_of(evaluation)
    took = f", {timing.latency.median_ms:.4g} ms by {timing.clock}" if timing else ""
    if found["regressions"]:
        return f"REGRESSION: {'; '.join(found['regressions'])[:200]}"
    return f"holds{took}" if code == 0 else f"{evaluation.verdict}, exit code {code}"


def agent(*words: str, ends_at: float, reads: bool = False) -> tuple[int, str]:
    """Run a verb in a session of its own, its lines passed on (or with `reads` returned); exit code and output.

    At the end of the sitting, and where this process is interrupted, it is asked to stop and killed if it does not.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "agent", *words],
        stdout=subprocess.PIPE if reads else None,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=max(1.0, ends_at - time.monotonic()))
    except subprocess.TimeoutExpired:
        print(f"the sitting is over: agent {words[0]} is stopped", flush=True)
        said = stopped(child)
    except KeyboardInterrupt:
        stopped(child)
        raise
    return child.returncode, said or ""


def stopped(child: "subprocess.Popen[str]") -> str:
    """Interrupt a child as by Ctrl-C, which lets it finish its record; what it said."""
    child.send_signal(signal.SIGINT)
    try:
        return child.communicate(timeout=PATIENCE_S)[0] or ""
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0] or ""


def table(sittings: Sequence[Sitting]) -> str:
    """Markdown: a line per problem and class, the geometric means of what was timed, how the runs ended."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(cells(sitting))} |" for sitting in sittings]
    means = [mean(sittings, asked) for asked in dict.fromkeys(sitting.asked for sitting in sittings)]
    return "\n".join([*lines, "", *filter(None, means), *(ending(sitting) for sitting in sittings)])


def cells(sitting: Sitting) -> list[str]:
    """One line of the table."""
    evaluation, state = sitting.evaluation, sitting.state
    timing = timing_of(evaluation)
    tried = str(len(state.attempts)) if state else "0"
    error = evaluation.numeric_error if evaluation else None
    precision = timing.precision if timing else error.precision if error else "-"
    tail = [tried, f"{sitting.seconds:.0f}", sitting.verified]
    return [sitting.name, precision, *(measured(timing, sitting) if timing else ["-"] * 8), *tail]


def measured(timing: Timing, sitting: Sitting) -> list[str]:
    """The eight cells that only a clock can fill."""
    eager, best, own = (timing.baselines.eager if timing.baselines else None), timing.best_baseline, timing.latency
    confirmed = "" if sitting.is_confirmed else ", not confirmed"
    return [
        _ms(eager),
        f"{_ms(best)} ({best.name})" if best else "-",
        f"{own.median_ms:.4g} ({own.p20_ms:.4g} to {own.p80_ms:.4g})",
        f"{timing.clock}{confirmed}",
        _times(timing.speedup_over_eager),
        _times(timing.speedup_over_best),
        f"{timing.floor_ms:.3g} ({timing.floor_limiter})",
        f"{timing.floor_share_pct:.0f} %",
    ]


def mean(sittings: Sequence[Sitting], asked: str) -> str:
    """Geometric means of the gains of one class asked for; empty where nothing was timed."""
    timings = [timing_of(sitting.evaluation) for sitting in sittings if sitting.asked == asked]
    found = [(t.speedup_over_eager, t.speedup_over_best) for t in timings if t]
    pairs = [(over_eager, over_best) for over_eager, over_best in found if over_eager and over_best]
    if not pairs:
        return ""
    eager, best = (math.exp(sum(map(math.log, gains)) / len(gains)) for gains in zip(*pairs, strict=True))
    said = f"asked for {asked}: geometric mean of {len(pairs)} problems"
    return f"{said}: {eager:.3g}x over eager, {best:.3g}x over the best baseline of the same class"


def ending(sitting: Sitting) -> str:
    """How a run ended, what became of its attempts, and which kernel won."""
    state = sitting.state
    if state is None:
        return f"{sitting.name}: {'; '.join(sitting.notes) or 'no run'}"
    verdicts = [attempt.evaluation.verdict if attempt.evaluation else "not judged" for attempt in state.attempts]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    plan = state.best.plan.removeprefix("Plan: ")[:200] if state.best else "no kernel"
    said = f"{sitting.name}: {counts or 'no attempt'}; ended: {state.finished or 'not at all'}; {plan}"
    return "; ".join([said, *sitting.notes])


def _ms(baseline: Baseline | None) -> str:
    return f"{baseline.latency.median_ms:.4g}" if baseline and baseline.latency else "-"


def _times(gain: float | None) -> str:
    return f"{gain:.3g}x" if gain else "-"


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
