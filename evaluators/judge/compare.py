"""Is an answer exact enough? One rule, stated by `evaluators.problem.Tolerance`, applied to every output of every call.

The error of a result is taken per slice along its first dimension (a batch item, a row), so that a small item cannot
hide behind a large one; the worst slice counts. Limits: compares values; shape, dtype and layout are checked before.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any, Literal

import torch

from evaluators.evaluation import NumericError
from evaluators.problem import Tolerance

Precision = Literal["fp32", "tf32"]
# Below so many values of an item a phase is no sample: of 4 sums of 8 products one that cancels decides the norm (a
# TF32 kernel, 4.0e-4 as a whole, showed 5.5e-3 in such a phase).
_FEW_VALUES = 32
_AT_MOST = 2.0  # times its own norm, by which a slice of few values is measured
# Times its own norm, by which one whose terms cancel is: honest kernels needed 12. A reference with steps (a sign, a
# rounding) changes by as much as it is where operands are rounded, which says nothing of its terms.
_CANCELS_AT_MOST = 32.0
# Tensor cores truncate operands that nobody rounded, which costs this many times as much (7.3e-4 of 3.0e-4, an H100).
# Of a few products the one cost says nothing of the other: a plain tl.dot missed the bound in a fifth of the calls.
_TRUNCATED = 2.4
_CLEAR_SHARE = 0.9  # float32 sums of a million squares are off by 1e-4 at most


@dataclass(frozen=True)
class Expected:
    """One output of the reference for one call: float64 values and the error of the reference at its own precision."""

    exact: torch.Tensor  # float64
    own: torch.Tensor  # what the reference gives at its own dtype on the CPU
    tolerance: Tolerance
    tf32: bool = False  # the reference computes in TF32 at its settings on a GPU: class tf32 is good enough

    strides: tuple[int, ...] = ()  # of a transposed convolution: every output phase is held to the bound by itself
    least_norms: torch.Tensor | None = None  # per slice: an error is relative to at least this
    # operands rounded to TF32, truncated, and of few values changed at random: a slice whose terms cancel counts as
    # large as they
    coarse: tuple[torch.Tensor, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """Shape of this output."""
        return self.own.shape


@dataclass(frozen=True)
class Comparison:
    """What comparing one output said. `error` and `allowed` are relative (||y - y64|| / ||y64||, worst slice)."""

    error: float
    allowed: float
    reference_own: float
    elements: int
    passed: bool
    precision: Precision = "fp32"  # the class whose bound `allowed` is
    wrong_elements: int = 0
    unwritten: int = 0  # still NaN from the poisoned buffer
    worst_index: tuple[int, ...] = ()
    phase: tuple[int, ...] = ()  # the output phase in which it is wrong, where the whole would have passed
    expected: float = 0.0
    got: float = 0.0


def compare(got: torch.Tensor, expected: Expected) -> Comparison:
    """Hold one output (plain tensor of the right shape, dtype) to the reference; to class tf32 where fp32 is missed."""
    if not expected.exact.is_floating_point():
        return _compare_exactly(got, expected.exact)
    expected = _with_few_values(expected)
    result = _compare_in("fp32", got, expected)
    if not result.passed and expected.tf32:
        result = _compare_in("tf32", got, expected)
    return _compare_phases(result, got, expected) if result.passed else result


def has_few_values(output: torch.Tensor) -> bool:
    """Whether slices along the first dimension are no sample of anything."""
    return not output.dim() or (len(output) > 0 and output[0].numel() < _FEW_VALUES)


def _with_few_values(expected: Expected) -> Expected:
    """Slices of a handful of sums: one whose terms cancel keeps their rounding, so it is measured by an average slice.

    At most by twice its own norm, so that a small item still cannot hide behind a large one (half-precision products on
    a slice of 8 sums: 1.2e-3, by an average slice 0.9e-3).
    """
    exact = expected.exact
    if expected.least_norms is not None or exact.dim() < 2 or len(exact) < 2 or exact[0].numel() >= _FEW_VALUES:
        return expected
    own = torch.linalg.vector_norm(torch.where(torch.isfinite(exact), exact, 0.0).flatten(1), dim=1)
    average = own.square().mean().sqrt()
    return replace(expected, least_norms=torch.minimum(average, _AT_MOST * own))


def is_clearly_close(
    got: torch.Tensor, own: torch.Tensor, bound: float, element_multiple: float, strides: tuple[int, ...] = ()
) -> bool:
    """Whether float32 arithmetic is enough to see that an answer holds the bound beside another one.

    The rule of `compare` with nine tenths of the bound, in a tenth of its time on a device. False says nothing.
    """
    if not got.dim() or got.dtype != torch.float32 or own.dtype != torch.float32 or not own.numel():
        return False
    difference, enough = got - own, _CLEAR_SHARE * bound
    for at in _phases(strides, got.dim()):
        part, wanted = difference[at].flatten(1), own[at].flatten(1)
        if wanted.shape[1] < _FEW_VALUES:
            return False
        norms = torch.linalg.vector_norm(wanted, dim=1)
        limits = enough * element_multiple * norms / math.sqrt(wanted.shape[1])
        is_close = torch.linalg.vector_norm(part, dim=1) <= enough * norms  # a NaN compares false
        is_close &= torch.isfinite(norms)  # squares of float32 end at 3e38
        if not bool((is_close & (torch.linalg.vector_norm(part, ord=inf, dim=1) <= limits)).all()):
            return False
    return True


def _phases(strides: tuple[int, ...], dimensions: int) -> Iterator[tuple[Any, ...]]:
    """Indices of the output phases of a transposed convolution; everything at once where there is but one."""
    if math.prod(strides) == 1 or dimensions < len(strides):
        yield (...,)
        return
    for phase in product(*map(range, strides)):
        yield (..., *(slice(first, None, step) for first, step in zip(phase, strides, strict=True)))


def _compare_phases(whole: Comparison, got: torch.Tensor, expected: Expected) -> Comparison:
    """Output (od, oh, ow) belongs to phase (od % sd, ...): a small or rare phase may not hide behind the others."""
    ahead = got.dim() - len(expected.strides)
    if math.prod(expected.strides) == 1 or ahead < 0:
        return whole
    for phase in product(*map(range, expected.strides)):
        every = tuple(slice(first, None, step) for first, step in zip(phase, expected.strides, strict=True))
        at: tuple[Any, ...] = (..., *every)
        coarse = tuple(one[at] for one in expected.coarse)
        part = replace(expected, exact=expected.exact[at], own=expected.own[at], coarse=coarse)
        if part.own.numel() < _FEW_VALUES * max(1, len(part.own)):
            part = replace(part, least_norms=_share_of(expected.exact, part.exact))
        result = _compare_in(whole.precision, got[at], part) if part.own.numel() else whole
        if not result.passed:
            axes = ((0, 1),) * ahead + tuple(zip(phase, expected.strides, strict=True))
            index = tuple(first + step * i for i, (first, step) in zip(result.worst_index, axes, strict=False))
            return replace(result, worst_index=index, phase=phase)
    return whole


def _share_of(whole: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Norm that so many average values of each slice would have."""
    norms: torch.Tensor = torch.linalg.vector_norm(torch.where(torch.isfinite(whole), whole, 0.0).flatten(1), dim=1)
    return norms * math.sqrt(part.numel() / max(1, whole.numel()))


def _compare_in(precision: Precision, got: torch.Tensor, expected: Expected) -> Comparison:
    exact, own = expected.exact, expected.own.double()
    finite = torch.isfinite(exact) & torch.isfinite(own)
    y = torch.where(finite, got.double(), 0.0)
    y64, y_own = torch.where(finite, exact, 0.0), torch.where(finite, own, 0.0)
    norms = _norms(y64, expected.least_norms)
    norms = torch.maximum(norms, torch.minimum(_terms(expected, finite), _CANCELS_AT_MOST * norms))
    reference_own = _slice_error(y_own - y64, norms)
    allowed = _allowed(expected, reference_own, precision)
    error = _slice_error(y - y64, norms)
    limit = _element_limits(norms, allowed, y_own - y64, expected.tolerance)
    wrong = ~((y - y64).abs() <= limit)  # a NaN compares false and is therefore wrong
    passed = bool(error <= allowed) and not bool(wrong.any())
    return _described(got, y64, wrong, Comparison(error, allowed, reference_own, y.numel(), passed, precision))


def _terms(expected: Expected, finite: torch.Tensor) -> torch.Tensor:
    """Norm of the terms of each slice, by what TF32 operands cost it; zeros where that was not computed."""
    terms = torch.zeros(len(_per_slice(expected.exact)), dtype=torch.float64, device=expected.exact.device)
    for one, multiple in zip(expected.coarse, (1.0, _TRUNCATED, 1.0), strict=False):
        cost = torch.where(finite, one - expected.exact, 0.0).nan_to_num()
        share = torch.linalg.vector_norm(_per_slice(cost), dim=1) / (multiple * expected.tolerance.tf32_floor)
        terms = torch.maximum(terms, share)
    return terms


def _allowed(expected: Expected, reference_own: float, precision: Precision) -> float:
    tolerance = expected.tolerance
    rounding = torch.finfo(expected.own.dtype).eps if expected.own.dtype.is_floating_point else 0.0
    allowed = tolerance.error_multiple * max(reference_own, tolerance.floor, rounding)
    return max(allowed, tolerance.tf32_error_multiple * tolerance.tf32_floor) if precision == "tf32" else allowed


def _element_limits(
    norms: torch.Tensor, allowed: float, own_difference: torch.Tensor, tolerance: Tolerance
) -> torch.Tensor:
    rms = norms / max(1, own_difference[0].numel() if own_difference.dim() else 1) ** 0.5
    limit = (tolerance.element_multiple * allowed) * rms
    own_worst = tolerance.error_multiple * _per_slice(own_difference.abs()).amax(1)
    return torch.maximum(limit, own_worst).reshape(-1, *[1] * max(0, own_difference.dim() - 1))


def _per_slice(y: torch.Tensor) -> torch.Tensor:
    return y.reshape(y.shape[0] if y.dim() else 1, -1)


def _norms(y64: torch.Tensor, least: torch.Tensor | None = None) -> torch.Tensor:
    """Norm of every slice, `least` where it is less; a slice of zeros is measured by the norm of the whole."""
    norms = torch.linalg.vector_norm(_per_slice(y64), dim=1)
    if least is not None:
        norms = torch.where(norms > 0, torch.maximum(norms, least), norms)
    return torch.where(norms > 0, norms, torch.linalg.vector_norm(y64))


def _slice_error(difference: torch.Tensor, norms: torch.Tensor) -> float:
    if difference.numel() == 0:
        return 0.0
    errors = torch.linalg.vector_norm(_per_slice(difference), dim=1)
    ratio = torch.where(norms > 0, errors / norms, torch.where(errors > 0, inf, 0.0))
    return float(torch.nan_to_num(ratio, nan=inf).max())


def _described(got: torch.Tensor, y64: torch.Tensor, wrong: torch.Tensor, base: Comparison) -> Comparison:
    if base.passed or y64.numel() == 0:
        return base
    difference = torch.nan_to_num((got.double() - y64).abs(), nan=inf, posinf=inf)
    flat = int(torch.where(wrong, difference, -1.0).argmax()) if bool(wrong.any()) else int(difference.argmax())
    return Comparison(
        error=base.error,
        allowed=base.allowed,
        reference_own=base.reference_own,
        elements=base.elements,
        passed=False,
        precision=base.precision,
        wrong_elements=int(wrong.sum()),
        unwritten=int((torch.isnan(got) & wrong).sum()) if got.is_floating_point() else 0,
        worst_index=tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), y64.shape)),
        expected=float(y64.reshape(-1)[flat]),
        got=float(got.reshape(-1)[flat]),
    )


def _compare_exactly(got: torch.Tensor, exact: torch.Tensor) -> Comparison:
    wrong = got.to(exact.dtype) != exact
    passed = not bool(wrong.any())
    base = Comparison(0.0 if passed else inf, 0.0, 0.0, exact.numel(), passed)
    return _described(got, exact.double(), wrong, base)


def numeric_error_of(c: Comparison, geometry: str, elements: int, precision: Precision) -> NumericError:
    """A comparison as an evaluation reports it."""
    return NumericError(
        worst=min(c.error, 1e300),
        allowed=c.allowed,
        reference_own=c.reference_own,
        geometry=geometry,
        elements_compared=elements,
        precision=precision,
    )


def worse_of(before: NumericError | None, found: NumericError) -> NumericError:
    """The one closer to what is allowed; the earlier of equals."""
    return before if before and _share(before) >= _share(found) else found


def _share(error: NumericError) -> float:
    return error.worst / error.allowed if error.allowed else 0.0
