"""Compiler messages in the candidate's terms: its own lines, the first few errors.

Limits: reads nvcc's and g++'s `file(line): error` and `file:line:column: error`; anything else is shown as it is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluators.cuda.extension import Section

SHOWN = 5
_ERROR = re.compile(
    r"^(?P<file>[^\s(:]+)(?:\((?P<a>\d+)\)|:(?P<b>\d+)(?::\d+)?)\s*: "
    r"(?:fatal |catastrophic )?error(?: #[\w-]+)?: (?P<text>.*)$",
    re.MULTILINE,
)
_MISSING_HEADER = re.compile(r"(?:could not open source file \"|error: )([\w./+-]+)(?:\"|: No such file or directory)")
_MAX_TEXT = 300


@dataclass(frozen=True)
class Diagnostic:
    """One error: the section (or header) and line it is in, and the compiler's words."""

    section: str
    line: int
    text: str


def errors_in(messages: str) -> list[Diagnostic]:
    """Every error of a compiler's output, in order, each once."""
    found = [
        Diagnostic(m["file"], int(m["a"] or m["b"]), m["text"].strip()[:_MAX_TEXT]) for m in _ERROR.finditer(messages)
    ]
    return list(dict.fromkeys(found))


def missing_header(messages: str) -> str:
    """The header that was not found, if that is what stopped the compiler."""
    found = _MISSING_HEADER.search(messages)
    return found[1] if found else ""


def first_lines(messages: str, count: int = SHOWN) -> str:
    """For messages without a place: the first lines that say something."""
    lines = [line.strip()[:_MAX_TEXT] for line in messages.splitlines() if line.strip()]
    return "\n".join(lines[:count])


def described(errors: Sequence[Diagnostic], sections: Iterable[Section], source: str) -> str:
    """The first errors, each with the candidate's own line and its text."""
    texts = {section.name: section.text for section in sections}
    lines = [_line(error, texts.get(error.section, ""), source) for error in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"and {len(errors) - SHOWN} more errors")
    return "\n".join(lines)


def _line(error: Diagnostic, text: str, source: str) -> str:
    where = f"{error.section}:{error.line}"
    own = text.splitlines()[error.line - 1 : error.line]
    offset = offset_of(text, source)
    if own and offset is not None:
        where = f"line {offset + error.line} ({where})"
    quoted = f"\n    {own[0].strip()[:160]}" if own and own[0].strip() else ""
    return f"{where}: {error.text}{quoted}"


def offset_of(text: str, source: str) -> int | None:
    """Lines that stand before `text` in the file; None where its lines do not stand there (a generated text)."""
    where: dict[str, list[int]] = {}
    for number, line in enumerate(source.splitlines()):
        where.setdefault(line.strip(), []).append(number)
    votes: Counter[int] = Counter()
    for number, line in enumerate(text.splitlines()):
        places = where.get(line.strip(), []) if line.strip() else []
        if len(places) == 1:
            votes[places[0] - number] += 1
    return votes.most_common(1)[0][0] if votes else None
