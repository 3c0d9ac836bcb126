"""An evaluation in words: the verdict, what was checked and what was not, and the figures with their origin.

Measured, compiled and estimated figures stand in sections of their own, each with its label.

Limits: plain lines; it says what is in the evaluation and compares nothing.
"""

from evaluators.evaluation import Check, Estimate, Evaluation, KernelResources
from runs.inert import inert, one_line
from runs.measured_text import measured_lines
from runs.nouns import Confirmed
from runs.table import table

KERNEL_COLUMNS = ("kernel", "grid", "launches", "regs", "spill_bytes", "smem_bytes", "occupancy_<=%", "warps", "stages")
MARKS = {"passed": "ok", "failed": "FAILED", "not_checked": "not checked"}


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """The whole evaluation."""
    return [
        *_head(evaluation),
        *check_lines(evaluation.checks),
        *_numeric(evaluation),
        *measured_lines(evaluation),
        *kernel_lines(evaluation.kernels, evaluation.gpu),
        *estimate_lines(evaluation.estimate),
        *_circumstances(evaluation),
    ]


def verdict_text(evaluation: Evaluation | None) -> str:
    """The verdict in one word, with the kind where it failed."""
    if evaluation is None:
        return "no candidate"
    return f"failed: {evaluation.kind}" if evaluation.verdict == "failed" else evaluation.verdict


def confirmation_text(confirmation: Confirmed | None) -> str:
    """What judging the candidate once more on fresh seeds gave; empty where that was not done."""
    if confirmation is None:
        return ""
    again = confirmation.evaluation
    return "confirmed on fresh seeds" if again.verdict == "passed" else f"refuted on fresh seeds: {verdict_text(again)}"


def pairs_text(facts: dict[str, str]) -> str:
    """`triton 3.7.1, ptxas 12.8.93`; a value that already begins with its name stands alone."""
    return ", ".join(value if value.startswith(name) else f"{name} {value}" for name, value in facts.items())


def check_lines(checks: tuple[Check, ...]) -> list[str]:
    """One line per check, and the further lines of its detail below it."""
    lines = ["checks:"] if checks else []
    names = [one_line(check.name, 60) for check in checks]
    width = max(map(len, names), default=0)
    for name, check in zip(names, checks, strict=True):
        first, *more = inert(check.detail).split("\n") if check.detail else [""]
        lines.append(f"  {name.ljust(width)}  {MARKS[check.status]}{': ' if first else ''}{first}")
        lines.extend(f"  {' ' * width}  {line}" for line in more)
    return lines


def kernel_lines(kernels: tuple[KernelResources, ...], gpu: str) -> list[str]:
    """The kernels as compiled."""
    if not kernels:
        return []
    rows = [_kernel_row(kernel) for kernel in kernels]
    return [f"kernels, compiled for {gpu} (not measured):", *_indented(table(KERNEL_COLUMNS, rows))]


def estimate_lines(estimate: Estimate | None) -> list[str]:
    """The estimate with what it assumes and what it leaves out."""
    if estimate is None:
        return []
    calibration = "calibrated" if estimate.calibrated else "uncalibrated"
    parts = ", ".join(f"{name} {value:.3g}" for name, value in estimate.components_ms.items())
    return [
        f"estimate (a model's lower bound, {calibration}, not measured): {estimate.value_ms:.4g} ms, "
        f"limited by {inert(estimate.limiter)}",
        *([f"  {inert(estimate.calibration)}"] if estimate.calibration else []),
        *([f"  components in ms: {inert(parts)}"] if parts else []),
        *(f"  INCOMPLETE, too low to rank by: {inert(text)}" for text in estimate.left_out),
        *(f"  assumes: {inert(text)}" for text in estimate.assumptions),
        *([f"  leaves out: {inert(', '.join(estimate.unmodelled))}"] if estimate.unmodelled else []),
    ]


def _head(evaluation: Evaluation) -> list[str]:
    place = f" at {evaluation.rung}" if evaluation.verdict != "passed" else ""
    # what held is listed check by check below
    first, *more = inert(evaluation.message if evaluation.verdict != "passed" else "").split("\n")
    lines = [
        f"verdict: {verdict_text(evaluation)}{place}{': ' if first else ''}{first}",
        *(f"  {line}" for line in more),
    ]
    return [*lines, f"candidate {evaluation.candidate_id} on {evaluation.problem} for {evaluation.gpu}"]


def _numeric(evaluation: Evaluation) -> list[str]:
    error = evaluation.numeric_error
    lines = [f"refuses: {one_line(text)}" for text in evaluation.scope]
    if error is None:
        return lines
    return [
        f"numbers: relative error {error.worst:.3g}, allowed {error.allowed:.3g}, the reference's own "
        f"{error.reference_own:.3g} (worst at {one_line(error.geometry)}; {error.elements_compared} elements compared; "
        f"precision class {error.precision})",
        *lines,
    ]


def _kernel_row(kernel: KernelResources) -> tuple[str, ...]:
    return (
        one_line(kernel.name, 48),
        "x".join(str(size) for size in kernel.grid),
        str(kernel.launches),
        str(kernel.registers),
        str(kernel.spills),
        str(kernel.shared_memory_bytes),
        f"{kernel.theoretical_occupancy_pct:.0f}",
        str(kernel.num_warps),
        str(kernel.num_stages),
    )


def _circumstances(evaluation: Evaluation) -> list[str]:
    spent = ", ".join(f"{rung} {seconds:.1f}" for rung, seconds in evaluation.rung_seconds.items())
    facts = pairs_text(evaluation.environment)
    return [
        *([f"environment: {inert(facts)}"] if facts else []),
        f"judged in {evaluation.duration_s:.1f} s{f' ({spent})' if spent else ''}",
    ]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.split("\n")]
