"""`agent bench-baselines`: the library at all its settings on this machine's GPU.

Kept by the machine's fingerprint and used by every later verdict on the problem. Limits: one problem; needs a GPU.
"""

import json
import sys

from evaluators.client import JudgeClient
from evaluators.problem_catalog import load_problem
from runs.measured_text import baseline_lines
from runs.verdict_text import pairs_text


def bench_baselines(problem: str, *, as_json: bool) -> None:
    """Print one row per setting: latency, its spread, error against float64, precision class."""
    subject = load_problem(problem)
    for note in subject.notes:
        print(note, file=sys.stderr)
    with JudgeClient(device="cuda") as judge:
        judge.device()  # fails where there is none
        print("measuring; torch.compile with max-autotune can take minutes", file=sys.stderr)
        found, environment = judge.baselines(subject)
    if as_json:
        print(json.dumps({"baselines": found.model_dump(mode="json"), "environment": environment}))
        return
    print("\n".join([subject.key, *baseline_lines(found), pairs_text(environment)]))
