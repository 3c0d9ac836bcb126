"""One block of text from a reply: is it a complete ModelNew, and what of it is the candidate?

Limits: completeness only. Whether the code is allowed or right is for evaluators/.
"""

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from evaluators.problem import Problem
from evaluators.screening import placeholder, structure
from evaluators.screening.source import Source, main_blocks

MODEL = re.compile(r"^[ \t]*class[ \t]+ModelNew\b", re.MULTILINE)
FIRST_CODE = re.compile(r"^[ \t]*(?:import|from)[ \t]+\w+", re.MULTILINE)
CODE_LINE = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)
HARNESS = ("get_inputs", "get_init_inputs")
NO_PROBLEM = Problem(key="", title="", source="")  # placeholders are the same for every problem
MAX_SOURCE_CHARS = 400_000  # the screen refuses longer ones
MAX_TRIMS = 4  # prose after unfenced code is cut off line by line; more attempts never helped on real replies


@dataclass(frozen=True)
class Judged:
    """What one text is: `good` (a complete ModelNew), `broken` (a ModelNew that does not parse), or neither."""

    verdict: str
    good: bool = False
    broken: bool = False
    open_string: bool = False  # the parse ended inside a string: the block may go on after a fence


def judge(text: str) -> Judged:
    """Look at a block without running it."""
    if not MODEL.search(text):
        return Judged("no ModelNew" if CODE_LINE.search(text) else "placeholder body: only comments")
    if len(text) > MAX_SOURCE_CHARS:
        return Judged("too long to be a kernel file")
    try:
        return _complete(Source(text))
    except SyntaxError as error:
        unterminated = "unterminated" in error.msg or "never closed" in error.msg
        return Judged(f"syntax error line {error.lineno}: {error.msg}", broken=True, open_string=unterminated)
    except (ValueError, RecursionError, MemoryError) as error:
        return Judged(f"cannot be parsed: {error}", broken=True)


def _complete(source: Source) -> Judged:
    missing = [v for v in structure.check(source, NO_PROBLEM) if v.rule == "model_new"]
    if missing:
        return Judged(missing[0].message.partition(":")[0])
    empty = list(placeholder.check(source, NO_PROBLEM))
    if empty:
        return Judged(f"placeholder body, line {empty[0].line}: {empty[0].message.partition(':')[0]}")
    return Judged("complete", good=True)


def returns_something(text: str) -> bool:
    """Whether the last statement of ModelNew.forward still returns; a cut-off text may parse without its end."""
    model = structure.class_named(Source(text), "ModelNew")
    bodies = [n for n in (model.body if model else []) if isinstance(n, ast.FunctionDef) and n.name == "forward"]
    return not bodies or any(isinstance(node, ast.Return) for node in ast.walk(bodies[-1]))


def unfenced(text: str) -> str | None:
    """Python with a ModelNew inside plain text: from the first import, less the prose after it."""
    if len(text) > MAX_SOURCE_CHARS:
        text = text[-MAX_SOURCE_CHARS:]
    if not MODEL.search(text):
        return None
    start = FIRST_CODE.search(text)
    code = text[start.start() :] if start else text
    for _ in range(MAX_TRIMS):
        try:
            ast.parse(code)
        except SyntaxError as error:
            kept = code.split("\n")[: (error.lineno or 1) - 1]
            code = "\n".join(kept).rstrip()
            if not MODEL.search(code):
                return None
        except (ValueError, RecursionError, MemoryError):
            return None
        else:
            return code.strip("\n") + "\n"
    return None


def from_json(text: str) -> tuple[str, str] | None:
    """(code, other text) of a JSON value that carries a ModelNew in one of its strings, else None."""
    if "ModelNew" not in text or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        strings = _strings(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None
    code = [string for string in strings if MODEL.search(string)]
    prose = [string for string in strings if not MODEL.search(string)]
    return (code[-1], "\n\n".join(prose)) if code else None


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [string for part in parts for string in _strings(part)]


def without_harness(text: str) -> str:
    """The source without `__main__` blocks and get_inputs / get_init_inputs that nothing else uses."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    dropped = [*main_blocks(tree), *(node for node in tree.body if _is_harness(node))]
    kept = [node for node in tree.body if node not in dropped]
    used = {part.id for node in kept for part in ast.walk(node) if isinstance(part, ast.Name)}
    removable = [node for node in dropped if getattr(node, "name", "") not in used and _stands_alone(node, kept)]
    return _without_lines(text, removable) if removable else text


def _is_harness(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in HARNESS


def _stands_alone(node: ast.stmt, others: list[ast.stmt]) -> bool:
    first, last = _lines(node)
    return not any(start <= last and end >= first for start, end in map(_lines, others))


def _lines(node: ast.stmt) -> tuple[int, int]:
    decorators = [mark.lineno for mark in getattr(node, "decorator_list", [])]
    return min([node.lineno, *decorators]), node.end_lineno or node.lineno


def _without_lines(text: str, nodes: list[ast.stmt]) -> str:
    gone = {line for node in nodes for line in range(_lines(node)[0], _lines(node)[1] + 1)}
    kept = [line for number, line in enumerate(text.split("\n"), 1) if number not in gone]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).rstrip() + "\n"
