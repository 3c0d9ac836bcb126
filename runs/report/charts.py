"""The charts of a report: the bound by attempt, tokens or seconds by attempt, the tree of attempts, a sparkline.

Every mark links to its attempt and says in its hint what it stands for. A bound is drawn hollow and dashed, a measured
time solid.

Limits: one run at a time; nothing is interactive beyond links and hints, so that it prints. Measured times and the
roofline have files of their own (time_chart.py, roofline_chart.py).
"""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from runs.inert import one_line
from runs.numbers import number_text
from runs.report import svg
from runs.report.figures import BOUND, TIME
from runs.report.model import Row

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 548, 12, 206


def progress(rows: Sequence[Row]) -> Markup | None:
    """The estimated bound by attempt, with the best so far as a step line; failures as crosses below."""
    bounds = [row.figures[BOUND].value for row in rows if BOUND in row.figures]
    if not bounds:
        return None
    low, high = min(bounds), max(bounds)
    is_log = low > 0 and high / low > 4
    ys = svg.Scale(low / 1.15 if is_log else 0, high * 1.15, BOTTOM - 18, TOP, is_log)
    xs = by_attempt(rows)
    marks = [_progress_mark(row, xs, ys) for row in rows]
    parts = [svg.y_axis(ys, LEFT, RIGHT), svg.x_axis(xs, BOTTOM, integer_ticks(xs))]
    kept = [(row.attempt.number, row.figures[BOUND].value) for row in rows if _is_kept(row)]
    steps = step_line(kept, rows[-1].attempt.number, xs, ys)
    return svg.chart(
        (WIDTH, HEIGHT),
        f"Estimated bound by attempt: from {number_text(high)} to {number_text(low)} ms",
        [*parts, *([svg.line(steps, "best estimated")] if steps else []), *marks, caption("attempt", "ms")],
    )


def spending(rows: Sequence[Row]) -> Markup | None:
    """Tokens by attempt where a model was paid, otherwise seconds."""
    if not rows:
        return None
    paid = any(row.attempt.usage.requests for row in rows)
    heights = [_spent(row, paid) for row in rows]
    ys = svg.Scale(0, max(1e-9, *(sum(pair) for pair in heights)) * 1.08, BOTTOM, TOP)
    xs = by_attempt(rows)
    width = max(1.5, min(26.0, (RIGHT - LEFT) / (len(rows) + 1) * 0.7))
    bars = []
    for row, (first, second) in zip(rows, heights, strict=True):
        corner = xs(row.attempt.number) - width / 2
        middle, top = ys(first), ys(first + second)
        hint = _spending_hint(row, paid)
        stack = svg.bar((corner, middle), (width, BOTTOM - middle), "spent-1", hint)
        if second:
            stack += svg.bar((corner, top), (width, middle - top), "spent-2", hint)
        bars.append(svg.link(f"a{row.attempt.number}", stack))
    label = "Tokens by attempt, input below output" if paid else "Seconds by attempt, judging below the rest"
    axes = [svg.y_axis(ys, LEFT, RIGHT), svg.x_axis(xs, BOTTOM, integer_ticks(xs))]
    return svg.chart((WIDTH, HEIGHT), label, [*axes, *bars, caption("attempt", "tokens" if paid else "s")])


def tree(rows: Sequence[Row]) -> Markup | None:
    """Which attempt was built on which."""
    if not rows:
        return None
    placed = list(_placed(rows))
    where = {row.attempt.number: (18.0 + 22 * depth, 14.0 + 20 * place) for place, (row, depth) in enumerate(placed)}
    parts = []
    for row, _depth in placed:
        x, y = where[row.attempt.number]
        parent = where.get(row.attempt.parent or 0)
        if parent:
            parts.append(svg.line([parent, (parent[0], y), (x, y)], "branch"))
    for row, _depth in placed:
        at = where[row.attempt.number]
        mark = svg.dot(at, f"{row.status}{' best-mark' if row.is_best else ''}", radius=5)
        label = svg.words((at[0] + 10, at[1] + 4), _tree_text(row), "tree" + (" strong" if row.on_path else ""))
        parts.append(svg.link(f"a{row.attempt.number}", mark + label))
    width = max(520, 22 * max(depth for _, depth in placed) + 640)
    return svg.chart((width, 20 * len(placed) + 12), "Tree of attempts", parts)


def sparkline(values_ms: Sequence[float | None], *, origin: str = "estimated") -> Markup:
    """The bound, or the measured time, by attempt as a line the size of a word."""
    known = [(place, value) for place, value in enumerate(values_ms) if value is not None]
    if not known:
        return Markup("")
    values = [value for _, value in known]
    xs = svg.Scale(0, max(1, len(values_ms) - 1), 3, 117)
    ys = svg.Scale(min(values), max(values), 21, 3, is_log=min(values) > 0)
    points = [(xs(place), ys(value)) for place, value in known]
    name = "time" if origin == "measured" else "bound"
    label = f"{name} from {number_text(values[0])} to {number_text(values[-1])} ms"
    return svg.chart((120, 24), label, [svg.line(points, f"best {origin}"), svg.dot(points[-1], "passed", radius=2.5)])


def by_attempt(rows: Sequence[Row]) -> svg.Scale:
    """The horizontal scale of charts by attempt."""
    return svg.Scale(0.5, max(row.attempt.number for row in rows) + 0.5, LEFT, RIGHT)


def integer_ticks(scale: svg.Scale) -> list[float]:
    """Whole numbers along it."""
    return [value for value in scale.ticks(8) if value == int(value)]


def _progress_mark(row: Row, xs: svg.Scale, ys: svg.Scale) -> Markup:
    bound = row.figures.get(BOUND)
    x = xs(row.attempt.number)
    hint = f"attempt {row.attempt.number}, {row.attempt.stage}: {row.verdict}, {row.attempt.reason}"
    if bound is None or row.status == "failed":
        return svg.link(f"a{row.attempt.number}", svg.cross((x, BOTTOM - 6), row.status, hint))
    if not row.is_bound_complete:
        mark = svg.dot((x, ys(bound.value)), "none hollow", f"{hint}; the bound is incomplete")
    else:
        mark = svg.dot((x, ys(bound.value)), f"{row.status} hollow{' best-mark' if row.is_best else ''}", hint)
    return svg.link(f"a{row.attempt.number}", mark)


def step_line(kept: Sequence[tuple[int, float]], last: int, xs: svg.Scale, ys: svg.Scale) -> list[tuple[float, float]]:
    """The best so far: steps at the kept attempts, drawn up to the attempt `last`."""
    points: list[tuple[float, float]] = []
    for number, value in kept:
        points += [(xs(number), points[-1][1])] if points else []
        points.append((xs(number), ys(value)))
    return [*points, (xs(last), points[-1][1])] if points else []


def _is_kept(row: Row) -> bool:
    return row.attempt.decision == "keep" and BOUND in row.figures


def _spent(row: Row, paid: bool) -> tuple[float, float]:
    usage, evaluation = row.attempt.usage, row.attempt.evaluation
    if paid:
        return float(usage.input_tokens), float(usage.output_tokens)
    judging = 0.0 if evaluation is None or row.attempt.reused_from else evaluation.duration_s
    judging = min(judging, row.attempt.seconds)
    return judging, row.attempt.seconds - judging


def _spending_hint(row: Row, paid: bool) -> str:
    usage = row.attempt.usage
    if paid:
        return f"attempt {row.attempt.number}: {usage.input_tokens} in, {usage.output_tokens} out, {row.cost}"
    return f"attempt {row.attempt.number}: {row.attempt.seconds:.1f} s"


def _placed(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """Depth first, children in order. A parent that is missing or not earlier counts as none."""
    known = {row.attempt.number for row in rows}
    children: dict[int, list[Row]] = {}
    for row in rows:
        parent = row.attempt.parent
        is_rooted = parent is not None and parent in known and parent < row.attempt.number
        children.setdefault(parent if is_rooted and parent is not None else 0, []).append(row)
    waiting = [(row, 0) for row in reversed(children.get(0, []))]
    while waiting:
        row, depth = waiting.pop()
        yield row, depth
        waiting += [(child, depth + 1) for child in reversed(children.get(row.attempt.number, []))]


def _tree_text(row: Row) -> str:
    bound, time = row.figures.get(BOUND), row.figures.get(TIME)
    incomplete = "" if row.is_bound_complete else " (incomplete)"
    measured = f", measured {time.text} ms{f' on {time.device}' if time.device else ''}" if time else ""
    figure = f", estimated ≥ {bound.text} ms{incomplete}" if bound and math.isfinite(bound.value) else ""
    kept = ", kept" if row.attempt.decision == "keep" else ""
    return one_line(f"{row.attempt.number} {row.attempt.stage}: {row.verdict}{measured}{figure}{kept}", 110)


def caption(x_name: str, y_name: str) -> Markup:
    """What the axes are."""
    return svg.words((RIGHT, HEIGHT - 2), x_name, "tick", "end") + svg.words((4, 10), y_name, "tick")
