"""The roofline as a chart: what a part could do at an intensity, and what of it each attempt reaches.

A measured rate is solid and stands at the bytes the profiler counted, or else at those the problem needs; the rate that
follows from a bound is hollow and says `at most`.

Limits: one part per chart, from the vendor's figures (roofline.py); caches have no roof of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evaluators.gpu import GpuSpec
from runs.measured import dram_bytes
from runs.measured_text import on_device
from runs.report import svg
from runs.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, caption
from runs.report.figures import BOUND, TIME
from runs.report.model import Row
from runs.report.roofline import Roof


def roofline(rows: Sequence[Row], roof: Roof, gpu: GpuSpec, *, device: str = "") -> Markup:
    """What the part could do, and how much of it each attempt reaches: measured, and on the target at most (hollow).

    device: the part is not the target but this device, and only what was measured on it is drawn.
    """
    points = [*([] if device else _bound_points(rows, roof)), *_measured_points(rows, roof, device)]
    peaks = {name: peak for name, peak in roof.peaks.items() if peak}
    rates = [point.tflops for point in points] or [roof.roof_tflops]
    at = roof.intensity
    reach = [at, *(point.intensity for point in points)]
    xs = svg.Scale(min(0.5, *(x / 4 for x in reach)), max(*reach, roof.ridge) * 6, LEFT, RIGHT, is_log=True)
    ys = svg.Scale(min(*rates, roof.roof_tflops) / 3, max(peaks.values()) * 2, BOTTOM, TOP, is_log=True)
    marks = [
        svg.link(f"a{point.number}", svg.dot((xs(point.intensity), ys(point.tflops)), point.style, point.hint))
        for point in points
    ]
    labels = [
        svg.words((RIGHT, ys(peak) - 4), f"{name} {peak:g} TFLOP/s", "tick", "end")
        for name, peak in _apart(peaks).items()
    ]
    return svg.chart(
        (WIDTH, HEIGHT),
        f"Roofline of {gpu.name} at {at:.3g} FLOP per byte",
        [
            svg.y_axis(ys, LEFT, RIGHT),
            svg.x_axis(xs, BOTTOM, xs.ticks()),
            *(_ceiling(roof, peak, xs, ys) for peak in sorted(set(peaks.values()))),
            svg.line([(xs(at), BOTTOM), (xs(at), TOP)], "here"),
            *labels,
            *marks,
            caption("FLOP per byte", "TFLOP/s"),
        ],
    )


@dataclass(frozen=True)
class _Point:
    """One attempt in a roofline."""

    number: int
    intensity: float
    tflops: float
    style: str
    hint: str


def _bound_points(rows: Sequence[Row], roof: Roof) -> Iterator[_Point]:
    for row in rows:
        if BOUND in row.figures and row.is_bound_complete:
            rate, number = roof.tflops(row.figures[BOUND].value), row.attempt.number
            hint = f"attempt {number}: at most {rate:.3g} TFLOP/s (from its estimated bound, not measured)"
            yield _Point(number, roof.intensity, rate, style=f"{row.status} hollow", hint=hint)


def _measured_points(rows: Sequence[Row], roof: Roof, device: str) -> Iterator[_Point]:
    """Attempts timed on this part, at the bytes the profiler counted or else at those the problem needs."""
    for row in rows:
        timing = row.timing
        if timing is None or ("" if timing.is_target else timing.device) != device:
            continue
        rate, number = roof.tflops(row.figures[TIME].value), row.attempt.number
        moved = dram_bytes(row.evaluation.profile) if row.evaluation else None
        source = "bytes by the profiler" if moved else "the problem's own bytes"
        hint = f"attempt {number}: {rate:.3g} TFLOP/s measured{on_device(timing)}, {source}"
        yield _Point(number, roof.flop / (moved or roof.bytes_moved), rate, style=row.status, hint=hint)


def _ceiling(roof: Roof, peak: float, xs: svg.Scale, ys: svg.Scale) -> Markup:
    """Bandwidth up to the ridge, then the peak."""
    ridge = peak / roof.tb_per_s
    first = max(xs.low, ys.low / roof.tb_per_s)
    path = [(xs(first), ys(first * roof.tb_per_s)), (xs(min(ridge, xs.high)), ys(peak)), (xs(xs.high), ys(peak))]
    return svg.line(path, "roof")


def _apart(peaks: dict[str, float]) -> dict[str, float]:
    """Equal peaks under one label."""
    names: dict[float, list[str]] = {}
    for name, peak in peaks.items():
        names.setdefault(peak, []).append(name)
    return {", ".join(group): peak for peak, group in names.items()}
