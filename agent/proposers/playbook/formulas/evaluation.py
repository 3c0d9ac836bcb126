"""A formula as lines of a kernel: one line for every operator, in an order in which they can be computed.

    v2 = tl.where(x0 < 0.0, x0 * s0, x0)

Tensors are x0, x1, ... (whole ones) and c0, c1, ... (columns: one value for each place in a row), numbers that are not
literals s0, s1, ...; the count of a reduction is R.

Limits: text. Loads, loops and stores are the families'.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.proposers.playbook.formulas.formula import COUNT, Node, Number, Pointwise, Tensor, of_kind
from agent.proposers.playbook.formulas.pointwise import TEXTS


@dataclass(frozen=True)
class Operands:
    """What a kernel takes: whole tensors, column tensors, and the numbers that are not written out in its text."""

    wholes: tuple[Tensor, ...]
    columns: tuple[Tensor, ...]
    numbers: tuple[Number, ...]

    @property
    def names(self) -> dict[Node, str]:
        """The name of every operand inside a kernel."""
        named: dict[Node, str] = {tensor: f"x{index}" for index, tensor in enumerate(self.wholes)}
        named |= {tensor: f"c{index}" for index, tensor in enumerate(self.columns)}
        return named | {number: f"s{index}" for index, number in enumerate(self.numbers)} | {COUNT: "R"}

    @property
    def pointers(self) -> str:
        """`x0_ptr, c0_ptr, `: the tensor parameters of a kernel."""
        count, columns = len(self.wholes), len(self.columns)
        return "".join([*(f"x{i}_ptr, " for i in range(count)), *(f"c{i}_ptr, " for i in range(columns))])

    @property
    def scalars(self) -> str:
        """`s0, s1, `: the number parameters of a kernel."""
        return "".join(f"s{index}, " for index in range(len(self.numbers)))

    @property
    def arguments(self) -> str:
        """What forward hands over: lists of the whole tensors, the columns, the numbers."""
        lists = (self.wholes, self.columns, self.numbers)
        return ", ".join(f"[{', '.join(item.text for item in items)}]" for items in lists)


def operands_of(formula: Node, is_column: Callable[[Tensor], bool], without: tuple[Tensor, ...] = ()) -> Operands:
    """The operands of a formula; `without` those that the kernel reads in its own way."""
    tensors = [tensor for tensor in of_kind(formula, Tensor) if tensor not in without]
    return Operands(
        wholes=tuple(tensor for tensor in tensors if not is_column(tensor)),
        columns=tuple(tensor for tensor in tensors if is_column(tensor)),
        numbers=tuple(n for n in of_kind(formula, Number) if n is not COUNT and n != COUNT and n.literal is None),
    )


@dataclass
class Evaluation:
    """Lines under construction. `names`: values that are there already."""

    names: dict[Node, str]
    first: int = 0  # number of the first value, so that loops of one kernel do not share names
    lines: list[str] = field(default_factory=list)

    def name_of(self, node: Node) -> str:
        """The name of a node's value; its line, and those it needs, are written where they are not there yet."""
        if node in self.names:
            return self.names[node]
        if isinstance(node, Number) and node.literal is not None:
            return repr(node.literal)
        assert isinstance(node, Pointwise), f"{node} is neither an operand nor computed before"
        text = TEXTS[node.operator].format(*map(self.name_of, node.parts))
        self.names[node] = name = f"v{self.first + len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name


def indented(lines: list[str], depth: int) -> str:
    """Lines as the body of a function (depth 1) or of a loop in it (depth 2)."""
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)
