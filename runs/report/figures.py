"""The figures of an attempt, each with its origin, and what changed against the parent's.

Origins: `measured` (a clock or the profiler), `compiled` (read from the binary), `estimated` (a model), `compared`
(outputs against float64). Figures of different origin, and measured ones of different devices, are never compared.

Limits: values and words; whether a change is good is the sign of its figure, not a claim about time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evaluators.evaluation import Evaluation
from evaluators.measurement import Profile
from runs.measured import other_device, timing_of
from runs.numbers import number_text

Origin = Literal["measured", "compiled", "estimated", "compared"]
Better = Literal["lower", "higher", ""]
BOUND = "bound_ms"
TIME = "time_ms"
ERROR = "relative_error"
COMPONENT_SHARE = 0.01  # of the bound: what is less of it cannot explain a change


@dataclass(frozen=True)
class Figure:
    """One number: what it is, its unit, where it came from, and which direction is better.

    device: what it was measured on, where that is not the target.
    """

    name: str
    value: float
    unit: str
    origin: Origin
    better: Better = "lower"
    device: str = ""

    @property
    def text(self) -> str:
        """The number for a reader."""
        return number_text(self.value)

    @property
    def source(self) -> str:
        """The origin, and the device if that is not the target."""
        return f"{self.origin} on {self.device}" if self.device else self.origin


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


def figures_of(evaluation: Evaluation | None) -> dict[str, Figure]:
    """The figures of an evaluation by name, most important first."""
    found = [
        *_timed(evaluation),
        *_estimated(evaluation),
        *_compiled(evaluation),
        *_compared(evaluation),
        *_profiled(evaluation.profile if evaluation else None, other_device(evaluation)),
    ]
    return {figure.name: figure for figure in found}


def changes(before: dict[str, Figure], after: dict[str, Figure]) -> list[Change]:
    """Figures both sides have that differ, the largest change first."""
    both = (
        Change(before[name], figure)
        for name, figure in after.items()
        if name in before and (before[name].origin, before[name].device) == (figure.origin, figure.device)
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


def _timed(evaluation: Evaluation | None) -> Iterator[Figure]:
    """The time that counts and what follows from it."""
    timing = timing_of(evaluation)
    if timing is None:
        return
    device = other_device(evaluation)
    yield Figure(TIME, timing.latency.median_ms, "ms", "measured", "lower", device)
    speedups = (("over_eager", timing.speedup_over_eager), ("over_best_baseline", timing.speedup_over_best))
    for name, value in speedups:
        if value is not None:
            yield Figure(f"speedup_{name}", value, "x", "measured", "higher", device)
    yield Figure("floor_share", timing.floor_share_pct, "%", "measured", "higher", device)


def _profiled(profile: Profile | None, device: str) -> Iterator[Figure]:
    """The profiler's figures, by kernel and metric."""
    for metric in profile.metrics if profile else ():
        if math.isfinite(metric.value):
            name = f"{metric.kernel}: {metric.name}"
            yield Figure(name, metric.value, metric.unit, "measured", "", device)
