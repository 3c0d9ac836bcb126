"""`agent bench-baselines`: the library at all its settings on this machine's GPU.

Kept by the machine's fingerprint and used by every later verdict on the problem. Limits: one problem; needs a GPU.
"""

import json
import sys

from evaluators.client import JudgeClient
from evaluators.measurement import Baseline
from evaluators.problem_catalog import load_problem
from runs.table import table


def bench_baselines(problem: str, *, as_json: bool) -> None:
    """Print one row per setting: latency, its spread, error against float64, precision class."""
    subject = load_problem(problem)
    for note in subject.notes:
        print(note, file=sys.stderr)
    print("measuring; torch.compile with max-autotune can take minutes", file=sys.stderr)
    with JudgeClient(device="cuda") as judge:
        found, environment = judge.baselines(subject)
    if as_json:
        print(json.dumps({"baselines": found.model_dump(mode="json"), "environment": environment}))
        return
    print(f"{subject.key} on {found.device}; eager is of precision class {found.precision}")
    print(table(("setting", "ms", "p20-p80", "error", "class", "note"), [_row(each) for each in found.measured]))
    print("; ".join(f"{name} {value}" for name, value in environment.items()))


def _row(baseline: Baseline) -> tuple[str, ...]:
    latency, error = baseline.latency, baseline.error
    return (
        baseline.name,
        f"{latency.median_ms:.4g}" if latency else "-",
        f"{latency.p20_ms:.4g}-{latency.p80_ms:.4g}" if latency else "-",
        f"{error:.2g}" if error is not None else "-",
        baseline.precision or "-",
        baseline.note,
    )
