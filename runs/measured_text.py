"""What was measured, in words: the time with its interval, speedups, the duel, baselines, both clocks, the profile.

Limits: words for recorded values; which of them go into a table is runs/measured.py.
"""

from collections.abc import Sequence

from evaluators.evaluation import Evaluation
from evaluators.measurement import DURATION, Baselines, Duel, Latency, Metric, Profile, Timing
from runs.inert import one_line
from runs.measured import timing_of
from runs.numbers import number_text, ratio_text
from runs.table import table

_METRICS_SHOWN = 60
BASELINE_COLUMNS = ("baseline", "ms", "p20-p80", "error", "class", "note")


def latency_text(latency: Latency) -> str:
    """`8.69 ms (p20 to p80: 8.66 to 8.75)`."""
    low, high = number_text(latency.p20_ms), number_text(latency.p80_ms)
    return f"{number_text(latency.median_ms)} ms (p20 to p80: {low} to {high})"


def on_device(timing: Timing) -> str:
    """` on NVIDIA H100, not the target`; empty on the target."""
    return "" if timing.is_target else f" on {one_line(timing.device, 60)}, not the target"


def time_text(timing: Timing) -> str:
    """The time that counts and where it was taken."""
    return latency_text(timing.latency) + on_device(timing)


def speedup_text(timing: Timing) -> str:
    """Over eager and over the best setting of the library at the same precision; says so where eager is faster."""
    best, over_eager, over_best = timing.best_baseline, timing.speedup_over_eager, timing.speedup_over_best
    parts = [f"{ratio_text(over_eager)}x over eager" if over_eager is not None else "eager was not timed"]
    if best is not None and over_best is not None:
        parts.append(f"{ratio_text(over_best)}x over the best same-precision baseline ({one_line(best.name, 40)})")
    else:
        parts.append("no baseline of the same precision was timed")
    slower = over_best if over_best is not None else over_eager
    return ", ".join(parts) + (": the library is faster" if slower is not None and slower < 1 else "")


def floor_text(timing: Timing) -> str:
    """How far from the floor of the problem."""
    return f"{timing.floor_share_pct:.0f} % of the floor ({number_text(timing.floor_ms)} ms, {timing.floor_limiter})"


def duel_text(duel: Duel, incumbent: str) -> str:
    """Challenger against `incumbent`, as a speedup with its interval."""
    sure = "faster beyond doubt" if duel.high < 1 else "slower beyond doubt" if duel.low > 1 else "no difference shown"
    interval = f"95 % interval {_inverse(duel.high)} to {_inverse(duel.low)}, {duel.pairs} interleaved pairs"
    return f"{_inverse(duel.ratio)}x over {incumbent} ({interval}): {sure}"


def clock_lines(timing: Timing) -> list[str]:
    """What the judge's clock says from outside against what the device's events say from inside."""
    lines = [f"outside, the judge's clock: {latency_text(timing.outside)}, {_protocol_text(timing)} taken off"]
    if timing.inside is None:
        return [*lines, "inside, device events: none"]
    ratio = ratio_text(timing.outside.median_ms / timing.inside.median_ms) if timing.inside.median_ms else "infinite"
    return [*lines, f"inside, device events: {latency_text(timing.inside)}; outside / inside {ratio}"]


def time_lines(evaluation: Evaluation) -> list[str]:
    """The time with its speedups and both clocks; of a failed candidate the clocks only."""
    timing = timing_of(evaluation)
    if timing is not None:
        return _timing_lines(timing)
    if evaluation.timing is None:
        return []
    where = one_line(evaluation.timing.device, 60)
    return [f"clocks of a timing that is not believed, on {where}:", *_indented(clock_lines(evaluation.timing))]


def measured_lines(evaluation: Evaluation) -> list[str]:
    """Everything that was measured of one candidate."""
    timing, duel = timing_of(evaluation), evaluation.duel if evaluation.verdict != "failed" else None
    return [
        *time_lines(evaluation),
        *(baseline_lines(timing.baselines) if timing else []),
        *([f"duel, measured: {duel_text(duel, f'candidate {one_line(duel.incumbent_id, 40)}')}"] if duel else []),
        *profile_lines(evaluation.profile),
    ]


def baseline_rows(baselines: Baselines) -> list[tuple[str, ...]]:
    """Cells of `BASELINE_COLUMNS`, one row per setting of the library."""
    return [
        (
            one_line(baseline.name, 40),
            number_text(baseline.latency.median_ms) if baseline.latency else "-",
            f"{number_text(baseline.latency.p20_ms)}-{number_text(baseline.latency.p80_ms)}"
            if baseline.latency
            else "-",
            "-" if baseline.error is None else f"{baseline.error:.2g}",
            baseline.precision or "-",
            one_line(baseline.note, 120),
        )
        for baseline in baselines.measured
    ]


def baseline_lines(baselines: Baselines | None) -> list[str]:
    """The settings of the library on the reference, each with its error against float64 and its class."""
    if baselines is None:
        return ["baselines: none were timed"]
    head = f"baselines, measured on {one_line(baselines.device, 60)} (eager is of class {baselines.precision}):"
    return [head, *_indented(table(BASELINE_COLUMNS, baseline_rows(baselines)).split("\n"))]


def profile_lines(profile: Profile | None) -> list[str]:
    """The profiler's figures, and what it did not deliver and why."""
    if profile is None:
        return []
    rows = [
        (one_line(m.kernel, 40), one_line(m.name, 90), number_text(m.value), one_line(m.unit, 20))
        for m in _longest_first(profile)[:_METRICS_SHOWN]
    ]
    more = len(profile.metrics) - len(rows)
    return [
        f"profile, measured by {profile.source} on {one_line(profile.device, 60)}:",
        *(_indented(table(("kernel", "metric", "value", "unit"), rows).split("\n")) if rows else []),
        *([f"  and {more} more"] if more > 0 else []),
        *missing_lines(profile.missing),
        *([f"  {one_line(profile.note, 400)}"] if profile.note else []),
    ]


def _longest_first(profile: Profile) -> list[Metric]:
    """The metrics, those of the kernel that takes longest first: a table that is cut keeps them."""
    durations = {m.kernel: m.value for m in profile.metrics if m.name == DURATION}
    return sorted(profile.metrics, key=lambda metric: -durations.get(metric.kernel, 0.0))


def missing_lines(missing: dict[str, str]) -> list[str]:
    """What a profiler did not deliver: each reason once, with the metrics it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, why in missing.items():
        by_reason.setdefault(why, []).append(one_line(name, 90))
    return [f"  not delivered: {one_line(why, 400)}: {', '.join(names)}" for why, names in by_reason.items()]


def _timing_lines(timing: Timing) -> list[str]:
    latency = timing.latency
    dropped = f", {latency.throttled} dropped because the clock was lowered" if latency.throttled else ""
    samples = f"{latency.samples} samples of {timing.calls_per_sample} call(s){dropped}"
    built = f"; built in {timing.build_s:.1f} s" if timing.build_s is not None else ""
    where = one_line(timing.device, 60) + ("" if timing.is_target else " (not the target)")
    return [
        f"time, measured on {where}: {latency_text(latency)} by {timing.clock}",
        f"  {speedup_text(timing)}; {floor_text(timing)}",
        f"  {samples}; {timing.verified_calls} calls verified; precision class {timing.precision}{built}",
        *_indented(clock_lines(timing)),
    ]


def _protocol_text(timing: Timing) -> str:
    known = "" if timing.protocol_error_ms is None else f"known to +- {number_text(timing.protocol_error_ms)} ms; "
    batch = f"one batch +- {number_text(timing.protocol_spread_ms)} ms"
    return f"{number_text(timing.protocol_ms)} ms of protocol ({known}{batch})"


def _inverse(ratio: float) -> str:
    return ratio_text(1 / ratio) if ratio > 0 else "infinite"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
