"""The words of the correctness rung: what ends an examination, and the messages a person and a model act on.

Limits: wording and bookkeeping; what is examined stands in examination.py and full_size.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from evaluators.evaluation import Kind
from evaluators.judge.compare import Comparison
from evaluators.judge.conversation import Answer
from evaluators.rungs import Failure

TF32_ADVICE = "; tl.dot uses TF32 unless input_precision='ieee' (or 'tf32x3') is given"
PRECISION_SAID = {
    "fp32": "as exact as float32",
    "tf32": "as exact as TF32, which the reference uses by default on a GPU",
}


class Wrong(Exception):
    """The candidate is wrong; the examination ends here. `check` names the question it failed."""

    def __init__(self, check: str, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.check = check
        self.failure = Failure(kind, message)


@contextmanager
def failing(check: str) -> Iterator[None]:
    """What is found wrong in here fails this check."""
    try:
        yield
    except Wrong as wrong:
        raise Wrong(check, wrong.failure.kind, wrong.failure.message) from None


class CannotCheck(Exception):
    """Something that decides cannot be checked here."""


State = Sequence[tuple[str, tuple[int, ...], str, bool]]


def require_same_parameters(state: State, weights: Mapping[str, torch.Tensor]) -> None:
    """The candidate must have the reference's state by name, shape and dtype; extra buffers are its own affair."""
    theirs = {name: (shape, dtype) for name, shape, dtype, _ in state}
    wanted = {name: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for name, v in weights.items()}
    missing = [f"{n} {_said(*wanted[n])}" for n in wanted if n not in theirs]
    unknown = [f"{n} {_said(*theirs[n])}" for n, _, _, trained in state if trained and n not in wanted]
    differing = [
        f"{n} is {_said(*theirs[n])}, must be {_said(*wanted[n])}"
        for n in wanted
        if n in theirs and theirs[n] != wanted[n]
    ]
    if not (missing or unknown or differing):
        return
    parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
    held = ", ".join(f"{n} {_said(*kind)}" for n, kind in wanted.items())
    advice = f"Model holds {held}; ModelNew must hold the same under the same names (the same nn submodule does)"
    text = "; ".join([*parts, *differing])
    raise Wrong("weights", "incorrect_weights", f"weights cannot be copied from the reference: {text}. {advice}"[:1500])


def _said(shape: tuple[int, ...], dtype: str) -> str:
    return f"{shape}" if dtype == "float32" else f"{shape} {dtype}"


def require_contract(described: Sequence[Mapping[str, Any]], expected: Sequence[torch.Tensor], where: str) -> None:
    """Type, number, shape, dtype, layout and freshness of what forward returned."""
    if len(described) != len(expected):
        raise Wrong(
            "contract",
            "incorrect_shape",
            f"{where}: forward must return {len(expected)} tensor(s), got {len(described)}",
        )
    for got, own in zip(described, expected, strict=True):
        _require_one(got, own, where)


def _require_one(got: Mapping[str, Any], own: torch.Tensor, where: str) -> None:
    if got.get("type") != "Tensor":
        raise Wrong(
            "contract",
            "rejected",
            f"{where}: forward must return a plain torch.Tensor, got {str(got.get('type'))[:80]}",
        )
    if got.get("shape") != list(own.shape):
        said = f"{where}: output shape must be {tuple(own.shape)}, got {_tuple(got.get('shape'))}"
        raise Wrong("contract", "incorrect_shape", said)
    dtype = str(own.dtype).removeprefix("torch.")
    if got.get("dtype") != dtype:
        raise Wrong(
            "contract", "incorrect_dtype", f"{where}: output dtype must be {dtype}, got {str(got.get('dtype'))[:40]}"
        )
    if own.is_contiguous() and got.get("contiguous") is not True:
        said = f"{where}: the output must be contiguous as the reference's is, got strides {_tuple(got.get('strides'))}"
        raise Wrong("contract", "incorrect_shape", said)
    if got.get("aliases"):
        said = f"{where}: the output shares memory with {str(got['aliases'])[:40]}; every call must return fresh memory"
        raise Wrong("contract", "rejected", said)


def _tuple(value: Any) -> str:
    return str(tuple(value))[:100] if isinstance(value, list) else "nothing"


def wrong_values(where: str, c: Comparison, hint: str) -> str:
    """One message: where, how wrong, which element, and what explains it."""
    share = 100 * c.wrong_elements / max(1, c.elements)
    error = f"relative error {c.error:.2g}, allowed {c.allowed:.2g}" if c.allowed else "values differ"
    parts = [f"{where}: {error}; {c.wrong_elements} of {c.elements} elements wrong ({share:.1f} %)"]
    if c.phase:
        parts.append(f"only in output phase {c.phase} (index modulo stride)")
    if c.worst_index or c.elements == 1:
        parts.append(f"worst at index {c.worst_index}: expected {c.expected:.6g}, got {c.got:.6g}")
    if c.unwritten:
        parts.append(f"{c.unwritten} elements never written (grid too short, a mask too narrow, or NaN computed)")
    if hint:
        parts.append(hint)
    return "; ".join(parts)


def require_in_bounds(report: Mapping[str, Any], where: str) -> None:
    """An access outside every tensor, or of what another program writes, fails the candidate even where it went on."""
    if seen := report.get("out_of_bounds"):
        said = str(seen[0])[:500] if isinstance(seen, list) else "out of bounds"
        raise Wrong("races" if ": race: " in said else "bounds", "runtime_error", f"{where}: {said}")


def require_kernels(answer: Answer, where: str) -> None:
    """A call whose result no kernel of the candidate can have written is rejected, however right it is."""
    if failed := answer.report.get("failed_launches"):
        said = f"{where}: the launch of {str(failed)[:100]} failed and the result came from elsewhere"
        raise Wrong("kernel_launches", "rejected", said)
    if answer.launched < 1:
        raise Wrong("kernel_launches", "rejected", f"{where}: no kernel ran; the result came from library code")


def require_same_work(before: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    """A call with the same input and weights must make the same launches and torch operations; it keeps nothing.

    Its kernels must read and write as many elements: one that compares its input by itself would find it kept.
    """
    for what in {"launches", "arguments", "operators", "accesses"} & set(before) & set(again):
        then, now = before[what], again[what]
        if then != now:
            said = f"the same input again was answered by other {what} ({_listed(now)} instead of {_listed(then)})"
            raise Wrong("repeated_call", "rejected", f"{said}: a call must do its own work and keep nothing of it")


def _listed(entries: Any) -> str:
    if isinstance(entries, Mapping):
        return ", ".join(f"{name} x{count}" for name, count in entries.items())[:160] or "none"
    if not isinstance(entries, list) or not entries:
        return "none"
    return ", ".join(" ".join(map(str, e[:2])) if isinstance(e, list) else str(e) for e in entries)[:160]
