"""A call of a function that signatures.py knows: its bound arguments and how the reader reads them.

Limits: arguments only; what a function computes is vocabulary.py and reductions.py.
"""

import ast
from dataclasses import dataclass
from typing import Any, Protocol

from agent.proposers.playbook.formulas.formula import Dims, Node, Tensor

Value = Node | tuple[Node, ...]


class NotKnown(Exception):
    """Nothing here computes this; the message says what."""


class Values(Protocol):
    """What a builder may ask of the reader."""

    def node(self, expression: ast.expr) -> Node: ...

    def tensor(self, expression: ast.expr) -> Tensor: ...

    @property
    def published(self) -> "Constants": ...


class Constants(Protocol):
    """Values of the published workload."""

    def value(self, expression: ast.expr) -> Any: ...


@dataclass(frozen=True)
class Call:
    """A call of a known function: its bound arguments, and how to read them."""

    function: str
    bound: dict[str, ast.expr]
    values: Values

    def node(self, name: str = "input") -> Node:
        """A tensor or number argument."""
        return self.values.node(self.bound[name])

    def optional(self, name: str) -> Node | None:
        """An argument that may be None."""
        given = self.bound.get(name)
        return None if given is None or is_none(given) else self.values.node(given)

    def constant(self, name: str) -> Any:
        """An argument that the kernel's text depends on."""
        return self.values.published.value(self.bound[name])

    def dims(self, part: Node, name: str = "dim") -> Dims:
        """The dimensions a reduction of `part` runs over; all of them where none are given."""
        given, rank = self.bound[name], len(part.shape)
        published = self.values.published.value(given)
        if published is None or published == ():
            return Dims("None", tuple(range(rank)))
        several = published if isinstance(published, tuple) else (published,)
        numbers = tuple(sorted(number % rank for number in several))
        is_literal = not any(isinstance(inner, ast.Name | ast.Attribute) for inner in ast.walk(given))
        return Dims(str(tuple(several)) if is_literal else ast.unparse(given), numbers)

    def refuse_unless_default(self, *names: str) -> None:
        """Raise NotKnown where one of these is given."""
        for name in names:
            if not is_none(self.bound[name]):
                raise NotKnown(f"{self.function} with {name}")


def is_none(expression: ast.expr) -> bool:
    """Whether an argument is None."""
    return isinstance(expression, ast.Constant) and expression.value is None
