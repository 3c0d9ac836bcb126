"""Read the optional leading `# /// problem` TOML block of a problem file.

    # /// problem
    # title = "Row-wise softmax, 4096 x 8192"
    # library_ops = ["torch.nn.functional.pad"]
    # [tolerance]
    # error_multiple = 2.0
    # ///

Limits: the block stands before the first line of code; the code below it is not looked at.
"""

import re
import tomllib

from pydantic import ValidationError

from evaluators.errors import BadProblem
from evaluators.frozen import Frozen
from evaluators.problem import Tolerance

_OPENING = re.compile(r"^#\s*///\s*problem\s*$")
_CLOSING = re.compile(r"^#\s*///\s*$")
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


class ProblemBlock(Frozen):
    """What the block may say. `default_for`: a word several problems share and of which this one is taken."""

    title: str = ""
    default_for: tuple[str, ...] = ()
    library_ops: tuple[str, ...] = ()
    tolerance: Tolerance = Tolerance()


def read_block(source: str, *, where: str) -> ProblemBlock:
    """The block of a problem file, or the defaults. Errors name the file and the line."""
    lines = source.splitlines()
    opening = next((number for number, line in enumerate(lines) if _OPENING.match(line)), None)
    if opening is None:
        return ProblemBlock()
    if any(line.strip() and not line.startswith("#") for line in lines[:opening]):
        raise BadProblem(f"{where}:{opening + 1}: the `# /// problem` block must stand before the first line of code")
    body = _body(lines, opening, where)
    try:
        return ProblemBlock.model_validate(tomllib.loads("\n".join(body)))
    except tomllib.TOMLDecodeError as error:
        raise BadProblem(_toml_complaint(error, opening, len(body), where)) from None
    except ValidationError as error:
        raise BadProblem(_field_complaint(error, opening, body, where)) from None


def _body(lines: list[str], opening: int, where: str) -> list[str]:
    body: list[str] = []
    for number, line in enumerate(lines[opening + 1 :], start=opening + 2):
        if _CLOSING.match(line):
            return body
        if not line.startswith("#"):
            raise BadProblem(f"{where}:{number}: the `# /// problem` block is not closed; end it with a line `# ///`")
        body.append(line[1:].removeprefix(" "))
    raise BadProblem(f"{where}:{opening + 1}: the `# /// problem` block is not closed; end it with a line `# ///`")


def _toml_complaint(error: tomllib.TOMLDecodeError, opening: int, length: int, where: str) -> str:
    place = _TOML_LINE.search(str(error))
    within = int(place[1]) if place and place[1] else length
    return f"{where}:{opening + 1 + within}: {_TOML_LINE.sub('', str(error)).strip()} in the `# /// problem` block"


def _field_complaint(error: ValidationError, opening: int, body: list[str], where: str) -> str:
    first = error.errors()[0]
    path = [part for part in first["loc"] if isinstance(part, str)]
    last = re.compile(rf"^\s*\[?\s*([\w.]+\.)?{re.escape(path[-1])}\s*(=|\])") if path else re.compile("")
    within = next((number for number, line in enumerate(body, start=1) if last.match(line)), 0)
    unknown = first["type"] == "extra_forbidden"
    known = f"; known: {', '.join(_siblings(path))}" if unknown else ""
    said = "unknown field" if unknown else first["msg"]
    return f"{where}:{opening + 1 + within}: {said} '{'.'.join(path)}' in the `# /// problem` block{known}"


def _siblings(path: list[str]) -> list[str]:
    model = Tolerance if path[:-1] == ["tolerance"] else ProblemBlock
    return sorted(model.model_fields)
