"""What is known about the base: compiled resources, the estimate, its time, profiler figures; None where nobody knows.

Limits: the kernel that does the products stands for the candidate; packing kernels are looked at only for spills.
"""

from dataclasses import dataclass

from evaluators.evaluation import KernelResources
from prompts.context import Context

_STALLS = ("long_scoreboard", "memory_dependency")


@dataclass(frozen=True)
class Evidence:
    """Figures that decide moves. origin: compiled, except the clock's and the profiler's at the end (measured)."""

    spill_bytes: int | None = None
    registers: int | None = None
    occupancy_pct: float | None = None
    occupancy_limiter: str = ""
    waves: float | None = None
    estimate_ms: float | None = None
    estimate_limiter: str = ""
    measured_ms: float | None = None
    l2_hit_pct: float | None = None
    memory_stall_pct: float | None = None


def evidence_about(context: Context) -> Evidence:
    """Everything the context says about its base."""
    evaluation = context.base.evaluation if context.base else None
    if evaluation is None:
        return Evidence()
    main = _main_kernel(evaluation.kernels)
    estimate = evaluation.estimate
    return Evidence(
        spill_bytes=max(kernel.spills for kernel in evaluation.kernels) if evaluation.kernels else None,
        registers=main.registers if main else None,
        occupancy_pct=main.theoretical_occupancy_pct if main else None,
        occupancy_limiter=main.occupancy_limiter if main else "",
        waves=main.waves if main else None,
        estimate_ms=estimate.value_ms if estimate else None,
        estimate_limiter=estimate.limiter if estimate else "",
        measured_ms=evaluation.timing.latency.median_ms if evaluation.timing else None,
        l2_hit_pct=_metric(context, ("lts__t_sector_hit_rate",)),
        memory_stall_pct=_metric(context, _STALLS),
    )


def _main_kernel(kernels: tuple[KernelResources, ...]) -> KernelResources | None:
    own = [kernel for kernel in kernels if not kernel.name.startswith(("pack_", "largest_"))]
    return max(own, key=lambda kernel: kernel.registers, default=None)


def _metric(context: Context, words: tuple[str, ...]) -> float | None:
    """The largest value, over all kernels, of a metric whose name holds one of the words."""
    values = [
        float(value)
        for metrics in context.metrics.values()
        for name, value in metrics.items()
        if isinstance(value, int | float) and any(word in name for word in words)
    ]
    return max(values, default=None)
