"""The card in an export: what was known of the kernel when it left, for programs. `agent verify` holds it to that.

    # /// kernel-card
    # { ... JSON ... }
    # ///

Limits: recorded facts; the words above it say the same to a person. A card is a claim, not a proof: whoever relies on
it runs `agent verify`.
"""

import ast
import hashlib
import json
import re
from typing import Literal

from pydantic import BaseModel, ValidationError

from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation
from evaluators.frozen import Frozen
from evaluators.measurement import Baselines, Duel, Timing
from evaluators.screening.source import main_blocks
from runs.exports.winner import Winner
from runs.inert import one_line
from runs.measured import timing_of

BEGIN, END = "# /// kernel-card", "# ///"
SELF_CHECK_MARK = "\n\n# --- self-check:"
CARD_SCHEMA = 1
_CODING = re.compile(r"coding[=:]")  # a line that has Python read the file in another encoding than we do
GPU_GUARD = """\
if __name__ == "__main__":
    import torch

    if not torch.cuda.is_available():
        print("not checked: a CUDA kernel needs a GPU and nvcc")
        raise SystemExit(4)

"""


class _CardHead(BaseModel):
    """What a card of any version says."""

    schema_version: int = CARD_SCHEMA


class Card(Frozen):
    """Provenance and figures of an exported kernel; a figure that was not recorded is None."""

    schema_version: int = CARD_SCHEMA
    run: str
    attempt: int
    problem: str
    problem_sha256: str  # first 16 hex digits
    gpu: str
    code_sha256: str
    verdict: str
    relative_error: float | None = None
    error_allowed: float | None = None
    estimated_bound_ms: float | None = None
    is_bound_complete: bool = False
    registers: int | None = None
    spills: int | None = None
    toolchain: str = ""
    timing: Timing | None = None
    duel: Duel | None = None
    environment: dict[str, str] = {}
    precision: Literal["reference", "tf32", "fp32"] = "reference"  # the class that the run asked for
    precision_class: Literal["", "tf32", "fp32"] = ""  # the class that held
    beyond_published: str = ""  # whether larger sizes than the published ones were judged, in the check's words

    @property
    def baselines(self) -> Baselines | None:
        """The library's settings it was timed beside."""
        return self.timing.baselines if self.timing else None


def card_of(winner: Winner) -> Card:
    """The card of an attempt."""
    evaluation = winner.attempt.evaluation
    error, estimate = (evaluation.numeric_error, evaluation.estimate) if evaluation else (None, None)
    kernels = evaluation.kernels if evaluation else ()
    return Card(
        run=winner.directory.id,
        attempt=winner.attempt.number,
        problem=winner.problem.key,
        problem_sha256=winner.problem.id,
        gpu=winner.directory.run.config.gpu,
        code_sha256=code_sha256(winner.source),
        verdict=winner.verdict,
        relative_error=error.worst if error else None,
        error_allowed=error.allowed if error else None,
        estimated_bound_ms=estimate.value_ms if estimate else None,
        is_bound_complete=bool(estimate and not estimate.left_out),
        registers=max((kernel.registers for kernel in kernels), default=None),
        spills=max((kernel.spills for kernel in kernels), default=None),
        toolchain=one_line(estimate.toolchain, 80) if estimate else "",
        timing=timing_of(evaluation),
        duel=evaluation.duel if evaluation else None,
        environment=evaluation.environment if evaluation else {},
        precision=winner.problem.tolerance.precision,
        precision_class=error.precision if error else "",
        beyond_published=_beyond_published(evaluation),
    )


def _beyond_published(evaluation: Evaluation | None) -> str:
    found = [check for check in evaluation.checks if check.name == "larger_sizes"] if evaluation else []
    return next((one_line(f"{check.status}: {check.detail}", 600) for check in found), "not_checked")


def card_lines(card: Card) -> str:
    """The card as comment lines, one per field."""
    fields = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in card.model_dump(mode="json").items()]
    return "\n".join([BEGIN, "# {", *(f"#  {field}," for field in fields[:-1]), f"#  {fields[-1]}", "# }", END])


def read_card(text: str) -> Card:
    """The card of an exported file. Raises UsageError where it has none that can be read."""
    _, found, rest = text.partition(BEGIN + "\n")
    body, ended, _ = rest.partition(f"\n{END}\n")
    if not found or not ended:
        raise UsageError("the file holds no kernel card: verify takes what `agent export` wrote")
    fields = "\n".join(line.removeprefix("# ") for line in body.split("\n"))
    try:
        schema = _CardHead.model_validate_json(fields).schema_version
        if schema > CARD_SCHEMA:
            said = f"the kernel card was written by a newer agent (schema {schema}, this one reads {CARD_SCHEMA})"
            raise UsageError(f"{said}: upgrade")
        return Card.model_validate_json(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"the kernel card is damaged: {first['loc']}: {first['msg']}") from None


def looks_exported(text: str) -> bool:
    """Whether it looks like an exported file: it has a card or a self-check."""
    return BEGIN + "\n" in text or SELF_CHECK_MARK in text


def kernel_code(text: str) -> str:
    """The kernel of an exported file, without card and self-check.

    Raises UsageError where the file does more than this when it is imported: a verdict on the kernel would then be
    none on the file.
    """
    _, begun, rest = text.partition(BEGIN + "\n")
    _, _, code = rest.partition(f"\n{END}\n") if begun else ("", "", text)
    code = code.lstrip("\n").removeprefix(GPU_GUARD).partition(SELF_CHECK_MARK)[0]
    if not _is_all_there_is(code, text):
        raise UsageError("the file was changed outside its kernel: imported it does more than the kernel in it")
    return code


def _is_all_there_is(code: str, text: str) -> bool:
    """Whether importing `text` does what importing `code` does: around it stand comments and `__main__` parts only."""
    if _CODING.search("\n".join(text.split("\n")[:2])):
        return False
    kernel, whole = _parsed(code), _parsed(text)
    if kernel is None:
        return True  # its verdict cannot be passed
    return whole is not None and _on_import(whole) == _on_import(kernel)


def _on_import(tree: ast.Module) -> list[str]:
    left_out = main_blocks(tree)
    return [ast.dump(node) for node in tree.body if node not in left_out]


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return None


def code_sha256(source: str) -> str:
    """Identity of a kernel's text, blank lines around it aside."""
    return hashlib.sha256(source.strip("\n").rstrip().encode("utf-8", "surrogatepass")).hexdigest()
