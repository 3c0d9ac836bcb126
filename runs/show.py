"""A recorded run on the terminal: one line per attempt, or one attempt in full. The same data as JSON.

Text of models and candidates is shown inert: escapes are printed, not obeyed. Figures name their origin: measured ones
have columns of their own (runs/measured.py), `estimated` is a model's lower bound, `compiled` was read from the binary.

Limits: reading only, plain text; how an evaluation is put in words is runs/verdict_text.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evaluators.evaluation import Evaluation
from runs.difference import change_text, difference
from runs.inert import harmless, inert, one_line
from runs.measured import Column, columns
from runs.nouns import Attempt, Usage
from runs.record import lost_lines
from runs.stage_return import stage_return_json, stage_return_lines
from runs.state import AWAITED, RunState
from runs.store import RunDirectory
from runs.table import table
from runs.terminal import coloured_difference, coloured_markdown
from runs.tuning_text import tuning_lines
from runs.verdict_text import confirmation_text, evaluation_lines, verdict_text

__all__ = [
    "attempt_json",
    "attempt_lines",
    "cost_text",
    "ended_text",
    "evaluation_lines",
    "no_code_text",
    "run_json",
    "run_lines",
    "unread_knobs_text",
    "usage_text",
]

_REASON_CHARS = 800  # it may quote the lines of a reference that the playbook does not write
_BEFORE = ("#", "stage", "role", "from", "verdict")
_AFTER = ("estimated_ms", "regs", "spills", "smem", "occ_%", "decision", "cost", "seconds")
LEGEND = (
    "estimated_ms: a model's lower bound, not measured (?: incomplete). regs, spills (bytes), smem (bytes):",
    "compiled, the largest over a candidate's kernels; occ_%: theoretical upper bound, the lowest over its kernels.",
    "`*` marks the best.",
)
_COMPILED = {"SASS": "kernel.sass", "PTX": "kernel.ptx"}  # too long to print: they are named


def run_lines(directory: RunDirectory) -> list[str]:
    """The attempts of a run as a table, with what it was asked to do and how it stands."""
    state, lost = directory.state(), lost_lines(directory)
    measured = columns(attempt.evaluation for attempt in state.attempts)
    rows = [_row(attempt, state, measured) for attempt in state.attempts]
    titles = (*_BEFORE, *(column.title for column in measured), *_AFTER)
    legend = (*LEGEND, *_measured_legend(measured))
    body = [*table(titles, rows).split("\n"), *legend] if rows else []
    remarks = [lost] if lost else [] if rows else ["no attempt is finished yet"]
    returns = stage_return_lines(state)
    standing = [*returns, *([""] if returns else []), *_standing(directory, state)]
    return [*_head(directory), "", *body, *remarks, "", *standing]


def attempt_lines(directory: RunDirectory, number: int, *, is_coloured: bool = False) -> list[str]:
    """One attempt: prompt, reply, diff to the parent, verdict with checks and figures; for a terminal in colour."""
    state = directory.state()
    attempt = state.attempt(number)
    if attempt is None:
        return [f"{directory.id} has no attempt {number}"]
    markdown = coloured_markdown if is_coloured else _plain
    return [
        *_attempt_head(directory, attempt),
        *_verdict_section(attempt),
        *filter(None, [confirmation_text(state.confirmation(number))]),
        *_section("prompt", directory.read(number, "prompt.md"), markdown),
        *(_section("analysis", directory.read(number, "analysis.md"), markdown) if attempt.analysis else []),
        *_section("reply", directory.read(number, "reply.md"), markdown),
        *_difference_section(directory, attempt, coloured_difference if is_coloured else _plain),
        *(["", "--- points of SPACE", *tuning_lines(attempt.tuning)] if attempt.tuning else []),
        *_compiled_texts(directory, number),
    ]


def run_json(directory: RunDirectory) -> dict[str, Any]:
    """Everything the journal says about a run."""
    state = directory.state()
    return {
        "run": directory.run.model_dump(mode="json"),
        "path": str(directory.path),
        "attempts": [attempt.model_dump(mode="json") for attempt in state.attempts],
        "pending": state.pending.model_dump(mode="json") if state.pending else None,
        "best": state.best.number if state.best else None,
        "usage": state.usage.model_dump(mode="json"),
        "stages": stage_return_json(state),
        "ended": state.finished,
        "lost": lost_lines(directory) or None,
    }


def attempt_json(directory: RunDirectory, number: int) -> dict[str, Any]:
    """One attempt with its texts, verbatim."""
    attempt = directory.state().attempt(number)
    if attempt is None:
        return {}
    return {
        "attempt": attempt.model_dump(mode="json"),
        "prompt": directory.read(number, "prompt.md"),
        "reply": directory.read(number, "reply.md"),
        "source": directory.read(number, "kernel.py"),
        "difference": "\n".join(_difference(directory, attempt)),
        "compiled": {name: str(path) for name, path in _compiled_files(directory, number).items()},
    }


def _head(directory: RunDirectory) -> list[str]:
    config = directory.run.config
    versions = ", ".join(f"{name} {version}" for name, version in directory.run.versions.items())
    return [
        f"run {directory.id}: {config.problem} on {config.gpu} by {one_line(config.model)}",
        f"started {directory.run.created_at}{f' with {versions}' if versions else ''}",
    ]


def _standing(directory: RunDirectory, state: RunState) -> list[str]:
    usage, best = state.usage, state.best
    lines = []
    if usage.requests:
        lines.append(usage_text(usage))
    if state.pending:
        step = "evaluate --pending" if directory.run.config.model == "manual" else "resume"
        lines.append(f"attempt {state.pending.number} has its reply and waits: agent {step} {directory.argument}")
    lines.append(ended_text(directory, state.finished) if state.finished else "not ended")
    if best:
        lines.append(f"best: attempt {best.number}; see it: agent show {directory.argument} --attempt {best.number}")
    return lines


def ended_text(directory: RunDirectory, reason: str) -> str:
    """How a run stands: it ended, or waits for somebody's reply."""
    if reason.startswith(AWAITED):
        return f"{AWAITED}: agent ask {directory.argument}"
    return f"ended: {one_line(reason, _REASON_CHARS)}"


def _measured_legend(measured: Sequence[Column]) -> list[str]:
    """What the measured columns mean, where there are any."""
    return ["measured:", *(f"  {column.title}: {column.meaning}" for column in measured)] if measured else []


def _compiled_files(directory: RunDirectory, number: int) -> dict[str, Path]:
    paths = {name: directory.attempt_file(number, file) for name, file in _COMPILED.items()}
    return {name: path for name, path in paths.items() if path.exists()}


def _compiled_texts(directory: RunDirectory, number: int) -> list[str]:
    """Where the compiled code lies."""
    found = _compiled_files(directory, number)
    return ["", "--- compiled code", *(f"{name}: {path}" for name, path in found.items())] if found else []


def _row(attempt: Attempt, state: RunState, measured: Sequence[Column]) -> tuple[str, ...]:
    is_best = state.best is not None and state.best.number == attempt.number
    verdict = verdict_text(attempt.evaluation)
    if attempt.reused_from is not None:
        verdict = f"{verdict} (as attempt {attempt.reused_from})"
    elif attempt.evaluation is None and attempt.candidate_id is not None:
        verdict = "not judged"
    verdict = ", ".join(filter(None, (verdict, confirmation_text(state.confirmation(attempt.number)))))
    return (
        str(attempt.number),
        one_line(attempt.stage, 16),
        attempt.role,
        "-" if attempt.parent is None else str(attempt.parent),
        verdict,
        *(column.cell(attempt.evaluation) or "-" if attempt.evaluation else "-" for column in measured),
        _estimate_text(attempt.evaluation),
        *_compiled_cells(attempt.evaluation),
        attempt.decision + (" *" if is_best else ""),
        cost_text(attempt.usage.cost_usd, attempt.usage.requests),
        f"{attempt.seconds:.1f}",
    )


def _compiled_cells(evaluation: Evaluation | None) -> tuple[str, str, str, str]:
    kernels = evaluation.kernels if evaluation else ()
    if not kernels:
        return ("-", "-", "-", "-")
    return (
        str(max(kernel.registers for kernel in kernels)),
        str(max(kernel.spills for kernel in kernels)),
        str(max(kernel.shared_memory_bytes for kernel in kernels)),
        f"{min(kernel.theoretical_occupancy_pct for kernel in kernels):.0f}",
    )


def _estimate_text(evaluation: Evaluation | None) -> str:
    if evaluation is None or evaluation.estimate is None:
        return "-"
    return f"{evaluation.estimate.value_ms:.3g}{'?' if evaluation.estimate.left_out else ''}"


def cost_text(amount: float | None, requests: int) -> str:
    """What was paid; `-` where nobody was, `n/a` where a price is unknown."""
    if not requests:
        return "-"
    return "n/a" if amount is None else f"${amount:.4f}"


def usage_text(usage: Usage) -> str:
    """Requests, tokens and cost of a run."""
    if not usage.requests:
        return "no model was paid"
    tokens = f"{usage.input_tokens} + {usage.output_tokens} tokens"
    return f"{usage.requests} requests, {tokens}, cost {cost_text(usage.cost_usd, usage.requests)}"


def _attempt_head(directory: RunDirectory, attempt: Attempt) -> list[str]:
    parent = "nothing earlier" if attempt.parent is None else f"attempt {attempt.parent}"
    lines = [
        f"run {directory.id}, attempt {attempt.number}: {attempt.role} from {parent}, stage {one_line(attempt.stage)}",
        f"decision: {attempt.decision} ({one_line(attempt.reason)})",
        f"started {attempt.started_at}, {attempt.seconds:.1f} s, {attempt.usage.input_tokens} + "
        f"{attempt.usage.output_tokens} tokens, cost {cost_text(attempt.usage.cost_usd, attempt.usage.requests)}",
    ]
    return [*lines, *([f"plan: {one_line(attempt.plan, 400)}"] if attempt.plan else []), *_stage_lines(attempt)]


def _stage_lines(attempt: Attempt) -> list[str]:
    """What the stage engine saw: passed-over stages, frozen knobs, what the prompt had to leave out."""
    believed, *others = map(one_line, attempt.families or ("",))
    return [
        *([f"algorithm family: {believed}; also named: {', '.join(others) or 'none'}"] if believed else []),
        *(f"passed over: {one_line(reason)}" for reason in attempt.skipped),
        *(f"frozen knob moved: {one_line(violation)}" for violation in attempt.knob_violations),
        *([unread_knobs_text(attempt)] if attempt.knobs_not_checked else []),
        *([f"prompt of {attempt.prompt_chars} characters"] if attempt.prompt_chars else []),
        *([f"left out of the prompt: {', '.join(attempt.prompt_dropped)}"] if attempt.prompt_dropped else []),
    ]


def unread_knobs_text(attempt: Attempt) -> str:
    """Which knobs the stage told the author to leave alone and nothing here can look up in the code."""
    return (
        f"stage {one_line(attempt.stage)} asks to leave {', '.join(attempt.knobs_not_checked)} as they were; "
        "whether that was done is not checked: these cannot be read from the code"
    )


def _plain(lines: Sequence[str]) -> list[str]:
    return list(lines)


def _section(title: str, text: str | None, paint: Callable[[Sequence[str]], list[str]] = _plain) -> list[str]:
    if text is None:
        return ["", f"--- {title}: not recorded"]
    return ["", f"--- {title}", *paint([harmless(line) for line in text.rstrip("\n").split("\n")])]


def _verdict_section(attempt: Attempt) -> list[str]:
    if attempt.evaluation is None:
        return ["", "--- verdict", f"not judged: {inert(attempt.reply_problem) or 'no reason is recorded'}"]
    reused = [f"equal code was judged in attempt {attempt.reused_from}"] if attempt.reused_from is not None else []
    return ["", "--- verdict", *reused, *evaluation_lines(attempt.evaluation)]


def _difference_section(
    directory: RunDirectory, attempt: Attempt, paint: Callable[[Sequence[str]], list[str]]
) -> list[str]:
    if directory.read(attempt.number, "kernel.py") is None:
        return ["", f"--- code: {no_code_text(attempt)}"]
    lines = _difference(directory, attempt)
    if not lines:
        return ["", "--- code: the same as its parent's"]
    return ["", f"--- code ({change_text(lines)})", *paint([harmless(line) for line in lines])]


def no_code_text(attempt: Attempt) -> str:
    """Why there is no code of an attempt to show: none was read, or what was read is lost."""
    of = f"attempt {attempt.number}"
    return f"kernel.py of {of} is missing" if attempt.candidate_id else f"none was read from the reply of {of}"


def _difference(directory: RunDirectory, attempt: Attempt) -> list[str]:
    """The diff to the parent's code, or to what the user brought, or to nothing; empty where there is no code."""
    after = directory.read(attempt.number, "kernel.py")
    if after is None:
        return []
    if attempt.parent is not None:
        before, name = directory.read(attempt.parent, "kernel.py"), f"attempt {attempt.parent}"
        name = f"{name}, which has no kernel.py" if before is None else name
    else:
        before = directory.run.config.seed_code
        name = "given code" if before else "nothing"
    return difference(before or "", after, (name, f"attempt {attempt.number}"))
