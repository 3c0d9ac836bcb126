"""Figures over the rows of a benchmark: KernelBench's fast_p, geometric mean and median of measured speedups.

fast_p is the share of ALL problems whose kernel is correct and measured to be more than p times as fast. Where nothing
was measured there is no fast_p, rather than a zero.

Limits: measured speedups only; estimates are summed up nowhere.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runs.bench.rows import Row

THRESHOLDS = (0.0, 0.5, 0.8, 1.0, 1.5, 2.0)  # those of KernelBench's analysis
_RESAMPLES = 2000
_INTERVAL_PCT = 95


@dataclass(frozen=True)
class Centre:
    """A middle of several speedups with its bootstrap interval of 95 %; no interval below three of them."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Speedups:
    """Measured speedups over one baseline. `fast_p` by threshold, over all problems of the benchmark."""

    baseline: str
    measured: int
    problems: int
    fast_p: dict[float, float]
    geometric_mean: Centre
    median: Centre


@dataclass(frozen=True)
class Totals:
    """Counts and costs over all rows. cost_usd: None where a price is unknown."""

    outcomes: dict[str, int]
    attempts: int
    seconds: float
    requests: int
    tokens: int
    cost_usd: float | None


def speedups(rows: Sequence[Row], baseline: str) -> Speedups | None:
    """Over `eager` or the `best` setting of the library; None where nothing was measured."""
    given = [row.speedup_over_eager if baseline == "eager" else row.speedup_over_best for row in rows]
    measured = [ratio for ratio in given if ratio is not None]
    if not measured:
        return None
    return Speedups(
        baseline=baseline,
        measured=len(measured),
        problems=len(rows),
        fast_p={p: sum(ratio > p for ratio in measured) / len(rows) for p in THRESHOLDS},
        geometric_mean=_centre(measured, statistics.geometric_mean),
        median=_centre(measured, statistics.median),
    )


def totals(rows: Sequence[Row]) -> Totals:
    """What the benchmark came to and what it took."""
    usages = [row.usage for row in rows]
    costs = [usage.cost_usd for usage in usages if usage.requests]
    return Totals(
        outcomes={
            outcome: sum(row.outcome == outcome for row in rows) for outcome in dict.fromkeys(r.outcome for r in rows)
        },
        attempts=sum(row.attempts for row in rows),
        seconds=sum(row.seconds for row in rows),
        requests=sum(usage.requests for usage in usages),
        tokens=sum(usage.input_tokens + usage.output_tokens for usage in usages),
        cost_usd=None if None in costs else math.fsum(cost for cost in costs if cost is not None),
    )


def _centre(values: Sequence[float], middle: Callable[[Sequence[float]], float]) -> Centre:
    if len(values) < 3:
        return Centre(middle(values))
    chance = random.Random(0)  # noqa: S311 - a resampling that gives the same interval every time
    resampled = sorted(middle(chance.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    tail = round(_RESAMPLES * (100 - _INTERVAL_PCT) / 200)
    return Centre(middle(values), resampled[tail], resampled[-1 - tail])
