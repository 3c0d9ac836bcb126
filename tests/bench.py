"""`make bench`: speed and memory of what users wait for. Figures are printed, never asserted.

Where there is a GPU, also what a verdict takes there (tests/gpu_speed.py) and the playbook's table
(tests/gpu_playbook_bench.py), four minutes together.

Limits: wall times of this machine as it is now; run it on a quiet one before comparing.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from checkout import ROOT

from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_catalog import load_problem
from runs.table import table

CANDIDATES = ROOT / "tests" / "evaluators" / "data" / "candidates"
AGENT = (sys.executable, "-m", "agent")
HOST_PEAK = (
    "import resource, runpy, sys; sys.argv = sys.argv[1:];"
    "import atexit; atexit.register(lambda: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024));"
    "runpy.run_module('agent', run_name='__main__')"
)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(*command: str, cwd: str) -> subprocess.CompletedProcess[str]:
    """A finished process, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def help_s(cwd: str) -> float:
    """Median of `agent --help` over seven starts."""
    return statistics.median(seconds(lambda: run(*AGENT, "--help", cwd=cwd)) for _ in range(7))


def evaluations() -> list[tuple[str, str, str]]:
    """One honest candidate after another in one judge, at the published size of convt3d-68."""
    problem, gpu = load_problem("convt3d-68"), load_gpu("4090")
    rows = []
    with JudgeClient() as judge:
        judge.evaluate(problem, candidate_from((CANDIDATES / "direct_triton.py").read_text()), gpu)
        for path in sorted(CANDIDATES.glob("*.py")):
            candidate = candidate_from(path.read_text())
            verdicts: list[str] = []
            took = seconds(lambda c=candidate, v=verdicts: v.append(judge.evaluate(problem, c, gpu).verdict))  # type: ignore[misc]
            rows.append((f"evaluate {path.name} inside a run", f"{took:.2f} s", f"{verdicts[0]}; target 5 s"))
    return rows


def whole_run(cwd: str) -> list[tuple[str, str, str]]:
    """What `make demo` runs."""
    command = (sys.executable, "-c", HOST_PEAK, "agent", "optimize", "--problem", "convt3d", "--gpu", "4090")
    started = time.perf_counter()
    done = run(*command, cwd=cwd)
    took = time.perf_counter() - started
    peak_mb = done.stdout.rsplit("peak", 1)[-1].strip()
    return [
        ("agent optimize, 8 attempts", f"{took:.1f} s", f"exit code {done.returncode}; target 120 s"),
        ("host process, peak memory", f"{peak_mb} MB", "target 200 MB"),
    ]


def speed_on_gpu() -> str:
    """What gpu_speed.py prints, which says so where there is no GPU."""
    done = run(sys.executable, str(ROOT / "tests" / "gpu_speed.py"), cwd=str(ROOT))
    return done.stdout.strip() or _last(done)


def playbook_on_gpu() -> str:
    """The table of gpu_playbook_bench.py, which says so where there is no GPU."""
    script = str(ROOT / "tests" / "gpu_playbook_bench.py")
    done = run(sys.executable, script, "--seconds", "150", cwd=str(ROOT))
    return done.stdout[done.stdout.find("| problem") :].strip() if "| problem" in done.stdout else _last(done)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stdout + done.stderr).strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [("agent --help", f"{help_s(folder) * 1e3:.0f} ms", "median of 7; target 300 ms")]
        kernel = str(CANDIDATES / "direct_triton.py")
        cold = seconds(lambda: run(*AGENT, "evaluate", kernel, "-p", "convt3d", cwd=folder))
        rows.append(("agent evaluate, cold", f"{cold:.1f} s", "direct_triton.py on convt3d-68; target 10 s"))
        rows += evaluations()
        rows += whole_run(folder)
    print(table(("what", "figure", "remark"), rows))
    print(f"\nverdicts on this machine's GPU: {speed_on_gpu()}")
    print(f"\nplaybook on this machine's GPU: {playbook_on_gpu()}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"\n{os.cpu_count()} cores, load {load}; largest child process {peak_mb} MB")


if __name__ == "__main__":
    main()
