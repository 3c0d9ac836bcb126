"""Kernel durations as the candidate's own process reports them (CUPTI), as launches and metrics.

Limits: a claim of that process; malformed entries are dropped. Counters cannot be had this way.
"""

import math
from collections.abc import Sequence
from typing import Any

from evaluators.measurement import DURATION, Metric
from evaluators.profiling.wanted import LAUNCHES

_MOST = 64


def metrics_in(report: dict[str, Any]) -> tuple[Metric, ...]:
    """`report["kernels"]` is a list of name, time of all launches in ns, number of launches."""
    listed = report.get("kernels")
    valid = [each for each in listed if _is_valid(each)] if isinstance(listed, list) else []
    return tuple(metric for each in valid[:_MOST] for metric in _metrics(each))


def _is_valid(each: Any) -> bool:
    if not isinstance(each, list | tuple) or len(each) != 3:
        return False
    name, duration_ns, count = each
    is_number = isinstance(duration_ns, int | float) and not isinstance(duration_ns, bool)
    return isinstance(name, str) and is_number and math.isfinite(duration_ns) and type(count) is int and count > 0


def _metrics(each: Sequence[Any]) -> list[Metric]:
    name, duration_ns, count = each
    return [
        Metric(kernel=name, name=LAUNCHES, value=count, unit="", source="cupti"),
        Metric(kernel=name, name=DURATION, value=duration_ns, unit="ns", source="cupti"),
    ]
