"""The measured time by attempt: a dot with its interval, the best so far, the library's lines, the floor.

One device per chart: the best's, or that of the last attempt timed. Estimated bounds have a chart of their own.

Limits: what was not timed there stands at the lower edge, without a height.
"""

from collections.abc import Sequence

from markupsafe import Markup

from evaluators.measurement import Latency, Timing
from runs.measured import is_time
from runs.measured_text import latency_text, on_device
from runs.numbers import number_text
from runs.report import svg
from runs.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, by_attempt, caption, integer_ticks, step_line
from runs.report.model import Row
from runs.report.words import timed_row

LETTER_HEIGHT = 11.0


def times(rows: Sequence[Row]) -> Markup | None:
    """The chart, None where nothing was timed."""
    shown = timed_row(rows)
    if shown is None or shown.timing is None:
        return None
    timing, on = shown.timing, {row.attempt.number: t for row in rows if (t := _on(shown.timing.device, row))}
    lines = _lines(timing)
    values = [ms for t in on.values() for ms in (t.latency.p20_ms, t.latency.p80_ms)] + [ms for _, ms in lines]
    low, high = min(values), max(values)
    is_log = low > 0 and high / low > 4
    ys = svg.Scale(low / 1.15 if is_log else 0, high * 1.15, BOTTOM - 18, TOP, is_log)
    xs = by_attempt(rows)
    kept = [(row.attempt.number, on[row.attempt.number].latency.median_ms) for row in rows if _is_kept(row, on)]
    steps = step_line(kept, rows[-1].attempt.number, xs, ys)
    fastest = min(t.latency.median_ms for t in on.values())
    return svg.chart(
        (WIDTH, HEIGHT),
        f"Measured time by attempt{on_device(timing)}: the fastest took {number_text(fastest)} ms",
        [
            svg.y_axis(ys, LEFT, RIGHT),
            svg.x_axis(xs, BOTTOM, integer_ticks(xs)),
            *_labelled([(name, ys(ms)) for name, ms in lines]),
            *([svg.line(steps, "best measured")] if steps else []),
            *(_mark(row, on.get(row.attempt.number), xs, ys) for row in rows),
            caption("attempt", "ms"),
        ],
    )


def _on(device: str, row: Row) -> Timing | None:
    return row.timing if row.timing and row.timing.device == device else None


def _is_kept(row: Row, on: dict[int, Timing]) -> bool:
    return row.attempt.decision == "keep" and row.attempt.number in on


def _lines(timing: Timing) -> list[tuple[str, float]]:
    """eager, the best baseline of the candidate's class if it is another, and the floor."""
    baselines, best = timing.baselines, timing.best_baseline
    eager = baselines.eager if baselines else None
    named = [("eager", eager), *([(f"best baseline: {best.name}", best)] if best and best is not eager else [])]
    found = [(name, baseline.latency.median_ms) for name, baseline in named if baseline and baseline.latency]
    found = [(name, ms) for name, ms in found if is_time(ms)]
    return [*found, (f"floor ({timing.floor_limiter})", timing.floor_ms)]


def _labelled(lines: list[tuple[str, float]]) -> list[Markup]:
    """Lines across, each with its name above it; below it where the name above would meet that of the line before."""
    drawn, last = [], -LETTER_HEIGHT
    for name, y in sorted(lines, key=lambda line: line[1]):
        at = y - 3 if y - last > LETTER_HEIGHT else y + LETTER_HEIGHT
        style = "floor" if name.startswith("floor") else "library"
        drawn.append(svg.line([(LEFT, y), (RIGHT, y)], style) + svg.words((RIGHT, at), name, "tick", "end"))
        last = at
    return drawn


def _mark(row: Row, timing: Timing | None, xs: svg.Scale, ys: svg.Scale) -> Markup:
    number, x = row.attempt.number, xs(row.attempt.number)
    hint = f"attempt {number}, {row.attempt.stage}: {row.verdict}, {row.attempt.reason}"
    if row.status == "failed":
        mark = svg.cross((x, BOTTOM - 6), row.status, hint)
    elif timing is None:
        mark = svg.dot((x, BOTTOM - 6), "none hollow", f"{hint}; not timed on this device", radius=3)
    else:
        hint = f"{hint}; measured {latency_text(timing.latency)}{on_device(timing)}"
        style = f"{row.status}{' best-mark' if row.is_best else ''}"
        mark = _interval(x, timing.latency, ys) + svg.dot((x, ys(timing.latency.median_ms)), style, hint)
    return svg.link(f"a{number}", mark)


def _interval(x: float, latency: Latency, ys: svg.Scale) -> Markup:
    """From p20 to p80, with a foot on either end."""
    low, high = ys(latency.p20_ms), ys(latency.p80_ms)
    stem = svg.line([(x, low), (x, high)], "interval")
    return (
        stem + svg.line([(x - 3, low), (x + 3, low)], "interval") + svg.line([(x - 3, high), (x + 3, high)], "interval")
    )
