"""The playbook on a real GPU, in one table: eager, the library's best, the families' first kernels and a short sweep.

    python3 tests/gpu_playbook_bench.py --seconds 120                      # seven problems, both classes
    python3 tests/gpu_playbook_bench.py --seconds 80 --problems 68 61 --classes tf32 --json /tmp/rows.jsonl --profile
    python3 tests/gpu_playbook_bench.py --random 10 --seed 0 --seconds 75 --classes tf32 --neighbours 2    # drawn problems
    python3 tests/gpu_playbook_bench.py --problems 77 --configuration "dilation_lattice BLOCK_M=64"    # other knobs as they begin
    python3 tests/gpu_playbook_bench.py --problems 68 --geometries         # those kernels on other geometries: errors only

Kernels are compiled beside each other by all cores, in the order of their worth: of every problem eager and the first
kernel, then the neighbours the search would try, one per problem in turn. One process measures; it is replaced when a row
faults or hangs. At the end, when nothing compiles any more, eager and the best of each problem are timed again: those are
the figures of the table. Where eager computes in fp32 although TF32 is allowed, as its error says, so must its rivals: kernels
of split products take the place of the coarse ones, and the table says so. Needs torch, triton, numpy and pydantic.

Limits: gpu_kernels.py says what is timed, and that it is not the judge. The floor is of the problem, not of a kernel.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import checkout  # noqa: F401 - the packages below are found by it
import gpu_kernels
from gpu_rows import CLASSES, PROBLEMS, Row, Subject, in_turns, subjects
from gpu_table import is_right, table

from evaluators.gpu_catalog import load_gpu

CLEAN = multiprocessing.get_context("forkserver")  # children come from a process without threads and without CUDA
PRELOADED = ["torch", "triton", "triton.language", "triton.testing", "triton.experimental.gluon"]


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
        measure(rows, found, measurer, ends_at - options.confirm_seconds * len(found), options)
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
    parser.add_argument("--configuration", action="append", default=[], help="measure just these, where they fit")
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


def measure(
    rows: list[Row], found: list[Subject], measurer: "Measurer", ends_at: float, options: argparse.Namespace
) -> None:
    """Row after row, the first that is compiled; what the time did not allow keeps no result."""
    with CLEAN.Pool(options.workers) as pool:
        pending = list(rows)
        while pending and time.monotonic() < ends_at:
            compile_ahead(pending, pool, options.workers + 2)
            ready = next((row for row in pending if row.is_ready), None)
            if ready is None:
                time.sleep(0.02)
                continue
            pending.remove(ready)
            said = ready.code.get() if ready.code is not None else ""
            ready.result = {"note": said} if said else measurer.ask(ready.request)
            report(ready, options.json)
            if ready.what == "eager":
                pending[:] = [*in_class_of(ready, rows, found, options), *still_wanted(pending, rows)]
        pool.terminate()
    if pending:
        print(f"no time for {len(pending)} rows", flush=True)


def compile_ahead(pending: list[Row], pool: Any, width: int) -> None:
    """Compile the next rows, few more than there are compilers: what eager turns out to need goes in front."""
    begun = sum(row.code is not None and not row.code.ready() for row in pending)
    waiting = (row for row in pending if row.is_kernel and row.code is None)
    for row in itertools.islice(waiting, max(0, width - begun)):
        row.code = pool.apply_async(gpu_kernels.compiled, (row.request,))


def in_class_of(eager: Row, rows: list[Row], found: list[Subject], options: argparse.Namespace) -> list[Row]:
    """Where eager computes in fp32 although TF32 is allowed: rows of split products in place of the coarse ones that
    were not measured yet; `rows` and `found` are changed."""
    place = next(i for i, s in enumerate(found) if (s.problem, s.precision) == (eager.problem, eager.precision))
    exact = found[place].as_exact_as(eager.result)
    if exact is found[place]:
        return []
    found[place] = exact
    wanted = [row for row in exact.rows(options) if row.is_kernel]
    own = [row for row in rows if row.is_kernel and (row.problem, row.precision) == (eager.problem, eager.precision)]
    names, old = {row.what for row in wanted}, {row.what for row in own}
    rows[:] = [row for row in rows if all(row is not mine for mine in own) or row.result or row.what in names]
    new = [row for row in wanted if row.what not in old]
    rows += new
    if new:
        print(f"{eager.problem}: eager computes in fp32 although TF32 is allowed; so do its kernels now", flush=True)
    return new


def still_wanted(pending: list[Row], rows: list[Row]) -> list[Row]:
    """Of what is pending, what was not given up."""
    return [row for row in pending if any(row is kept for kept in rows)]


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
        right = [row for row in own if row.is_kernel and eager and is_right(row.result, eager.result)]
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
