"""`agent verify`: judge an exported kernel again and hold it against its card; made for CI.

A regression is a verdict that got worse, or an estimated bound more than `BOUND_RATIO` above that of the card. What
differs without being worse (toolchain, registers, changed code, another reference) is named.

Exit codes: 0 holds, 1 regression, 4 nothing got worse but the verdict is unverified.

Limits: as good as what this machine can check: without a GPU no time is compared, only bounds.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands.choice import chosen
from agent.commands.evaluate import Setting, judged
from evaluators.candidate import candidate_from
from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation
from evaluators.problem import Problem
from runs.exports.card import Card, code_sha256, kernel_code, read_card
from runs.inert import inert, one_line
from runs.verdict_text import verdict_text

BOUND_RATIO = 1.05  # the same code and compiler give the same bound; another ptxas schedules a few per cent differently
_RANK = {"passed": 2, "unverified": 1, "not judged": 0, "failed": 0}


@dataclass
class Finding:
    """What the comparison found."""

    regressions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(file: Path, *, problem: str, gpu: str | None, sandbox: str, as_json: bool) -> None:
    """Judge the kernel in `file` and leave with what became of it."""
    text = _text(file)
    card, code = read_card(text), kernel_code(text) + "\n"
    subject, target = chosen(problem, gpu or card.gpu)
    evaluation = judged(subject, candidate_from(code), target, Setting(gpu=target.key, sandbox=sandbox))
    finding = held_against(card, evaluation, subject, code)
    if as_json:
        print(json.dumps(_as_json(card, evaluation, finding)))
    else:
        print("\n".join(_lines(card, evaluation, finding)))
    sys.exit(_exit_code(evaluation, finding))


def held_against(card: Card, evaluation: Evaluation, subject: Problem, code: str) -> Finding:
    """What got worse against the card, and what else differs."""
    finding = Finding(notes=_differences(card, evaluation, subject, code))
    if _RANK[evaluation.verdict] < _RANK.get(card.verdict, 0) or evaluation.verdict == "failed":
        finding.regressions.append(
            f"verdict: {verdict_text(evaluation)}, the card says {one_line(card.verdict)}: "
            f"{one_line(evaluation.message, 300)}"
        )
    estimate = evaluation.estimate
    if estimate is None or card.estimated_bound_ms is None or evaluation.gpu != card.gpu or estimate.left_out:
        finding.notes.append("speed: no complete bound on both sides for the same GPU; not compared")
    elif estimate.value_ms > BOUND_RATIO * card.estimated_bound_ms:
        finding.regressions.append(
            f"estimated bound: {estimate.value_ms:.4g} ms, the card says {card.estimated_bound_ms:.4g} ms"
        )
    return finding


def _differences(card: Card, evaluation: Evaluation, subject: Problem, code: str) -> list[str]:
    registers = max((kernel.registers for kernel in evaluation.kernels), default=None)
    spills = max((kernel.spills for kernel in evaluation.kernels), default=None)
    toolchain = evaluation.estimate.toolchain if evaluation.estimate else card.toolchain
    pairs = (
        ("code sha256", card.code_sha256, code_sha256(code)),
        ("reference sha256", card.problem_sha256, subject.id),
        ("GPU", card.gpu, evaluation.gpu),
        ("toolchain", card.toolchain, toolchain),
        ("registers", card.registers, registers),
        ("spills", card.spills, spills),
    )
    return [
        f"{name} differs: card {one_line(str(old))}, here {one_line(str(new))}"
        for name, old, new in pairs
        if old != new
    ]


def _lines(card: Card, evaluation: Evaluation, finding: Finding) -> list[str]:
    error = evaluation.numeric_error
    bound = f"{evaluation.estimate.value_ms:.4g} ms" if evaluation.estimate else "none"
    return [
        f"card: {one_line(card.run)}, attempt {card.attempt}, {one_line(card.verdict)}",
        f"here: {verdict_text(evaluation)}; estimated bound {bound}; "
        f"relative error {f'{error.worst:.3g} (allowed {error.allowed:.3g})' if error else 'not compared'}",
        *(f"note: {inert(text)}" for text in finding.notes),
        *(f"not checked: {check.name}" for check in evaluation.checks if check.status == "not_checked"),
        *(f"REGRESSION: {inert(text)}" for text in finding.regressions),
        *(["holds"] if not finding.regressions and evaluation.verdict == "passed" else []),
    ]


def _as_json(card: Card, evaluation: Evaluation, finding: Finding) -> dict[str, object]:
    return {
        "card": card.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "regressions": finding.regressions,
        "notes": finding.notes,
    }


def _exit_code(evaluation: Evaluation, finding: Finding) -> int:
    if finding.regressions:
        return 1
    return 0 if evaluation.verdict == "passed" else 4


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
