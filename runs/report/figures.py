"""The figures of an attempt, each with its origin, and what changed against the parent's.

Origins: `measured` (a clock or the profiler), `compiled` (read from the binary), `estimated` (a model), `compared`
(outputs against float64). Figures of different origin are never compared.

Limits: values and words; whether a change is good is the sign of its figure, not a claim about time.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evaluators.evaluation import Evaluation

Origin = Literal["measured", "compiled", "estimated", "compared"]
Better = Literal["lower", "higher", ""]
BOUND = "bound_ms"
ERROR = "relative_error"
COMPONENT_SHARE = 0.01  # of the bound: what is less of it cannot explain a change


@dataclass(frozen=True)
class Figure:
    """One number: what it is, its unit, where it came from, and which direction is better."""

    name: str
    value: float
    unit: str
    origin: Origin
    better: Better = "lower"

    @property
    def text(self) -> str:
        """The number for a reader."""
        return number_text(self.value)


@dataclass(frozen=True)
class Change:
    """One figure before and after; `weight` orders changes by size."""

    before: Figure
    after: Figure

    @property
    def weight(self) -> float:
        """Size of the change: |log ratio|, and infinite where a figure left or reached zero."""
        old, new = self.before.value, self.after.value
        if old == new:
            return 0.0
        return abs(math.log(new / old)) if old > 0 and new > 0 else math.inf

    @property
    def percent(self) -> str:
        """The change in per cent, as a factor from tenfold on, empty where it was zero before."""
        old, new = self.before.value, self.after.value
        if not old:
            return ""
        return f"{new / old:,.0f}x" if new >= 10 * old > 0 else f"{100 * (new - old) / old:+.1f} %"

    @property
    def direction(self) -> str:
        """`better`, `worse` or `` where neither direction is."""
        if not self.after.better or self.weight == 0:
            return ""
        is_lower = self.after.value < self.before.value
        return "better" if is_lower == (self.after.better == "lower") else "worse"


def number_text(value: float) -> str:
    """Four significant digits, no exponent where it can be read without one."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value)}"
    return f"{value:.4g}"


def figures_of(evaluation: Evaluation | None, metrics: str | None = None) -> dict[str, Figure]:
    """The figures of an evaluation and of the profiler's file, by name, most important first."""
    found = [*_estimated(evaluation), *_compiled(evaluation), *_compared(evaluation), *_measured(metrics)]
    return {figure.name: figure for figure in found}


def changes(before: dict[str, Figure], after: dict[str, Figure]) -> list[Change]:
    """Figures both sides have that differ, the largest change first."""
    both = (
        Change(before[name], figure)
        for name, figure in after.items()
        if name in before and before[name].origin == figure.origin
    )
    return sorted((change for change in both if change.weight > 0), key=lambda change: -change.weight)


def _estimated(evaluation: Evaluation | None) -> Iterator[Figure]:
    estimate = evaluation.estimate if evaluation else None
    if estimate is None or not math.isfinite(estimate.value_ms):
        return
    yield Figure(BOUND, estimate.value_ms, "ms", "estimated")
    for name, value in estimate.components_ms.items():
        if math.isfinite(value) and value >= COMPONENT_SHARE * estimate.value_ms and value > 0:
            yield Figure(f"bound: {name}", value, "ms", "estimated")


def _compiled(evaluation: Evaluation | None) -> Iterator[Figure]:
    kernels = evaluation.kernels if evaluation else ()
    if not kernels:
        return
    yield Figure("registers", max(kernel.registers for kernel in kernels), "per thread", "compiled")
    yield Figure("spills", max(kernel.spills for kernel in kernels), "bytes", "compiled")
    yield Figure("shared_memory", max(kernel.shared_memory_bytes for kernel in kernels), "bytes", "compiled", "")
    occupancy = min(kernel.theoretical_occupancy_pct for kernel in kernels)
    yield Figure("occupancy_at_most", occupancy, "%", "compiled", "higher")
    yield Figure("launches", sum(kernel.launches for kernel in kernels), "", "compiled")


def _compared(evaluation: Evaluation | None) -> Iterator[Figure]:
    error = evaluation.numeric_error if evaluation else None
    if error is not None and math.isfinite(error.worst):
        yield Figure(ERROR, error.worst, "", "compared")


def _measured(metrics: str | None) -> Iterator[Figure]:
    """Of a profiler's file: kernel -> metric -> number. What is not of that form gives nothing."""
    try:
        kernels = json.loads(metrics) if metrics else {}
    except (ValueError, RecursionError):
        return
    for kernel, values in kernels.items() if isinstance(kernels, dict) else ():
        for metric, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, int | float) and math.isfinite(value):
                yield Figure(f"{kernel}: {metric}", float(value), "", "measured", "")
