"""Code in colours for the page (pygments), and unified diffs as HTML.

Limits: colours only. What it is given is escaped here; letters that hide or reorder are written out first.
"""

import html
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape

from runs.inert import harmless

MAX_HIGHLIGHTED = 200_000  # letters; beyond it a kernel is shown without colours
_CLASSES = {"+": "add", "-": "del", "@": "hunk"}


@lru_cache(maxsize=4)  # a live page shows the same kernel again and again; 12 ms each
def highlighted(source: str) -> Markup:
    """Python source as spans with the classes of `style_sheet`."""
    text = "\n".join(harmless(line) for line in source.split("\n"))
    if len(text) > MAX_HIGHLIGHTED:
        return escape(text)
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers.python import PythonLexer

    return Markup(highlight(text, PythonLexer(), HtmlFormatter(nowrap=True)))  # noqa: S704 - pygments escapes its text


def style_sheet() -> str:
    """The colours of `highlighted`, for a light and for a dark page."""
    from pygments.formatters.html import HtmlFormatter

    light = HtmlFormatter(style="default", nobackground=True).get_style_defs(".code")
    dark = HtmlFormatter(style="native", nobackground=True).get_style_defs(".code")
    return f"{_rules(light)}\n@media screen and (prefers-color-scheme: dark) {{\n{_rules(dark)}\n}}"


def difference_html(lines: Sequence[str], limit: int) -> Markup:
    """Lines of a unified diff, at most `limit` of them; neighbours of one kind share a span."""
    kept = (line for line in lines[:limit] if not line.startswith(("--- ", "+++ ")))
    shown = [_span(style, group) for style, group in groupby(kept, key=lambda line: _CLASSES.get(line[:1], ""))]
    if len(lines) > limit:
        shown.append(_span("hunk", [f"... {len(lines) - limit} more lines; the code is below"]))
    return Markup("\n".join(shown))  # noqa: S704 - every part went through html.escape


def _span(style: str, lines: Iterable[str]) -> str:
    text = html.escape("\n".join(map(harmless, lines)))
    return f'<span class="{style}">{text}</span>' if style else text


def _rules(style_defs: str) -> str:
    """Only the rules of tokens: those of line numbers and the page are not used."""
    return "\n".join(line for line in style_defs.split("\n") if line.startswith(".code ."))
