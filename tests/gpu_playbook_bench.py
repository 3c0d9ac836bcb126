"""The playbook on a real GPU, in one table: eager, the library's best, the families' first kernels and a short sweep.

    python3 tests/gpu_playbook_bench.py --seconds 120                      # seven problems, both classes
    python3 tests/gpu_playbook_bench.py --seconds 80 --problems 68 61 --classes tf32 --json /tmp/rows.jsonl --profile
    python3 tests/gpu_playbook_bench.py --random 10 --seed 0 --seconds 100 # drawn problems; why, where nothing was won
    python3 tests/gpu_playbook_bench.py --problems 68 --configuration "slab PRECISION=half PIXELS=1 POSITIONS=256 SLABS=3 STAGES=4"
    python3 tests/gpu_playbook_bench.py --problems 68 --geometries         # those kernels on other geometries: errors only

Kernels are compiled beside each other by all cores, in the order of their worth: of every problem eager and the first
kernel, then the neighbours the search would try, one per problem in turn. One process measures; it is replaced when a row
faults or hangs. At the end, when nothing compiles any more, eager and the best of each problem are timed again: those are
the figures of the table. Needs torch, triton, numpy, pydantic and this checkout on PYTHONPATH.

Limits: gpu_kernels.py says what is timed, and that it is not the judge. The floor is of the problem, not of a kernel.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent.proposers.playbook.configuration import Configuration, read_configuration
from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation, family_of, known_families
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.shape import shape_from
from evaluators.floor import floor_of
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.problem import Problem, ProblemFacts
from evaluators.problem_catalog import load_problem

sys.path.insert(0, str(Path(__file__).parent))
import gpu_kernels
from gpu_table import is_right, table
from playbook_order import expected_order
from random_geometries import drawn

PROBLEMS = ("68", "70", "77", "61", "73", "58", "72")  # by what is to be learnt from them
CLASSES = {"tf32": 6e-4, "fp32": 2e-6}  # the error that a reference of the class allows
CLEAN = multiprocessing.get_context("forkserver")  # children come from a process without threads and without CUDA
PRELOADED = ["torch", "triton", "triton.language", "triton.testing", "triton.experimental.gluon"]


@dataclass
class Row:
    """One thing to be measured; `result` once it was."""

    problem: str
    precision: str
    what: str  # a configuration, or a setting of the library
    request: dict[str, Any]
    result: dict[str, Any] = field(default_factory=dict)
    code: Any = None  # the pending compilation

    @property
    def is_ready(self) -> bool:
        """Whether nothing is left to compile."""
        return self.code is None or self.code.ready()


@dataclass(frozen=True)
class Subject:
    """A problem and class with everything the table says about it."""

    problem: str
    precision: str
    source: str
    facts: ProblemFacts
    situation: Situation

    def rows(self, options: argparse.Namespace) -> Iterator[Row]:
        """Library first, then the kernels, the most promising first."""
        request = {"reference": self.source, "class": self.precision, "geometries": options.geometries}
        if not options.geometries:
            for setting in gpu_kernels.LIBRARY:
                yield self._row(setting, request)
        reference = read_reference(self.source)
        for configuration in self._configurations(options):
            family = family_of(configuration)
            assert family is not None, f"no family writes {configuration}"
            yield self._row(
                str(configuration), request | {"source": candidate_source(configuration, family, reference)}
            )

    def _row(self, what: str, request: dict[str, Any]) -> Row:
        return Row(self.problem, self.precision, what, request | {"what": what})

    def _configurations(self, options: argparse.Namespace) -> list[Configuration]:
        given = [read_configuration(text) for text in options.configuration]
        found = [configuration for configuration in given if configuration is not None]
        return found or expected_order(self.situation, 1 + options.neighbours, frozenset(options.families))

    def why(self, what: str) -> str:
        """What a kernel is expected to be limited by, and why the other families were not used."""
        configuration = read_configuration(what)
        family = family_of(configuration) if configuration else None
        assert configuration is not None and family is not None, what
        cost = family.cost(configuration, self.situation)
        said = [
            f"{family.name} is limited by {cost.limiter}, expected {family.expected_ms(configuration, self.situation):.3g} ms"
        ]
        misfits = ((other.name, other.misfit(self.situation)) for other in known_families())
        return "; ".join([*said, *(f"no {name}: {misfit}" for name, misfit in misfits if misfit)])

    def floor_ms(self) -> tuple[float, str]:
        """The physical floor of the class on this GPU, and what sets it."""
        floor = floor_of(self.facts, self.situation.gpu, self.precision)
        return floor.ms, floor.limiter


def main() -> None:
    """Measure what the time allows, print the table, write the rows."""
    options = arguments()
    ends_at = time.monotonic() + options.seconds
    name = device_name()
    if not name:
        print("skipped: no GPU")
        return
    found = subjects(options, load_gpu(options.gpu or device_key(name)))
    rows = in_turns([list(subject.rows(options)) for subject in found])
    print(f"{name}; {len(rows)} rows, {options.workers} compilers, {options.seconds:g} s", flush=True)
    CLEAN.set_forkserver_preload(PRELOADED)
    with Measurer(options.row_seconds, profiles=options.profile) as measurer:
        measure(rows, measurer, ends_at - options.confirm_seconds * len(found), options)
        if options.geometries:
            return
        confirm(rows, found, measurer, ends_at)
    text = table(rows, found)
    print(text, flush=True)
    if options.markdown:
        options.markdown.write_text(f"{name}\n\n{text}\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="in all, compilation included")
    parser.add_argument("--problems", nargs="*", default=PROBLEMS)
    parser.add_argument("--classes", nargs="*", default=tuple(CLASSES), choices=tuple(CLASSES))
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N drawn problems instead of --problems")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn problems")
    parser.add_argument("--neighbours", type=int, default=8, help="configurations beside the first one")
    parser.add_argument("--families", nargs="*", default=(), help="default: all that fit")
    parser.add_argument("--configuration", action="append", default=[], help="measure just these")
    parser.add_argument("--geometries", action="store_true", help="errors on other geometries instead of times")
    parser.add_argument("--profile", action="store_true", help="also the time of each kernel of the best")
    parser.add_argument("--row-seconds", type=float, default=15, help="a row that takes longer is given up")
    parser.add_argument(
        "--confirm-seconds", type=float, default=0.7, help="kept for the last timing, per problem and class"
    )
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="compiling processes")
    parser.add_argument("--gpu", help="key of a GPU; default: the device's")
    parser.add_argument("--json", type=Path, help="append every row to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    return parser.parse_args()


def device_name() -> str:
    """As the driver says it, without touching CUDA in this process, which forks; empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].strip() if said.returncode == 0 else ""


def device_key(name: str) -> str:
    """The catalogue's key: the longest alias that the name holds."""
    known = {"H200": "h200", "H100 PCIe": "h100-pcie", "H100": "h100-sxm", "A100": "a100-80gb", "4090": "rtx-4090"}
    return next((key for word, key in known.items() if word in name), "h100-sxm")


def subjects(options: argparse.Namespace, gpu: GpuSpec) -> list[Subject]:
    """All problems in the first class, then all in the next."""
    problems: list[tuple[str, Problem]] = [(problem.key, problem) for problem in drawn(options.random, options.seed)]
    problems = problems or [(number, load_problem(f"convt3d-{number}")) for number in options.problems]
    found = []
    for precision, (number, problem) in itertools.product(options.classes, problems):
        facts = facts_of(problem)
        shape = shape_from(facts, read_reference(problem.source).layer)
        situation = Situation(shape, gpu, CLASSES[precision])
        found.append(Subject(number, precision, problem.source, facts, situation))
    return found


def in_turns(groups: list[list[Row]]) -> list[Row]:
    """The first rows of every group, library and kernel, then the next of each in turn."""
    ahead = len(gpu_kernels.LIBRARY) + 1
    first = [row for group in groups for row in group[:ahead]]
    later = itertools.zip_longest(*(group[ahead:] for group in groups))
    return first + [row for turn in later for row in turn if row is not None]


def measure(rows: list[Row], measurer: "Measurer", ends_at: float, options: argparse.Namespace) -> None:
    """Row after row, the first that is compiled; what the time did not allow keeps no result."""
    with CLEAN.Pool(options.workers) as pool:
        for row in rows:
            if "source" in row.request:
                row.code = pool.apply_async(gpu_kernels.compiled, (row.request,))
        pending = list(rows)
        while pending and time.monotonic() < ends_at:
            ready = next((row for row in pending if row.is_ready), None)
            if ready is None:
                time.sleep(0.02)
                continue
            pending.remove(ready)
            said = ready.code.get() if ready.code is not None else ""
            ready.result = {"note": said} if said else measurer.ask(ready.request)
            report(ready, options.json)
        pool.terminate()
    if pending:
        print(f"no time for {len(pending)} rows", flush=True)


def report(row: Row, path: Path | None) -> None:
    """One line at once, so that a run that is cut off has said what it found."""
    figures = " ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.result.items())
    print(f"{row.problem} {row.precision} {row.what}: {figures}", flush=True)
    if path is not None:
        with path.open("a") as file:
            about = {"problem": row.problem, "class": row.precision, "what": row.what}
            file.write(json.dumps(about | row.result) + "\n")


def confirm(rows: list[Row], found: list[Subject], measurer: "Measurer", ends_at: float) -> None:
    """Time eager and the best of every problem again, on the quiet machine."""
    for subject in found:
        own = [row for row in rows if (row.problem, row.precision) == (subject.problem, subject.precision)]
        eager = next((row for row in own if row.what == "eager" and "graph_ms" in row.result), None)
        right = [row for row in own if "source" in row.request and eager and is_right(row.result, eager.result)]
        best = min(right, key=lambda row: float(row.result["graph_ms"]), default=None)
        for timed in (eager, best):
            if timed is not None and time.monotonic() < ends_at:
                again = measurer.ask(timed.request | {"known": True})
                timed.result |= {f"quiet {name}": value for name, value in again.items()}


class Measurer:
    """The one process that measures; a row that kills it or does not end costs that row only."""

    def __init__(self, row_seconds: float, *, profiles: bool) -> None:
        self._row_seconds, self._profiles = row_seconds, profiles
        self._process: Any = None
        self._line: Connection | None = None

    def __enter__(self) -> "Measurer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The row's figures, or a note why there are none."""
        line = self._line or self._start()
        try:
            line.send(request | {"profile": self._profiles and bool(request.get("known"))})
            if not line.poll(self._row_seconds):
                self._stop()
                return {"note": f"no end after {self._row_seconds:g} s"}
            answer: dict[str, Any] = line.recv()
        except (EOFError, OSError):
            process = self._process
            self._stop()
            return {"note": f"the measuring process died (exit code {process.exitcode})"}
        if answer.pop("is_spoilt", False):
            self._stop()
        return answer

    def _start(self) -> Connection:
        self._line, theirs = CLEAN.Pipe()
        self._process = CLEAN.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        return self._line

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._line = None


def serve(line: Connection) -> None:
    """Answer requests until the parent is gone. An error on the device spoils the process: it says so."""
    bench = gpu_kernels.Bench()
    while True:
        try:
            request = line.recv()
        except EOFError:
            return
        try:
            answer = bench.row(request)
        except Exception as failure:
            said = f"{type(failure).__name__}: {failure}"[-600:]
            answer = {"note": said, "is_spoilt": isinstance(failure, RuntimeError)}
        line.send(answer)


if __name__ == "__main__":
    main()
