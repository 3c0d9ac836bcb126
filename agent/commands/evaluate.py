"""`agent evaluate`: judge one file and print the verdict with its evidence.

Of a file that `agent export` wrote the kernel is judged, by the same screen and ladder as any other; that card and
self-check do nothing on import is checked. Other text that holds a fenced `ModelNew` is read like a reply.

Limits: one candidate, no record.
"""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.commands.choice import chosen
from agent.commands.source_text import source_text
from agent.exits import code_of
from agent.reply import read_reply
from evaluators.candidate import Candidate, candidate_from
from evaluators.client import JudgeClient
from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.ladder import DECIDING, screened
from evaluators.problem import Problem
from runs.exports.card import kernel_code, looks_exported
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
    plain, target = chosen(problem, setting.gpu)
    subject = plain.at_precision(setting.precision)
    evaluation = judged(subject, candidate, target, setting)
    if as_json:
        print(json.dumps(evaluation.model_dump(mode="json")))
    else:
        print("\n".join(evaluation_lines(evaluation)))
    sys.exit(code_of(evaluation))


def judged(
    problem: Problem, candidate: Candidate, gpu: GpuSpec, setting: Setting, *, profiles: bool = True
) -> Evaluation:
    """The verdict: of the text alone where that rejects it, else of a judge that is started for it (seconds).

    Each of the judge's rungs is announced on stderr.
    """
    if rejected := screened(problem, candidate, gpu):
        return rejected
    with JudgeClient(setting.sandbox, device=setting.device) as judge:
        return judge.evaluate(
            problem,
            candidate,
            gpu,
            announce=lambda rung: print(f"  {rung} ...", file=sys.stderr),
            rungs=None if profiles or judge.device() is None else DECIDING,
        )


def read_candidate(file: Path) -> Candidate:
    """The candidate in a file: Python as it is, any other text as a reply. Raises UsageError where there is none."""
    text = source_text(file)
    if file.suffix == ".py":
        return candidate_from(_kernel_of_export(text, file) if looks_exported(text) else text)
    reading = read_reply(text)
    if reading.candidate is None:
        raise UsageError(f"{file} holds no candidate: {reading.reason}; see `agent extract {shlex.quote(str(file))}`")
    return reading.candidate


def _kernel_of_export(text: str, file: Path) -> str:
    """The kernel of an exported file; all of a file that only looks like one."""
    try:
        code = kernel_code(text) + "\n"
    except UsageError as altered:
        print(f"{file}: {altered}; judged as a whole", file=sys.stderr)
        return text
    print(
        f"{file} is an export: the kernel in it is judged (agent verify FILE holds it against its card)",
        file=sys.stderr,
    )
    return code
