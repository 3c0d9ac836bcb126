"""`agent verify`: judge an exported kernel again and hold it against its card; made for CI.

A regression is a verdict that got worse, other than for want of the card's GPU; a measured time beyond the card's
interval and `TIME_RATIO`, on a device of the same name (where the figures are by two clocks, both by the judge's, and
`LATE_MS` more); or, with the same toolchain and GPU, an estimated bound more than `BOUND_RATIO` above that of the
card. Speed that cannot be compared so is said to be not compared. What differs without being worse (environment,
toolchain, registers, changed code, another reference) is named.

Exit codes: 0 holds, 1 regression, 4 nothing got worse but the verdict is unverified.

Limits: as good as what this machine can check: without a GPU no time is compared, only bounds.
"""

import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands.choice import chosen
from agent.commands.evaluate import Setting, judged
from agent.commands.source_text import source_text
from evaluators.candidate import candidate_from
from evaluators.errors import UnknownProblem, UsageError
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem
from evaluators.problem_catalog import all_problems
from runs.exports.card import Card, code_sha256, kernel_code, read_card
from runs.inert import inert, one_line
from runs.measured import timing_of
from runs.measured_text import latency_text, speedup_text, time_text
from runs.verdict_text import verdict_text

BOUND_RATIO = 1.01  # the same code and toolchain give the same bound
TIME_RATIO = 1.05  # between the two intervals: another sitting has other clocks and temperatures
LATE_MS = 0.1  # a call, by the judge's clock, where a slow host is late with its launches (one H200)
_RANK = {"passed": 2, "unverified": 1, "not judged": 0, "failed": 0}


@dataclass
class Finding:
    """What the comparison found."""

    regressions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where it is judged again: target (None: that of the card), sandbox, device."""

    gpu: str | None
    sandbox: str = "auto"
    device: str = "auto"


def verify(file: Path, place: Place, *, problem: str | None, as_json: bool) -> None:
    """Judge the kernel in `file` and leave with what became of it; without `problem` on that of the card."""
    text = source_text(file)
    card, code = read_card(text), kernel_code(text) + "\n"
    plain, target = _subject(file, card, problem, place)
    subject = plain.at_precision(card.precision)
    setting = Setting(gpu=target.key, sandbox=place.sandbox, device=place.device)
    evaluation = judged(subject, candidate_from(code), target, setting, profiles=False)
    finding = held_against(card, evaluation, subject, code)
    if as_json:
        print(json.dumps(_as_json(card, evaluation, finding)))
    else:
        print("\n".join(_lines(card, evaluation, finding)))
    sys.exit(_exit_code(evaluation, finding))


def _subject(file: Path, card: Card, problem: str | None, place: Place) -> tuple[Problem, GpuSpec]:
    """What it is judged on. Raises UsageError where that is another problem than the card's."""
    command = f"agent verify {shlex.quote(str(file))} --problem"
    key = one_line(card.problem, 80)
    try:
        subject, target = chosen(problem or card.problem, place.gpu or card.gpu)
    except UnknownProblem:
        if problem is not None:
            raise
        raise UsageError(f"the card is for {key}, which is not built in: name its file: {command} PATH") from None
    if subject.key != card.problem and subject.id != card.problem_sha256:
        way = f"{command} {key}" if _is_built_in(card.problem) else f"name its file: {command} PATH"
        raise UsageError(f"the card is for {key}, not for {subject.key}: {way}")
    return subject, target


def _is_built_in(key: str) -> bool:
    return any(problem.key == key for problem in all_problems())


def held_against(card: Card, evaluation: Evaluation, subject: Problem, code: str) -> Finding:
    """What got worse against the card, and what else differs."""
    finding = Finding(notes=_differences(card, evaluation, subject, code))
    if _RANK[evaluation.verdict] < _RANK.get(card.verdict, 0) or evaluation.verdict == "failed":
        words = (
            f"verdict: {verdict_text(evaluation)}, the card says {one_line(card.verdict)}: "
            f"{one_line(evaluation.message, 300)}"
        )
        (finding.notes if _lacks_the_device(card, evaluation) else finding.regressions).append(words)
    for compare in (_times, _bounds):
        is_worse, words = compare(card, evaluation)
        (finding.regressions if is_worse else finding.notes).append(words)
    return finding


def _lacks_the_device(card: Card, evaluation: Evaluation) -> bool:
    """Whether nothing wrong was found and the card was judged on a GPU, this verdict on none."""
    is_gpu_missing = "device" in card.environment and "device" not in evaluation.environment
    return evaluation.verdict == "unverified" and is_gpu_missing


def _times(card: Card, evaluation: Evaluation) -> tuple[bool, str]:
    """Measured against measured, on a device of the same name only."""
    old, new = card.timing, timing_of(evaluation)
    if old is None or new is None:
        who = "the card" if old is None else "this verdict"
        return False, f"measured time: not compared, {who} holds none"
    if old.device != new.device:
        return False, f"measured time: not compared, the card's is of {one_line(old.device, 60)}, here {new.device}"
    words = f"measured time on {new.device}: {latency_text(new.latency)}, the card says {latency_text(old.latency)}"
    if new.clock == old.clock:
        return new.latency.p20_ms > TIME_RATIO * old.latency.p80_ms, words
    is_worse = new.outside.p20_ms > TIME_RATIO * old.outside.p80_ms + LATE_MS  # the one clock that both have
    return is_worse, f"{words}; the one by {new.clock}, the other by {old.clock}"


def _bounds(card: Card, evaluation: Evaluation) -> tuple[bool, str]:
    """Estimate against estimate, for the same GPU and with the same toolchain only."""
    estimate, old_ms = evaluation.estimate, card.estimated_bound_ms
    if estimate is None or old_ms is None or estimate.left_out or not card.is_bound_complete:
        return False, "estimated bound: not compared, there is no complete one on both sides"
    if evaluation.gpu != card.gpu:
        return False, f"estimated bound: not compared, the card's is for {one_line(card.gpu, 40)}"
    if one_line(estimate.toolchain, 80) != card.toolchain:
        return False, f"estimated bound: not compared, the card's is of {one_line(card.toolchain, 80)}"
    words = f"estimated bound: {estimate.value_ms:.4g} ms, the card says {old_ms:.4g} ms"
    return estimate.value_ms > BOUND_RATIO * old_ms, words


def _differences(card: Card, evaluation: Evaluation, subject: Problem, code: str) -> list[str]:
    registers = max((kernel.registers for kernel in evaluation.kernels), default=None)
    spills = max((kernel.spills for kernel in evaluation.kernels), default=None)
    toolchain = evaluation.estimate.toolchain if evaluation.estimate else card.toolchain
    error = evaluation.numeric_error
    pairs = (
        ("code sha256", card.code_sha256, code_sha256(code)),
        ("reference sha256", card.problem_sha256, subject.id),
        ("GPU", card.gpu, evaluation.gpu),
        ("toolchain", card.toolchain, toolchain),
        ("registers", card.registers, registers),
        ("spills", card.spills, spills),
        ("precision class", card.precision_class or None, error.precision if error and card.precision_class else None),
        *((name, old, evaluation.environment.get(name, "")) for name, old in card.environment.items()),
    )
    return [
        f"{name} differs: card {one_line(str(old))}, here {one_line(str(new)) or 'none'}"
        for name, old, new in pairs
        if old != new
    ]


def _lines(card: Card, evaluation: Evaluation, finding: Finding) -> list[str]:
    error = evaluation.numeric_error
    bound = f"{evaluation.estimate.value_ms:.4g} ms" if evaluation.estimate else "none"
    timing = timing_of(evaluation)
    measured = f"measured {time_text(timing)}, {speedup_text(timing)}" if timing else "not timed"
    return [
        f"card: {one_line(card.run)}, attempt {card.attempt}, {one_line(card.verdict)}",
        f"here: {verdict_text(evaluation)}; {measured}; estimated bound {bound}; "
        f"relative error {f'{error.worst:.3g} (allowed {error.allowed:.3g})' if error else 'not compared'}",
        *(f"note: {inert(text)}" for text in finding.notes),
        *(f"not checked: {check.name}" for check in evaluation.checks if check.status == "not_checked"),
        *(f"REGRESSION: {inert(text)}" for text in finding.regressions),
        *([] if finding.regressions else ["holds" if evaluation.verdict == "passed" else "could not be verified here"]),
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
