"""A candidate's SPACE: values to try for constants of the file, as its author proposes them.

    BLOCK_M = 64
    NUM_WARPS = 4
    SPACE = {"BLOCK_M": [64, 128], "NUM_WARPS": [4, 8]}

SPACE is a literal at module level. Every name in it is assigned once, at module level, to a literal of one line
(`tl.constexpr(64)` counts as one). A point is one value of each; the file's own values are a point, too. A point's file
differs from the author's in these literals alone.

Limits: text and syntax tree, nothing is run. Whether a name is used at all is not looked at.
"""

import ast
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

Value = bool | int | float | str
Point = tuple[int, ...]  # of each parameter the place of its value
MOST_PARAMETERS = 8
MOST_VALUES = 16
MOST_POINTS = 4096


class BadSpace(Exception):
    """A SPACE that cannot be searched; the message says why, for its author."""


@dataclass(frozen=True)
class Parameter:
    """One constant: its values, the file's own first where SPACE leaves it out, and where its literal stands."""

    name: str
    values: tuple[Value, ...]
    own: int
    line: int  # from 0
    begin: int  # bytes of that line
    end: int


@dataclass(frozen=True)
class Space:
    """The parameters of one file."""

    source: str
    parameters: tuple[Parameter, ...]

    @property
    def own(self) -> Point:
        """The point that the file is."""
        return tuple(parameter.own for parameter in self.parameters)

    def values(self, point: Point) -> dict[str, Value]:
        """The values at a point, by name."""
        return {each.name: each.values[place] for each, place in zip(self.parameters, point, strict=True)}

    def at(self, point: Point) -> str:
        """The file at a point."""
        lines = self.source.encode("utf-8", "surrogatepass").split(b"\n")
        moved = [each for each in zip(self.parameters, point, strict=True) if each[1] != each[0].own]
        for parameter, place in sorted(moved, key=lambda each: -each[0].begin):  # from the right: places stay true
            line = lines[parameter.line]
            value = repr(parameter.values[place]).encode()
            lines[parameter.line] = line[: parameter.begin] + value + line[parameter.end :]
        return b"\n".join(lines).decode("utf-8", "surrogatepass")

    def neighbours(self, point: Point) -> Iterator[Point]:
        """The points one step away in one parameter."""
        for index, parameter in enumerate(self.parameters):
            for place in (point[index] + 1, point[index] - 1):
                if 0 <= place < len(parameter.values):
                    yield (*point[:index], place, *point[index + 1 :])

    def by_distance(self, point: Point) -> list[Point]:
        """Every other point, the ones that take the fewest steps first."""
        every = itertools.product(*(range(len(parameter.values)) for parameter in self.parameters))
        steps = {other: sum(abs(a - b) for a, b in zip(other, point, strict=True)) for other in every}
        return sorted((other for other in steps if other != point), key=lambda other: (steps[other], other))

    def without(self, names: set[str]) -> "Space":
        """The space in which these parameters stay as they are."""
        return replace(self, parameters=tuple(each for each in self.parameters if each.name not in names))


def read_space(source: str) -> Space | None:
    """The SPACE of a file, None where it has none. Raises BadSpace where it has one that cannot be searched."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    assigned = _assignments(tree)
    if "SPACE" not in assigned:
        return None
    listed = _listed(_only(assigned, "SPACE", tree))
    parameters = tuple(_parameter(name, values, _only(assigned, name, tree)) for name, values in listed.items())
    points = math.prod(len(parameter.values) for parameter in parameters)
    if points > MOST_POINTS:
        raise BadSpace(f"SPACE has {points} points, {MOST_POINTS} are allowed: list fewer values")
    return Space(source, parameters)


def _assignments(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What the statements of the module assign to plain names."""
    found: dict[str, list[ast.expr]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            found.setdefault(target.id, []).append(value)
    return found


def _only(assigned: dict[str, list[ast.expr]], name: str, tree: ast.Module) -> ast.expr:
    """The one value of a name. Raises BadSpace where it has none, several, or is reached from a function."""
    values = assigned.get(name, [])
    globals_ = {each for node in ast.walk(tree) if isinstance(node, ast.Global) for each in node.names}
    if len(values) != 1 or name in globals_:
        raise BadSpace(f"SPACE: {name} must be assigned exactly once, by a statement `{name} = literal` of the module")
    return values[0]


def _listed(space: ast.expr) -> dict[str, tuple[Value, ...]]:
    try:
        listed = ast.literal_eval(space)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        raise BadSpace("SPACE must be a literal dict of names to lists of values") from None
    if not isinstance(listed, dict) or not 0 < len(listed) <= MOST_PARAMETERS:
        raise BadSpace(f"SPACE must be a dict of 1 to {MOST_PARAMETERS} names")
    for name, values in listed.items():
        is_list = isinstance(values, list | tuple) and 0 < len(values) <= MOST_VALUES
        if not isinstance(name, str) or not is_list or not all(_is_value(value) for value in values):
            raise BadSpace(f"SPACE: {name!r} must be a name with a list of 1 to {MOST_VALUES} numbers or strings")
    return {name: tuple({repr(value): value for value in values}.values()) for name, values in listed.items()}


def _is_value(value: object) -> bool:
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _parameter(name: str, values: tuple[Value, ...], assigned: ast.expr) -> Parameter:
    literal = _inner(assigned)
    try:
        own = ast.literal_eval(literal)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        own = None
    if not _is_value(own) or literal.lineno != literal.end_lineno or literal.end_col_offset is None:
        raise BadSpace(f"SPACE: {name} must be assigned a number or a string on one line")
    places = [repr(value) for value in values]
    if repr(own) not in places:
        values, places = (own, *values), [repr(own), *places]
    return Parameter(
        name, values, places.index(repr(own)), literal.lineno - 1, literal.col_offset, literal.end_col_offset
    )


def _inner(value: ast.expr) -> ast.expr:
    """The literal itself, out of `tl.constexpr(64)`."""
    is_wrapped = isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords
    if is_wrapped and isinstance(value, ast.Call) and ast.unparse(value.func).endswith("constexpr"):
        return value.args[0]
    return value
