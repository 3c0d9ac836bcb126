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
    estimate = evaluation.estimate
    limits = sorted(estimate.components_ms.values(), reverse=True) if estimate else []
    occupancy = min((kernel.theoretical_occupancy_pct for kernel in evaluation.kernels), default=0.0)
    return (
        not fits(evaluation),
        _steps(estimate.value_ms if estimate and not estimate.left_out else math.inf),
        sum(kernel.spills for kernel in evaluation.kernels),
        _steps(limits[1] if len(limits) > 1 else 0.0),
        -int(min(occupancy, _ENOUGH_OCCUPANCY_PCT) // 5),
    )


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


def _steps(figure_ms: float) -> int:
    if figure_ms <= 0:
        return -(10**6)
    return 10**6 if math.isinf(figure_ms) else round(math.log(figure_ms) / _STEP)
