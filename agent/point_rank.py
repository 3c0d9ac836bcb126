"""What is known of a point of a SPACE, as a row of the table and as a key that sorts points best first.

Compiled figures and the estimate rank; they claim no difference in time. Limits: points of one file, which compute the
same; candidates of different algorithms are ranked in agent/decision.py.
"""

import math

from agent.space import Value
from evaluators.evaluation import Evaluation
from prompts.context import TunedPoint

_ENOUGH_OCCUPANCY_PCT = 50.0  # beyond it more warps are no argument
_STEP = math.log(1.02)  # figures of an estimate that differ by less than 2 % are equal
_DETAIL_CHARS = 160


def point_rank(evaluation: Evaluation) -> tuple[bool, int, int, int, int]:
    """Best first: fits the GPU, lower bound, fewer spilled bytes, lower second limit, more occupancy up to a half."""
    bound_ms, second_ms = _limits(evaluation)
    return (
        not fits(evaluation),
        _steps(bound_ms),
        sum(kernel.spills for kernel in evaluation.kernels),
        _steps(second_ms),
        -int(min(_occupancy_pct(evaluation), _ENOUGH_OCCUPANCY_PCT) // 5),
    )


def preference(chosen: Evaluation, other: Evaluation) -> str:
    """Why the first ranks above the second, in words: the first thing in which their ranks differ."""
    mine, theirs = point_rank(chosen), point_rank(other)
    place = next((place for place, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1]), None)
    bounds = " against ".join(f"{_limits(each)[0]:.4g}" for each in (chosen, other))
    if place == 0:
        return "that one does not fit the GPU"
    if place == 1:
        return f"estimated bound {bounds} ms"
    equal = f"bounds equal within 2 % ({bounds} ms, estimated)"
    if place == 2:
        return f"{equal}, {mine[2]} bytes spilled against {theirs[2]}"
    if place == 3:
        seconds = " against ".join(f"{_limits(each)[1]:.4g}" for each in (chosen, other))
        return f"{equal}, next limit {seconds} ms"
    if place == 4:
        occupancy = " against ".join(f"{_occupancy_pct(each):.0f} %" for each in (chosen, other))
        return f"{equal}, occupancy up to {occupancy}"
    return f"{equal}, nothing compiled tells them apart: the one tried first"


def fits(evaluation: Evaluation) -> bool:
    """Whether it compiles and at least one block of every kernel is resident."""
    return evaluation.verdict != "failed" and all(kernel.theoretical_occupancy_pct > 0 for kernel in evaluation.kernels)


def latency_ms(evaluation: Evaluation) -> float | None:
    """What a clock measured, if one did."""
    return evaluation.timing.latency.median_ms if evaluation.timing else None


def row_of(evaluation: Evaluation, values: dict[str, Value], *, is_full: bool) -> TunedPoint:
    """The row of a point; without the whole ladder it has no verdict but that it compiles."""
    kernels, estimate, failed = evaluation.kernels, evaluation.estimate, evaluation.verdict == "failed"
    first_line = " ".join(f"{evaluation.kind}: {evaluation.message}".split())[:_DETAIL_CHARS] if failed else ""
    return TunedPoint(
        values=values,
        candidate_id=evaluation.candidate_id,
        verdict=evaluation.verdict if is_full or failed else "compiled",
        detail=first_line,
        registers=max((kernel.registers for kernel in kernels), default=None),
        spills=max((kernel.spills for kernel in kernels), default=None),
        shared_memory_bytes=max((kernel.shared_memory_bytes for kernel in kernels), default=None),
        theoretical_occupancy_pct=min((kernel.theoretical_occupancy_pct for kernel in kernels), default=None),
        estimate_ms=estimate.value_ms if estimate and not estimate.left_out else None,
        latency_ms=latency_ms(evaluation),
    )


def _limits(evaluation: Evaluation) -> tuple[float, float]:
    """The bound, infinite where it is not complete, and the next limit, in ms."""
    estimate = evaluation.estimate
    limits = sorted(estimate.components_ms.values(), reverse=True) if estimate else []
    bound_ms = estimate.value_ms if estimate and not estimate.left_out else math.inf
    return bound_ms, limits[1] if len(limits) > 1 else 0.0


def _occupancy_pct(evaluation: Evaluation) -> float:
    return min((kernel.theoretical_occupancy_pct for kernel in evaluation.kernels), default=0.0)


def _steps(figure_ms: float) -> int:
    if figure_ms <= 0:
        return -(10**6)
    return 10**6 if math.isinf(figure_ms) else round(math.log(figure_ms) / _STEP)
