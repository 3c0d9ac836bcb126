"""Where a measured kernel stands: how near the physical floor, and at which rates it does the problem's work.

Limits: useful FLOP and bytes of the problem over the latency, not the work the kernel spends on them; what DRAM really
moved is known where a profiler ran. At the floor means: no change of this kernel can win more than a few percent.
"""

from evaluators.evaluation import Evaluation
from evaluators.frozen import Frozen
from evaluators.measurement import DRAM_BYTES, DURATION, Profile, Timing
from evaluators.problem import ProblemFacts

DONE_SHARE_PCT = 95.0


class RooflinePosition(Frozen):
    """Rates reached. `flop_per_byte`: of the problem. `dram_*`: as the profiler counted, None where it did not."""

    flop_per_byte: float | None
    useful_tflop_s: float | None
    useful_gb_s: float
    dram_gb_s: float | None = None
    dram_traffic_ratio: float | None = None  # bytes DRAM moved per byte the problem must move


def position_of(facts: ProblemFacts, timing: Timing, profile: Profile | None = None) -> RooflinePosition:
    """The rates a timing means for a problem."""
    latency_s = timing.latency.median_ms / 1e3
    dram_bytes, duration_ns = total(profile, DRAM_BYTES), total(profile, DURATION)
    return RooflinePosition(
        flop_per_byte=facts.arithmetic_intensity,
        useful_tflop_s=facts.flop / latency_s / 1e12 if facts.flop is not None else None,
        useful_gb_s=facts.bytes_moved / latency_s / 1e9,
        dram_gb_s=dram_bytes / duration_ns if dram_bytes and duration_ns else None,
        dram_traffic_ratio=dram_bytes / facts.bytes_moved if dram_bytes else None,
    )


def at_floor(evaluation: Evaluation | None) -> str:
    """Why nothing is left to win, or an empty text: measured on the target, at least 95 % of the floor's speed."""
    timing = evaluation.timing if evaluation else None
    if timing is None or not timing.is_target or timing.floor_share_pct < DONE_SHARE_PCT:
        return ""
    return (
        f"the best takes {timing.latency.median_ms:.4g} ms, the physical floor is {timing.floor_ms:.4g} ms "
        f"({timing.floor_limiter}): {timing.floor_share_pct:.0f} % of it is reached"
    )


def total(profile: Profile | None, name: str) -> float | None:
    """The sum of a metric over all kernels; None where one of them lacks it."""
    kernels = profile.by_kernel if profile else {}
    values = [figures[name] for figures in kernels.values() if name in figures]
    return sum(values) if values and len(values) == len(kernels) else None
