"""A reference's forward as a formula: a tree of operators over tensors, with the shapes of the published workload.

Equal subtrees are equal values, so whatever walks a formula computes them once.

Limits: floating-point tensors. Shapes choose kernels and blocks; the emitted code takes its sizes from its arguments.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import zip_longest
from typing import TypeVar

Shape = tuple[int, ...]


class _Tree:
    """Remembers its hash: a value used twice in each of thirty steps would be walked 2**30 times to compute it."""

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Tensor(_Tree):
    """A tensor a kernel reads: an argument of forward, a parameter, or a view of one. `text`: forward's name for it."""

    __hash__ = _Tree.__hash__

    text: str
    shape: Shape
    parts: tuple["Node", ...] = ()

    def turned(self, one: int, other: int) -> "Tensor":
        """The view with two dimensions exchanged."""
        shape = list(self.shape)
        shape[one], shape[other] = shape[other], shape[one]
        return Tensor(f"{self.text}.transpose({one}, {other})", tuple(shape))


@dataclass(frozen=True)
class Number(_Tree):
    """A scalar. `text` is a Python expression that forward can evaluate: `0.01`, `self.eps`, `x.size(1)`."""

    __hash__ = _Tree.__hash__

    text: str
    shape: Shape = ()
    parts: tuple["Node", ...] = ()

    @property
    def literal(self) -> float | None:
        """Its value where the text itself is a number."""
        try:
            return float(self.text.strip("()"))
        except ValueError:
            return None


@dataclass(frozen=True)
class Pointwise(_Tree):
    """An elementwise operator (a key of pointwise.TEXTS) on operands that broadcast."""

    __hash__ = _Tree.__hash__

    operator: str
    parts: tuple["Node", ...]

    @cached_property
    def shape(self) -> Shape:
        """The broadcast shape of the operands."""
        return broadcast([part.shape for part in self.parts])


@dataclass(frozen=True)
class Dims:
    """The dimensions a reduction runs over: `text` for forward, which may be called with a tensor of another rank (-1
    stays -1, None is all), `published` as numbers from 0 on."""

    text: str
    published: tuple[int, ...]


@dataclass(frozen=True)
class Reduction(_Tree):
    """sum, max, min; `top`: a maximum that is only subtracted; `exp_sum`: the sum of exp(part - top of part)."""

    __hash__ = _Tree.__hash__

    kind: str
    part: "Node"
    dims: Dims
    keeps_dims: bool = True

    @property
    def parts(self) -> tuple["Node", ...]:
        """Its operand."""
        return (self.part,)

    @cached_property
    def shape(self) -> Shape:
        """The shape after the reduction."""
        kept = [(size, index in self.dims.published) for index, size in enumerate(self.part.shape)]
        return tuple(1 if gone else size for size, gone in kept if self.keeps_dims or not gone)


@dataclass(frozen=True)
class Product(_Tree):
    """`left @ right` as torch.matmul broadcasts it."""

    __hash__ = _Tree.__hash__

    left: Tensor
    right: Tensor

    @property
    def parts(self) -> tuple["Node", ...]:
        """Its operands."""
        return (self.left, self.right)

    @cached_property
    def shape(self) -> Shape:
        """The shape of torch.matmul's result."""
        rows, columns = self.left.shape[-2:-1], self.right.shape[-1:] if len(self.right.shape) > 1 else ()
        return (*broadcast([self.left.shape[:-2], self.right.shape[:-2]]), *rows, *columns)


COUNT = Number("<count>")  # how many values each reduction of the formula runs over; kernels know it as R
Node = Tensor | Number | Pointwise | Reduction | Product
Kind = TypeVar("Kind", Tensor, Number, Pointwise, Reduction, Product)


def broadcast(shapes: list[Shape]) -> Shape:
    """The shape that all of these broadcast to. Raises ValueError where they do not."""
    sizes: list[int] = []
    for column in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        wide = {size for size in column if size != 1}
        if len(wide) > 1:
            raise ValueError(f"shapes {', '.join(map(str, shapes))} do not broadcast")
        sizes.append(max(wide, default=1))
    return tuple(reversed(sizes))


def nodes_of(formula: Node) -> Iterator[Node]:
    """Every distinct node, operands before what uses them."""
    seen: set[Node] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node not in seen:
            seen.add(node)
            for part in node.parts:
                yield from visit(part)
            yield node

    yield from visit(formula)


def of_kind(formula: Node, kind: type[Kind]) -> list[Kind]:
    """The distinct nodes of one kind, operands before what uses them."""
    return [node for node in nodes_of(formula) if isinstance(node, kind)]


def heavy_nodes(formula: Node) -> list["Product | Reduction"]:
    """What decides the kind of kernel a formula needs: its products and reductions."""
    return [node for node in nodes_of(formula) if isinstance(node, Product | Reduction)]


def heavy_name(node: "Product | Reduction") -> str:
    """`matrix product`, `max over dimension 1`."""
    if isinstance(node, Product):
        return "matrix product"
    dimensions = ", ".join(map(str, node.dims.published))
    kind = {"top": "max", "exp_sum": "sum of exponentials"}.get(node.kind, node.kind)
    return f"{kind} over dimension{'s' if len(node.dims.published) > 1 else ''} {dimensions}"


def elements(shape: Shape) -> int:
    """How many elements a tensor of this shape has."""
    return math.prod(shape)
