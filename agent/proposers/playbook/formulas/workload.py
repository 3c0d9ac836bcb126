"""Which kind of workload a formula is, and its published sizes.

    elementwise   no reduction: every output from the inputs at its own place
    rows          reductions over one block of neighbouring dimensions, and anything elementwise around them
    products      one matrix product, and anything elementwise after it

Sizes are those of the convolution with a kernel of 1 that reads and writes the same numbers, so that the search and the
cost model of tiles serve all kinds: a matrix product is one with K input and N output channels at M positions, a
reduction one with as many input channels as it adds up.

Limits: one kind per formula. A product with a single column is taken as a reduction, because that is what it costs.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.formulas.formula import (
    Dims,
    Node,
    Number,
    Pointwise,
    Product,
    Reduction,
    Shape,
    Tensor,
    elements,
    nodes_of,
    of_kind,
)
from agent.proposers.playbook.shape import ConvShape

_ONE = (1, 1, 1)
MOST_COUNTED = 2**31 - 2**22  # rows, and values of a row; row_text.py refuses as many


@dataclass(frozen=True)
class FormulaShape(ConvShape):
    """A formula with the sizes of its published workload."""

    formula: Node

    @property
    def moved_bytes(self) -> int:
        """Bytes of every tensor read once and the output written once."""
        read = sum(elements(tensor.shape) for tensor in of_kind(self.formula, Tensor))
        return (read + elements(self.formula.shape)) * self.item_bytes


@dataclass(frozen=True)
class ElementwiseShape(FormulaShape):
    """As many positions as the output has elements."""

    kind: ClassVar[str] = "elementwise"


@dataclass(frozen=True)
class RowShape(FormulaShape):
    """`batch` x `inner` rows of `length` values that lie `inner` apart. `domain`: the shape of what is reduced."""

    kind: ClassVar[str] = "rows"
    domain: Shape
    dims: Dims

    @property
    def length(self) -> int:
        """Values of a row."""
        return self.in_channels

    @property
    def inner(self) -> int:
        """Elements from one value of a row to the next."""
        return self.output[2]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.batch * self.inner

    @property
    def is_full(self) -> bool:
        """Whether the result has a value for every value of the row, not one for the row."""
        return elements(self.formula.shape) == elements(self.domain)

    @property
    def passes(self) -> int:
        """How often a row must be read where it does not fit into registers."""
        return max(level_of(reduction) for reduction in of_kind(self.formula, Reduction)) + self.is_full


@dataclass(frozen=True)
class ProductShape(FormulaShape):
    """`groups` products of `rows` x `in_channels` by `in_channels` x `out_channels`."""

    kind: ClassVar[str] = "products"

    @property
    def rows(self) -> int:
        """Rows of one product."""
        return self.output[2]


def workload_of(formula: Node, dtype: str) -> FormulaShape:
    """The workload of a formula. Raises NothingToPropose where it is of no kind that has kernels."""
    formula = _with_columns_reduced(formula)
    products, reductions = of_kind(formula, Product), of_kind(formula, Reduction)
    if len(products) > 1 or (products and reductions):
        raise NothingToPropose(
            "the playbook writes one matrix product with elementwise operators after it, or reductions over the same "
            "dimensions, not several products nor both; give a --model"
        )
    if products:
        return _product(formula, products[0], dtype)
    if reductions:
        return _rows(formula, reductions, dtype)
    if not of_kind(formula, Tensor):
        raise NothingToPropose("the reference computes nothing from its inputs that the playbook reads")
    return ElementwiseShape(**_sizes(dtype, positions=elements(formula.shape)), formula=formula)


@lru_cache(maxsize=4096)
def level_of(node: Node) -> int:
    """How many reductions, one needing the other, stand between a value and the inputs."""
    below = max((level_of(part) for part in node.parts), default=0)
    return below + isinstance(node, Reduction)


@lru_cache(maxsize=4096)
def is_of_the_row(node: Node) -> bool:
    """Whether there is one value for the whole row: it is made of reductions and numbers only."""
    if isinstance(node, Reduction | Number):
        return True
    return isinstance(node, Pointwise) and all(map(is_of_the_row, node.parts))


def is_column(shape: Shape, workload: RowShape) -> bool:
    """Whether a tensor has one value for every place in a row, the same in all rows."""
    aligned = (1,) * (len(workload.domain) - len(shape)) + shape
    return (
        len(aligned) == len(workload.domain)
        and aligned != workload.domain
        and all(
            size == (whole if index in workload.dims.published else 1)
            for index, (size, whole) in enumerate(zip(aligned, workload.domain, strict=True))
        )
    )


def _with_columns_reduced(formula: Node) -> Node:
    """Products with one column as sums of elementwise products: a tile of tl.dot would be 15 parts padding."""
    products = of_kind(formula, Product)
    if products != [formula]:
        return formula
    left, right = products[0].left, products[0].right
    is_column_vector = len(right.shape) == 1 or (len(right.shape) == 2 and right.shape[1] == 1)
    if not is_column_vector or len(left.shape) < 2:
        return formula
    rank = len(left.shape)
    vector = right if len(right.shape) == 1 else right.turned(0, 1)
    dims = Dims("(-1,)", (rank - 1,))
    return Reduction("sum", Pointwise("mul", (left, vector)), dims, keeps_dims=len(right.shape) == 2)


def _sizes(
    dtype: str, *, positions: int, batch: int = 1, in_channels: int = 1, out_channels: int = 1, groups: int = 1
) -> dict[str, Any]:
    line = (1, 1, positions)
    return {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "groups": groups,
        "source": line,
        "output": line,
        "kernel": _ONE,
        "stride": _ONE,
        "padding": (0, 0, 0),
        "dilation": _ONE,
        "dtype": dtype,
    }


def _product(formula: Node, product: Product, dtype: str) -> ProductShape:
    left, right = product.left.shape, product.right.shape
    if len(left) < 2 or len(right) < 2:
        raise NothingToPropose("the playbook multiplies matrices, not a vector from the left; give a --model")
    if formula.shape != product.shape:
        raise NothingToPropose("what follows the product has another shape than it; give a --model")
    shared = len(right) == 2
    rows = math.prod(left[:-1]) if shared else left[-2]
    groups = 1 if shared else math.prod(product.shape[:-2])
    sizes = _sizes(dtype, positions=rows, in_channels=left[-1], out_channels=right[-1], groups=groups)
    return ProductShape(**sizes, formula=formula)


def _rows(formula: Node, reductions: list[Reduction], dtype: str) -> RowShape:
    dims, domain = reductions[0].dims, reductions[0].part.shape
    if any(reduction.dims.published != dims.published for reduction in reductions):
        raise NothingToPropose("the reference reduces over different dimensions; give a --model")
    domain = max((r.part.shape for r in reductions), key=elements)
    if not dims.published:
        raise NothingToPropose("the reference reduces a single number; give a --model")
    if any(len(tensor.shape) > len(domain) for tensor in of_kind(formula, Tensor)):
        raise NothingToPropose("a tensor has more dimensions than what is reduced; give a --model")
    if dims.published != tuple(range(dims.published[0], dims.published[-1] + 1)):
        raise NothingToPropose("the reduced dimensions are not neighbours; give a --model")
    _refuse_lost_dims(formula)
    kept = [size for index, size in enumerate(domain) if index not in dims.published]
    if elements(formula.shape) not in (elements(domain), math.prod(kept)):
        raise NothingToPropose("the result is neither one value for each row nor one for each of its values")
    first, last = dims.published[0], dims.published[-1] + 1
    sizes = _sizes(
        dtype,
        positions=math.prod(domain[last:]),
        batch=math.prod(domain[:first]),
        in_channels=math.prod(domain[first:last]),
    )
    shape = RowShape(**sizes, formula=formula, domain=domain, dims=dims)
    if max(shape.length, shape.rows) >= MOST_COUNTED:
        raise NothingToPropose("more rows or values of a row than 32 bits count; give a --model")
    return shape


def _refuse_lost_dims(formula: Node) -> None:
    """A row's value without its dimension does not line up with the row."""
    for node in nodes_of(formula):
        if not isinstance(node, Pointwise):
            continue
        for part in node.parts:
            if _has_lost_dims(part) and not all(map(is_of_the_row, node.parts)):
                raise NothingToPropose("a reduction without keepdim meets a whole tensor; give a --model")


@lru_cache(maxsize=4096)
def _has_lost_dims(node: Node) -> bool:
    """Whether a reduction in it dropped its dimension; a single number lines up with everything all the same."""
    if isinstance(node, Reduction):
        return not node.keeps_dims and node.shape != ()
    return isinstance(node, Pointwise) and any(map(_has_lost_dims, node.parts))
