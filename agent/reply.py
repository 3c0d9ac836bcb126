"""The reply reader: any text in, one candidate or a reason out.

The last complete `ModelNew` that is not a placeholder wins: first among closed blocks of the answer, then unfenced
code, then drafts in the model's thinking, then a cut-off tail that still parses. If nothing is complete, a closed
block whose ModelNew does not parse is returned, so that the screen can tell the model the line.

Limits: text only, nothing is run; several files in one reply are not put together.
"""

import html
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from agent.code_block import Judged, from_json, judge, returns_something, unfenced, without_harness
from agent.fences import Layout, Region, layout_of
from evaluators.candidate import Candidate, candidate_from
from evaluators.frozen import Frozen

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufeff\u200b-\u200d\u2060]")
SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u202f", " "))  # what a chat page makes of indentation
END_OF_TEXT = re.compile(
    r"(?:<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]>|</s>)+[ \t]*$", re.MULTILINE
)  # a server's own marks
CODE_AFTER_TAG = re.compile(r"^([ \t]*```\w+)[ \t]+((?:import|from)[ \t]+\w)", re.MULTILINE)
QUOTED = re.compile(r"^[ \t]*> ?", re.MULTILINE)
MAX_PARSED_CHARS = 150_000  # 0.15 s of parsing; once a block is chosen, older ones beyond this are not looked at
MAX_UNDECIDED_CHARS = 800_000  # the same while nothing is chosen yet
MAX_REGIONS = 400  # a reply with more fences than this is a loop; its last blocks are looked at
MAX_PLAN_CHARS = 400
NOT_PYTHON = {
    "diff": "a diff is not code",
    "patch": "a diff is not code",
    "cpp": "C++ outside the Python file: ignored",
    "c++": "C++ outside the Python file: ignored",
    "c": "C outside the Python file: ignored",
    "cuda": "CUDA outside the Python file: ignored",
    "cu": "CUDA outside the Python file: ignored",
    "cuh": "CUDA outside the Python file: ignored",
}
RANKS = ("closed", "unfenced", "draft", "cut off", "cut-off draft", "broken")
WHY = {
    "closed": "the last complete ModelNew",
    "unfenced": "complete code without a fence",
    "draft": "the answer holds no complete ModelNew; this is the last one in the model's thinking",
    "cut off": "the reply was cut off, but this block parses and nothing else is complete",
    "cut-off draft": "the thinking was cut off, but this block parses and nothing else is complete",
    "broken": "no ModelNew is complete; this one does not parse, and the screen names the line",
}


class Block(Frozen):
    """One piece of code seen in the reply. Lines count from 1 and include neither fence."""

    number: int
    first_line: int
    last_line: int
    tag: str
    verdict: str


class Reading(Frozen):
    """What was read: the candidate or why there is none, the plan in the model's words, and every block seen."""

    candidate: Candidate | None
    plan: str
    reason: str
    blocks: tuple[Block, ...] = ()


@dataclass
class _Piece:
    """A block while it is being looked at; lines count from 0, `last` is one past the end."""

    first: int
    last: int
    tag: str
    text: str
    verdict: str = ""
    rank: str = ""  # one of RANKS, or empty when it cannot be chosen


@dataclass
class _Desk:
    """What has been looked at so far."""

    seen: dict[str, _Piece] = field(default_factory=dict)
    parsed_chars: int = 0
    has_choice: bool = False


def read_reply(text: str) -> Reading:
    """Read one candidate out of a reply."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes inside C++ strings are common and harmless
        return _read(text)


def missing_in(source: str) -> str:
    """Why a reply that hands on this code would hold no candidate; nothing where it would hold one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judged = judge(source)
    return "" if judged.good or judged.broken else judged.verdict.replace("no ModelNew", "no class ModelNew")


def _read(text: str) -> Reading:
    text = CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).translate(SPACES)
    text = CODE_AFTER_TAG.sub(r"\1\n\2", END_OF_TEXT.sub("", text))
    first, is_whole = _read_once(text)
    for other in () if is_whole or "ModelNew" not in text else _undisguised(text):
        reading, is_better = _read_once(other)
        if is_better:
            return reading
    return first


def _undisguised(text: str) -> Iterator[str]:
    """The text out of what may be around it as a whole: JSON inside other text, a quotation, HTML."""
    if (begin := text.find("{")) >= 0:
        yield text[begin : text.rfind("}") + 1]
    if len(QUOTED.findall(text)) > 2:
        yield QUOTED.sub("", text)
    if "&lt;" in text or "&gt;" in text or "&amp;" in text:
        yield html.unescape(text)


def _read_once(text: str) -> tuple[Reading, bool]:
    """The reading of this text, and whether it found a complete ModelNew."""
    wrapped = from_json(text)
    if wrapped is not None:
        code, prose = wrapped
        text = f"{prose}\n\n{code}" if "```" in code else f"{prose}\n\n```python\n{code}\n```"
    layout = layout_of(text)
    pieces = _look_at_regions(layout)
    if not any(piece.rank in RANKS[:3] for piece in pieces):
        pieces += _look_between(layout, pieces)
    chosen = _choose(pieces)
    reading = Reading(
        candidate=_candidate(chosen) if chosen else None,
        plan=_plan(layout, chosen, pieces),
        reason=_reason(chosen, pieces),
        blocks=tuple(_block(number, piece, chosen) for number, piece in enumerate(pieces, 1)),
    )
    return reading, chosen is not None and chosen.rank != "broken"


def _look_at_regions(layout: Layout) -> list[_Piece]:
    """Judge fenced regions from the last to the first, so that a very long reply costs only what is needed."""
    desk = _Desk()
    pieces: list[_Piece] = []
    for region in reversed(layout.regions[-MAX_REGIONS:]):
        piece = _look_at(layout, region, desk)
        for other in pieces if piece.last > region.last else ():
            if other.first < piece.last:
                other.rank, other.verdict = "", "inside the block before it"
        pieces.append(piece)
    return pieces[::-1]


def _look_at(layout: Layout, region: Region, desk: _Desk) -> _Piece:
    text = layout.code(region.first, region.last)
    piece = _Piece(region.first, region.last, region.tag, text)
    if region.tag == "json" and (wrapped := from_json(text)):
        piece.text = text = wrapped[0]
    first = desk.seen.get(text)
    if first is not None:
        piece.verdict = f"duplicate of the block at line {first.first + 1}"
        return piece
    if desk.parsed_chars + len(text) > (MAX_PARSED_CHARS if desk.has_choice else MAX_UNDECIDED_CHARS):
        piece.verdict = "not looked at: " + ("a later block was chosen" if desk.has_choice else "too much code")
        return piece
    judged = judge(text)
    desk.parsed_chars += len(text) if judged.verdict != "no ModelNew" else 0
    if judged.open_string:
        judged = _extended(layout, region, piece, judged)
    _rank(piece, region, judged)
    desk.seen[piece.text] = piece
    desk.has_choice = desk.has_choice or piece.rank in RANKS[:3]
    return piece


def _extended(layout: Layout, region: Region, piece: _Piece, judged: Judged) -> Judged:
    """A fence inside a docstring ended the block too early: try the next ones."""
    for end in region.later_ends:
        text = layout.code(region.first, end)
        longer = judge(text)
        if longer.good:
            piece.text, piece.last = text, end
            return longer
    return judged


def _rank(piece: _Piece, region: Region, judged: Judged) -> None:
    is_closed = region.closed or piece.last > region.last
    if region.cut_off and region.tag:
        _rank_cut_off(piece, region)
    elif judged.verdict == "no ModelNew":
        piece.verdict = NOT_PYTHON.get(region.tag, judged.verdict)
    elif region.tag in ("diff", "patch"):
        piece.verdict = NOT_PYTHON[region.tag]
    elif is_closed:
        piece.verdict = judged.verdict
        piece.rank = ("draft" if region.thinking else "closed") if judged.good else ""
        if judged.broken and not region.thinking:
            piece.rank = "broken"
    else:
        _rank_cut_off(piece, region)


def _rank_cut_off(piece: _Piece, region: Region) -> None:
    """An unclosed block: a closing fence glued to the last line is taken off; it must still be whole."""
    piece.text = piece.text.rstrip().removesuffix("```").rstrip() + "\n"
    judged = judge(piece.text)
    whole = judged.good and returns_something(piece.text)
    piece.verdict = "cut off at the end" + (", yet complete" if whole else "")
    piece.rank = ("cut-off draft" if region.thinking else "cut off") if whole else ""


def _look_between(layout: Layout, pieces: list[_Piece]) -> list[_Piece]:
    """Code outside every region: no fence at all, a fence inside a sentence, or fences out of step."""
    edges = [0, *(edge for r in layout.regions for edge in (r.first, r.last + 1)), len(layout.lines)]
    taken = {(piece.first, piece.last) for piece in pieces}
    found = []
    for first, last in pairwise(edges):
        stop = last - 1 if last < len(layout.lines) else len(layout.lines)
        if first >= stop or any(a <= first and stop <= b for a, b in taken):
            continue
        code = unfenced("\n".join(layout.lines[first:stop]).removesuffix("```"))
        judged = judge(code) if code else None
        if code and judged and judged.verdict != "no ModelNew":
            whole = judged.good and returns_something(code)
            rank = ("draft" if layout.thinking[first] else "unfenced") if whole else ""
            found.append(_Piece(first, stop, "", code, judged.verdict, rank))
    return found


def _choose(pieces: list[_Piece]) -> _Piece | None:
    for rank in RANKS:
        found = [piece for piece in pieces if piece.rank == rank]
        if found:
            return found[-1]
    return None


def _candidate(piece: _Piece) -> Candidate:
    return candidate_from(without_harness(piece.text))


def _block(number: int, piece: _Piece, chosen: _Piece | None) -> Block:
    verdict = piece.verdict
    if piece is chosen:
        verdict = "chosen" if verdict == "complete" else f"chosen, {verdict}"
    elif verdict == "complete":
        verdict = "complete, but a later block was chosen"
    return Block(number=number, first_line=piece.first + 1, last_line=piece.last, tag=piece.tag, verdict=verdict)


def _reason(chosen: _Piece | None, pieces: list[_Piece]) -> str:
    if chosen is not None:
        return f"block {pieces.index(chosen) + 1} of {len(pieces)}: {WHY[chosen.rank]}"
    if not pieces:
        return "the reply holds no code: answer with one ```python block that defines class ModelNew"
    last = next((piece for piece in reversed(pieces) if piece.verdict not in ("", "no ModelNew")), pieces[-1])
    return f"none of {len(pieces)} block(s) holds a complete ModelNew (line {last.first + 1}: {last.verdict})"


def _plan(layout: Layout, chosen: _Piece | None, pieces: list[_Piece]) -> str:
    """The prose before the chosen block, without headings; a paragraph that starts with "Plan" is preferred."""
    if chosen is None:
        return ""
    ends = [piece.last + 1 for piece in pieces if piece.last < chosen.first and piece.verdict]
    lines = range(max(ends, default=0), max(chosen.first - 1, 0))
    prose = "\n".join(layout.lines[i] for i in lines if not layout.thinking[i] and "</think" not in layout.lines[i])
    paragraphs = [_plain(part) for part in re.split(r"\n[ \t]*\n", prose)]
    wanted = [part for part in paragraphs if part.lower().startswith("plan")] or paragraphs
    return _shortened(" ".join(part for part in wanted if part))


def _plain(paragraph: str) -> str:
    lines = [line for line in paragraph.split("\n") if not re.match(r"[ \t]*(?:#{1,6} |`{3,}|~{3,})", line)]
    return " ".join(re.sub(r"\*\*|__", "", " ".join(lines)).split())


def _shortened(text: str) -> str:
    if len(text) <= MAX_PLAN_CHARS:
        return text
    return text[:MAX_PLAN_CHARS].rsplit(" ", 1)[0] + " ..."
