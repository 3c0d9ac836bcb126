"""Fenced blocks in the text of a model: found by anchored fence lines, robust against stray and missing fences.

A fence is a line that starts with three or more backticks or tildes, alone or followed by a tag; a sentence that
mentions ```python is not one. A tagged fence always opens a block: what was open before ends there.

Limits: finds text, judges nothing; a fence inside a string of the code is resolved by the caller through `later_ends`.
"""

import re
from dataclasses import dataclass

FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*?)[ \t]*$")
INFO = re.compile(r"[\w+#.:/-]*(?:[ \t]+(?:\{.*\}|[\w-]+=.*|[\w/-]+\.\w+))?")
THINK_END = re.compile(r"^[ \t]*</think(?:ing)?>", re.IGNORECASE)
THINK = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)


@dataclass(frozen=True)
class Fence:
    """One fence line; `line` counts from 0. A bare fence may open or close, a tagged one opens."""

    line: int
    mark: str
    tag: str
    indent: str

    def closes(self, opener: "Fence") -> bool:
        return not self.tag and self.mark[0] == opener.mark[0] and len(self.mark) >= len(opener.mark)


@dataclass(frozen=True)
class Region:
    """The lines between an opening fence and its end, [first, last); `closed` is False for a cut-off block."""

    first: int
    last: int
    tag: str
    closed: bool
    thinking: bool
    cut_off: bool = False  # the text ends inside it
    later_ends: tuple[int, ...] = ()  # further bare fences that could be the real end


@dataclass(frozen=True)
class Layout:
    """A reply taken apart: its lines, its fenced regions, and which lines are the model thinking aloud."""

    lines: list[str]
    regions: list[Region]
    thinking: list[bool]

    def code(self, first: int, last: int) -> str:
        """Text of the lines, with the indentation of an indented block removed."""
        lines = self.lines[first:last]
        margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[margin:] for line in lines).rstrip() + "\n" if lines else ""


def layout_of(text: str) -> Layout:
    """Split a reply into fenced regions."""
    lines = text.split("\n")
    thinking = _thinking(lines)
    fences = [fence for number, line in enumerate(lines) if (fence := _fence(number, line)) is not None]
    return Layout(lines, _regions(lines, fences, thinking), thinking)


def _fence(number: int, line: str) -> Fence | None:
    if "```" not in line and "~~~" not in line:
        return None
    match = FENCE.match(line)
    if match is None or not INFO.fullmatch(match[3]):
        return None
    tag = match[3].split(" ", 1)[0].lower().lstrip(".{")
    return Fence(number, match[2], tag or ("" if not match[3] else "?"), match[1])


def _regions(lines: list[str], fences: list[Fence], thinking: list[bool]) -> list[Region]:
    regions: list[Region] = []
    opener: Fence | None = None
    for index, fence in enumerate(fences):
        if opener is not None and _left_thinking(opener, fence, thinking):
            regions.append(_unclosed(lines, opener, thinking))
            opener = None
        if opener is None:
            opener = fence
        elif fence.closes(opener):
            later = _later(fences, index, opener)
            regions.append(Region(opener.line + 1, fence.line, opener.tag, True, thinking[opener.line], False, later))
            opener = None
        elif fence.tag:
            # a stray bare fence, a block that was never closed, or a fence inside a docstring
            later = _later(fences, index, opener)
            regions.append(Region(opener.line + 1, fence.line, opener.tag, False, thinking[opener.line], False, later))
            opener = fence
    if opener is not None:
        regions.append(_unclosed(lines, opener, thinking))
    return regions


def _unclosed(lines: list[str], opener: Fence, thinking: list[bool]) -> Region:
    """A block that ends with the thinking or with the text."""
    last = _end_of_thinking(lines, opener.line)
    return Region(opener.line + 1, last, opener.tag, False, thinking[opener.line], cut_off=True)


def _later(fences: list[Fence], index: int, opener: Fence) -> tuple[int, ...]:
    """The next few fences that could close the block instead."""
    return tuple(fence.line for fence in fences[index + 1 : index + 9] if fence.closes(opener))


def _left_thinking(opener: Fence, fence: Fence, thinking: list[bool]) -> bool:
    return thinking[opener.line] and not thinking[fence.line]


def _end_of_thinking(lines: list[str], start: int) -> int:
    """The line of a `</think>` after start, or the end of the text."""
    ends = (number for number in range(start, len(lines)) if THINK_END.match(lines[number]))
    return next(ends, len(lines))


def _thinking(lines: list[str]) -> list[bool]:
    """Which lines are inside <think>. A `</think>` without an opening makes everything before it thinking."""
    if not any("hink" in line for line in lines):
        return [False] * len(lines)
    marks: list[bool] = []
    inside, fenced = False, False
    for number, line in enumerate(lines):
        for tag in THINK.findall(line) if "hink" in line and not _quoted(line) else ():
            if tag.startswith("</"):
                if not inside and not any(marks):
                    marks = [True] * number
                inside = False
            elif not fenced:
                inside = True
        fence = _fence(number, line)
        fenced = fence is not None and (bool(fence.tag) or not fenced) if fence is not None else fenced
        marks.append(inside)
    return marks


def _quoted(line: str) -> bool:
    """A sentence or a string that mentions the tag."""
    return any(f"{quote}<think" in line or f"{quote}</think" in line for quote in "`\"'")
