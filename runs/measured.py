"""What a clock and a profiler found, cell by cell: the measured columns of every table.

A column appears only where some attempt has it, and is never shared with a compiled or an estimated figure. A figure
that was taken on another device than the target stands beside that device's name.

Limits: what counts. The time of a failed attempt is no result; its clocks are shown in runs/measured_text.py.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluators.evaluation import Evaluation
from evaluators.measurement import DRAM_BYTES, DURATION, Latency, Metric, Profile, Timing
from evaluators.roofline import total
from runs.inert import one_line
from runs.numbers import number_text, ratio_text

DRAM = ("dram__throughput.avg.pct_of_peak_sustained_elapsed",)
TENSOR = (
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
    "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
)


@dataclass(frozen=True)
class Column:
    """One measured column: its title, what it means, and its cell for one evaluation (empty where there is none)."""

    title: str
    meaning: str
    cell: Callable[[Evaluation], str]


def timing_of(evaluation: Evaluation | None) -> Timing | None:
    """The time that counts.

    None where nothing was timed, where the verdict is a failure, whatever its clocks say, and where a recorded figure
    is no time (a damaged record: zero, infinite).
    """
    timing = evaluation.timing if evaluation is not None and evaluation.verdict != "failed" else None
    if timing is None or not all(map(is_time, (*_milliseconds(timing.latency), timing.floor_ms))):
        return None
    return timing


def is_time(milliseconds: float) -> bool:
    """Whether a figure can be a time at all."""
    return math.isfinite(milliseconds) and milliseconds > 0


def measured_ms(evaluation: Evaluation | None) -> float | None:
    """Its median in ms, None where nothing counts."""
    timing = timing_of(evaluation)
    return timing.latency.median_ms if timing else None


def other_device(evaluation: Evaluation | None) -> str:
    """The device's name where the figures are not the target's; empty where they are or nothing was measured."""
    if evaluation is None:
        return ""
    timing, profile = timing_of(evaluation), evaluation.profile
    if timing is not None:
        return "" if timing.is_target else one_line(timing.device, 60)
    return one_line(profile.device, 60) if profile is not None else ""


def columns(evaluations: Iterable[Evaluation | None]) -> tuple[Column, ...]:
    """Those of `COLUMNS` that say something of some attempt."""
    known = [evaluation for evaluation in evaluations if evaluation is not None]
    return tuple(column for column in COLUMNS if any(column.cell(evaluation) for evaluation in known))


def measured_json(evaluation: Evaluation | None) -> dict[str, float | str | bool | None] | None:
    """The measured columns as values; None where nothing was measured."""
    timing, profile = timing_of(evaluation), evaluation.profile if evaluation else None
    if timing is None:
        return None
    dram, tensor = headline(profile, DRAM), headline(profile, TENSOR)
    return {
        "device": timing.device,
        "is_target": timing.is_target,
        "median_ms": timing.latency.median_ms,
        "p20_ms": timing.latency.p20_ms,
        "p80_ms": timing.latency.p80_ms,
        "speedup_over_eager": timing.speedup_over_eager,
        "speedup_over_best": timing.speedup_over_best,
        "floor_share_pct": timing.floor_share_pct,
        "dram_pct": dram.value if dram else None,
        "tensor_pct": tensor.value if tensor else None,
    }


def headline(profile: Profile | None, names: Sequence[str]) -> Metric | None:
    """The metric of the kernel that takes longest; where no duration was delivered, the largest value."""
    found = [metric for metric in profile.metrics if metric.name in names] if profile else []
    durations = {m.kernel: m.value for m in (profile.metrics if profile else ()) if m.name == DURATION}
    return max(found, key=lambda metric: (durations.get(metric.kernel, 0.0), metric.value), default=None)


def dram_bytes(profile: Profile | None) -> float | None:
    """Bytes that one call moved to and from the device's memory, None where the profiler did not count them all."""
    moved = total(profile, DRAM_BYTES)
    return moved if moved is not None and math.isfinite(moved) and moved > 0 else None


def _milliseconds(latency: Latency) -> tuple[float, float, float]:
    return latency.median_ms, latency.p20_ms, latency.p80_ms


def _of_timing(read: Callable[[Timing], str]) -> Callable[[Evaluation], str]:
    def cell(evaluation: Evaluation) -> str:
        timing = timing_of(evaluation)
        return read(timing) if timing else ""

    return cell


def _of_profile(names: Sequence[str]) -> Callable[[Evaluation], str]:
    def cell(evaluation: Evaluation) -> str:
        metric = headline(evaluation.profile, names)
        return f"{metric.value:.1f}" if metric else ""

    return cell


COLUMNS = (
    Column("ms", "median of one call", _of_timing(lambda timing: number_text(timing.latency.median_ms))),
    Column(
        "p20-p80",
        "between these lie three of five calls, ms",
        _of_timing(lambda timing: f"{number_text(timing.latency.p20_ms)}-{number_text(timing.latency.p80_ms)}"),
    ),
    Column("x_eager", "speedup over the reference as it runs", _of_timing(lambda t: ratio_text(t.speedup_over_eager))),
    Column(
        "x_best",
        "speedup over the best setting of the library in the same precision class",
        _of_timing(lambda timing: ratio_text(timing.speedup_over_best)),
    ),
    Column("floor_%", "share of the physical floor", _of_timing(lambda timing: f"{timing.floor_share_pct:.0f}")),
    Column("dram_%", "DRAM throughput of the longest kernel", _of_profile(DRAM)),
    Column("tensor_%", "tensor pipe of the longest kernel", _of_profile(TENSOR)),
    Column("measured_on", "the device, where it is not the target", other_device),
)
