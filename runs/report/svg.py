"""The few SVG shapes the charts are made of, and scales from values to pixels.

Limits: no layout and no scripts; every text is escaped, every colour comes from a class of the page's style sheet.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runs.inert import one_line


@dataclass(frozen=True)
class Scale:
    """Maps values in `low..high` to pixels in `start..end`; logarithmic where asked."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = self._in(self.low), self._in(self.high), self._in(value)
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values to label."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) <= 4 else (1,)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            step = _round_step((self.high - self.low) / count)
            first = math.ceil(self.low / step)
            values = [step * n for n in range(first, first + 2 * count + 2)]
        return [value for value in values if self.low <= value <= self.high]

    def _in(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.is_log else value


def _round_step(rough: float) -> float:
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def chart(size: tuple[int, int], label: str, parts: Iterable[Markup]) -> Markup:
    """The picture: scales with its column, named for those who cannot see it."""
    width, height = size
    return Markup('<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>').format(
        width, height, width, height, label, Markup("\n").join(parts)
    )


def line(points: Sequence[tuple[float, float]], style: str) -> Markup:
    """A polyline."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(path, style)


def bar(corner: tuple[float, float], size: tuple[float, float], style: str, hint: str = "") -> Markup:
    """A rectangle with a hint."""
    return Markup('<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" class="{}">{}</rect>').format(
        *corner, *(max(side, 0.5) for side in size), style, _hint(hint)
    )


def dot(at: tuple[float, float], style: str, hint: str = "", radius: float = 4) -> Markup:
    """A circle with a hint."""
    return Markup('<circle cx="{:g}" cy="{:g}" r="{:g}" class="{}">{}</circle>').format(*at, radius, style, _hint(hint))


def cross(at: tuple[float, float], style: str, hint: str = "") -> Markup:
    """A cross with a hint: told apart from a dot without colour."""
    x, y = at
    path = f"M{x - 3.5:g} {y - 3.5:g}l7 7m0 -7l-7 7"
    return Markup('<path d="{}" class="{}">{}</path>').format(path, style, _hint(hint))


def words(at: tuple[float, float], text: str, style: str = "", anchor: str = "start") -> Markup:
    """A label."""
    return Markup('<text x="{:g}" y="{:g}" class="{}" text-anchor="{}">{}</text>').format(
        *at, style, anchor, one_line(text, 120)
    )


def link(target: str, content: Markup) -> Markup:
    """The content as a link within the page."""
    return Markup('<a href="#{}">{}</a>').format(target, content)


def y_axis(scale: Scale, left: float, right: float) -> Markup:
    """Labelled grid lines."""
    return Markup("\n").join(
        Markup("{}{}").format(
            line([(left, scale(value)), (right, scale(value))], "grid"),
            words((left - 6, scale(value) + 4), f"{value:g}", "tick", "end"),
        )
        for value in scale.ticks()
    )


def x_axis(scale: Scale, bottom: float, ticks: Sequence[float]) -> Markup:
    """Labels along the bottom."""
    return Markup("\n").join(words((scale(value), bottom + 16), f"{value:g}", "tick", "middle") for value in ticks)


def _hint(text: str) -> Markup:
    return Markup("<title>{}</title>").format(one_line(text, 240)) if text else Markup("")
