"""Colour on a terminal, and only there: NO_COLOR and TERM=dumb are obeyed, a pipe or file gets plain text.

Limits: what is coloured must be inert already (runs/inert.py).
"""

import os
from collections.abc import Sequence
from typing import TextIO


def has_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that wants colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured_difference(lines: Sequence[str]) -> list[str]:
    """Lines of a unified diff, coloured."""
    return _coloured("diff", lines)


def coloured_markdown(lines: Sequence[str]) -> list[str]:
    """A prompt or a reply with its fenced code, coloured."""
    return _coloured("markdown", lines)


def _coloured(language: str, lines: Sequence[str]) -> list[str]:
    from pygments import highlight
    from pygments.formatters.terminal import TerminalFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return str(highlight("\n".join(lines), lexer, TerminalFormatter())).rstrip("\n").split("\n")
