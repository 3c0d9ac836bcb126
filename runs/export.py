"""Export: one attempt as a standalone file with `ModelNew`, where it comes from, and a check that runs by itself.

The header says what the judge found, what it did not check, and the origin of every figure. Run as a program the file
compares itself with the embedded reference against float64 (runs/self_check.txt) and exits non-zero where it is wrong.

Limits: the file needs torch and triton (or nvcc), nothing of this project. The check is one draw of inputs.
"""

import textwrap
from pathlib import Path

from evaluators.candidate import candidate_from
from evaluators.evaluation import Evaluation
from evaluators.problem import Problem
from runs.exports.card import GPU_GUARD, card_lines, card_of
from runs.exports.winner import Winner, winner_from, winner_of
from runs.inert import one_line
from runs.measured import timing_of
from runs.measured_text import floor_text, speedup_text, time_text
from runs.nouns import Attempt
from runs.store import RunDirectory, write_durably
from runs.verdict_text import pairs_text, verdict_text

SELF_CHECK = Path(__file__).with_name("self_check.txt")
LINE_CHARS, FACT_CHARS = 116, 800  # of a line and of one fact in the header


def export_source(directory: RunDirectory, number: int | None = None) -> str:
    """The standalone file of an attempt, or of the best. Raises UsageError where there is no code to export."""
    return _standalone(winner_of(directory, number))


def annotated_source(winner: Winner) -> str:
    """The kernel under its header: what is known in words, then the card that `agent verify` reads."""
    header = _comments(provenance(winner.directory, winner.attempt, winner.problem))
    card = card_lines(card_of(winner))
    return f"{header}\n{card}\n\n{_needs_gpu(winner.source)}{winner.source.rstrip()}"


def export_best(directory: RunDirectory, best: Attempt | None) -> Path | None:
    """Make best.py in the run directory the best kernel, durably, where it passed; else there is no such file.

    What `agent export` refuses without --allow-unverified is not left to be found here either.
    """
    path = directory.path / "best.py"
    if best is None or best.evaluation is None or best.evaluation.verdict != "passed":
        path.unlink(missing_ok=True)
        return None
    write_durably(path, _standalone(winner_from(directory, best)))
    return path


def _standalone(winner: Winner) -> str:
    return f"{annotated_source(winner)}\n{_self_check(winner)}"


def provenance(directory: RunDirectory, attempt: Attempt, problem: Problem) -> list[str]:
    """Where a kernel comes from and what is known about it; one fact per line."""
    config = directory.run.config
    return [
        f"{problem.key}: {problem.title}",
        f"run: {directory.id}, attempt {attempt.number}, stage {attempt.stage}, {attempt.started_at}",
        f"problem: {problem.key}, sha256 {problem.id} (first 16 hex digits of the reference below)",
        f"target GPU: {config.gpu}; written by: {config.model}; candidate {attempt.candidate_id}",
        *([f"plan: {attempt.plan}"] if attempt.plan else []),
        *_versions(directory),
        *(_evaluation(attempt.evaluation) if attempt.evaluation else ["verdict: not judged"]),
    ]


def _evaluation(evaluation: Evaluation) -> list[str]:
    checks = evaluation.checks
    named = {status: [c for c in checks if c.status == status] for status in ("passed", "failed", "not_checked")}
    return [
        f"verdict: {verdict_text(evaluation)}{_message(evaluation)}",
        *([f"checked and held: {', '.join(check.name for check in named['passed'])}"] if named["passed"] else []),
        *(f"FAILED: {check.name}: {check.detail}" for check in named["failed"]),
        *(f"NOT CHECKED: {check.name}: {check.detail}" for check in named["not_checked"]),
        *_numbers(evaluation),
        *(f"refuses (raises): {text}" for text in evaluation.scope),
        *_kernels(evaluation),
        *_times(evaluation),
        *([f"judged with: {pairs_text(evaluation.environment)}"] if evaluation.environment else []),
    ]


def _message(evaluation: Evaluation) -> str:
    """Why it is not passed; what held is listed below."""
    return f": {evaluation.message}" if evaluation.verdict != "passed" else ""


def _numbers(evaluation: Evaluation) -> list[str]:
    error = evaluation.numeric_error
    if error is None:
        return ["numbers: not compared"]
    return [
        f"numbers: relative error against float64 {error.worst:.3g} (allowed {error.allowed:.3g}, the reference's own "
        f"{error.reference_own:.3g}), worst at {error.geometry}, {error.elements_compared} elements compared; "
        f"precision class {error.precision}"
    ]


def _kernels(evaluation: Evaluation) -> list[str]:
    return [
        f"kernel {kernel.name} (compiled for {evaluation.gpu}, not measured): grid {kernel.grid}, "
        f"{kernel.registers} registers, {kernel.spills} bytes spilled, {kernel.shared_memory_bytes} bytes of shared "
        f"memory, theoretical occupancy <= {kernel.theoretical_occupancy_pct:.0f} %, {kernel.num_warps} warps, "
        f"{kernel.num_stages} stages"
        for kernel in evaluation.kernels
    ]


def _times(evaluation: Evaluation) -> list[str]:
    estimate, timing = evaluation.estimate, timing_of(evaluation)
    words = f"{time_text(timing)}; {speedup_text(timing)}; {floor_text(timing)}" if timing else ""
    measured = [f"time, measured on {timing.device}: {words}"] if timing else ["time: NOT MEASURED"]
    if estimate is None:
        return measured
    calibration = "calibrated" if estimate.calibrated else "uncalibrated"
    return [
        *measured,
        f"estimated lower bound ({calibration}): {estimate.value_ms:.4g} ms on "
        f"{estimate.target or evaluation.gpu}, limited by {estimate.limiter}; "
        f"leaves out: {', '.join(estimate.unmodelled) or 'nothing named'}",
    ]


def _versions(directory: RunDirectory) -> list[str]:
    versions = directory.run.versions
    return [f"versions: {pairs_text(versions)}"] if versions else []


def _comments(lines: list[str]) -> str:
    """Comment lines that nothing in a fact can end: every letter that is not printable is written out."""
    facts = (one_line(line, FACT_CHARS) for line in lines)
    wrapped = (textwrap.wrap(fact, LINE_CHARS, subsequent_indent="    ", break_on_hyphens=False) for fact in facts)
    return "\n".join(f"# {line}" for fact in wrapped for line in fact)


def _needs_gpu(source: str) -> str:
    """A CUDA candidate builds its extension on import: the check must end before that where there is no GPU."""
    has_future = "from __future__" in source  # which must stay the first statement
    return "" if candidate_from(source).language != "cuda" or has_future else GPU_GUARD


def _class_allows(evaluation: Evaluation | None, problem: Problem) -> float:
    """The bound of precision class tf32 where the kernel was accepted in it, else 0."""
    error = evaluation.numeric_error if evaluation else None
    tolerance = problem.tolerance
    return tolerance.tf32_error_multiple * tolerance.tf32_floor if error and error.precision == "tf32" else 0.0


def _self_check(winner: Winner) -> str:
    problem = winner.problem
    filled = {
        "@NAME@": repr(problem.key),
        "@ERROR_MULTIPLE@": repr(problem.tolerance.error_multiple),
        "@FLOOR@": repr(problem.tolerance.floor),
        "@CLASS_ALLOWS@": repr(_class_allows(winner.attempt.evaluation, problem)),
        "@LANGUAGE@": repr(candidate_from(winner.source).language),
        "@REFERENCE@": _quoted(problem.source),  # last: a reference that holds one of the marks is not filled in
    }
    text = SELF_CHECK.read_text(encoding="utf-8")
    for mark, value in filled.items():
        text = text.replace(mark, value)
    return text


def _quoted(text: str) -> str:
    """A triple-quoted literal that reads like the text and evaluates to it."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').replace("\r", "\\r").replace("\0", "\\0")
    return f'"""\\\n{escaped}"""' if not escaped.endswith('"') else repr(text)
