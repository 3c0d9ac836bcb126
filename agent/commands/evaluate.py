"""`agent evaluate`: judge one file and print the verdict with its evidence.

Limits: one candidate, no record. A file that is not Python but holds a fenced `ModelNew` is read like a reply.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.exits import code_of
from agent.reply import read_reply
from evaluators.candidate import Candidate, candidate_from
from evaluators.client import JudgeClient
from evaluators.errors import UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_catalog import load_problem
from runs.show import evaluation_lines


@dataclass(frozen=True)
class Setting:
    """Target, sandbox, device and precision class of one verdict, as the options name them."""

    gpu: str
    sandbox: str = "auto"
    device: str = "auto"
    precision: str = "reference"


def evaluate(file: Path | None, setting: Setting, *, problem: str | None, as_json: bool) -> None:
    """Judge the candidate in `file`; leaves with the verdict's exit code."""
    if file is None or problem is None:
        raise UsageError("name a file and --problem, or a run with --pending")
    candidate = read_candidate(file)
    subject, target = load_problem(problem).at_precision(setting.precision), load_gpu(setting.gpu)
    for note in subject.notes:
        print(note, file=sys.stderr)
    with JudgeClient(setting.sandbox, device=setting.device) as judge:
        evaluation = judge.evaluate(
            subject, candidate, target, announce=lambda rung: print(f"  {rung} ...", file=sys.stderr)
        )
    if as_json:
        print(json.dumps(evaluation.model_dump(mode="json")))
    else:
        print("\n".join(evaluation_lines(evaluation)))
    sys.exit(code_of(evaluation))


def read_candidate(file: Path) -> Candidate:
    """The candidate in a file: Python as it is, any other text as a reply. Raises UsageError where there is none."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if file.suffix == ".py":
        return candidate_from(text)
    reading = read_reply(text)
    if reading.candidate is None:
        raise UsageError(f"{file} holds no candidate: {reading.reason}; see `agent extract {file}`")
    return reading.candidate
