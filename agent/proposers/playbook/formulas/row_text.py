"""Texts that the families for reductions of rows share: where a row lies, how it is reduced, what forward calls.

A tile is ROWS rows x BLOCK places of a row; value r of a row lies at `base + r * INNER`; with SIDE neighbouring rows
lie side by side. Reductions that need no other reduction are level 1, those that need them level 2, and so on; each
level is one pass over the row.

Limits: text. Sums are made in fp32, lane by lane and then across the lanes.
"""

from functools import lru_cache

from agent.proposers.playbook.formulas.evaluation import Evaluation, Operands, indented, operands_of
from agent.proposers.playbook.formulas.formula import Node, Pointwise, Reduction, Tensor, broadcast, of_kind
from agent.proposers.playbook.formulas.host_text import CHECKED
from agent.proposers.playbook.formulas.pointwise import FUNCTIONS, functions_for
from agent.proposers.playbook.formulas.workload import FormulaShape, RowShape, is_column, is_of_the_row, level_of

ROWS_OF_TILE = """\
    tile = {tile}
    if SIDE:  # rows side by side in memory: neighbouring lanes take neighbouring rows
        tiles = (INNER + ROWS - 1) // ROWS
        i = tile % tiles * ROWS + tl.arange(0, ROWS)[:, None]
        mine = i < INNER
        p = tile // tiles * INNER + i
        base = (tile // tiles).to(tl.int64) * R * INNER + i
    else:
        p = tile * ROWS + tl.arange(0, ROWS)[:, None]
        mine = p < COUNT
        base = p.to(tl.int64) * R
"""
PLACES = """\
r = {begin} + tl.arange(0, BLOCK)[None, :]
live = mine & (r < {end})
at = base + (r if not WIDE else r.to(tl.int64)) * INNER
"""

_FUNCTIONS = {
    "largest": '''
@triton.jit
def largest(v):
    """The largest value of each row; NaN where there is one."""
    nan = tl.max((v != v).to(tl.int32), axis=1, keep_dims=True)
    return tl.where(nan > 0, float("nan"), tl.max(v, axis=1, keep_dims=True))
''',
    "top_of": '''
@triton.jit
def top_of(v):
    """The largest value of each row, to be subtracted from it: 0 for a row of -inf."""
    top = tl.max(v, axis=1, keep_dims=True)
    return tl.where(top == float("-inf"), 0.0, top)
''',
}
HOST = '''
def tiles_of(COUNT, INNER, rows):
    """Programs for tiles of so many rows; a tile of rows that lie side by side ends with them."""
    return COUNT // INNER * triton.cdiv(INNER, rows) if INNER > 1 else triton.cdiv(COUNT, rows)


def computed(tensors, columns, numbers, dims):
    """The formula over the rows that the dimensions `dims` of the tensors are."""
    wholes = checked(tensors, columns)
    x = wholes[0]
    given = range(x.dim()) if dims is None else dims if isinstance(dims, (tuple, list)) else (dims,)
    reduced = sorted({{d % x.dim() for d in given}})
    first, last = reduced[0], reduced[-1] + 1
    if last - first != len(reduced):
        raise ValueError(f"the reduced dimensions {{reduced}} are not neighbours")
{beside}    R, INNER = math.prod(x.shape[first:last]), math.prod(x.shape[last:])
    COUNT = math.prod(x.shape[:first]) * INNER
    columns = [c.reshape(-1) for c in columns]
    if any(c.numel() != R for c in columns):
        raise ValueError(f"expected {{R}} values for a row, got {{[c.numel() for c in columns]}}")
    if max(R, COUNT) >= 2**31 - 2**22:
        raise ValueError("more rows or values of a row than 32 bits count")
    y = torch.empty({shape}, device=x.device, dtype=x.dtype)
    if y.numel():
        launch([*wholes, *columns], y, [float(s) for s in numbers], COUNT, R, INNER)
    return y
'''
_BESIDE = """\
    rows = torch.broadcast_shapes(*(tensors[i].shape for i in ({reduced},)))
    beside = torch.broadcast_shapes(*(tensors[i].shape for i in ({others},)))
    beside = (1,) * (x.dim() - len(beside)) + tuple(beside)
    if len(rows) != x.dim() or {lengths}:
        raise ValueError(f"rows in {{tuple(rows)}} do not fit tensors of {{beside}} that are not reduced")
"""
_LENGTHS = ("any(size != 1 for size in beside[first:last])", "rows[first:last] != x.shape[first:last]")
_KEPT = "(*x.shape[:first], *[1 for _ in reduced], *x.shape[last:])"
_DROPPED = "(*x.shape[:first], *x.shape[last:])"


def row_operands(shape: RowShape) -> Operands:
    """The operands of a formula over rows; no tensor is a column where the others alone have no whole rows."""
    found = operands_of(shape.formula, lambda tensor: is_column(tensor.shape, shape))
    reach = broadcast([tensor.shape for tensor in found.wholes])
    aligned = (1,) * (len(shape.domain) - len(reach)) + reach
    is_whole = all(aligned[dim] == shape.domain[dim] for dim in shape.dims.published)
    return found if is_whole else operands_of(shape.formula, lambda tensor: False)


def host_text(shape: RowShape, kernels: str) -> str:
    """Everything around `kernels`, which define `launch`."""
    sizes = "x.shape" if shape.is_full else _KEPT if len(shape.formula.shape) == len(shape.domain) else _DROPPED
    host = HOST.format(shape=sizes, beside=_beside(shape))
    return "\n".join((functions_for(kernels, FUNCTIONS | _FUNCTIONS), kernels, CHECKED, host))


def _beside(shape: RowShape) -> str:
    """A check that tensors which are not reduced themselves do not make the rows longer, nor move their dimensions."""
    found = {tensor for reduction in of_kind(shape.formula, Reduction) for tensor in of_kind(reduction, Tensor)}
    places: tuple[list[str], list[str]] = [], []
    for index, tensor in enumerate(row_operands(shape).wholes):
        places[tensor in found].append(str(index))
    others, reduced = map(", ".join, places)
    return _BESIDE.format(others=others, reduced=reduced, lengths=_LENGTHS[shape.is_full]) if others else ""


def row_call(shape: FormulaShape) -> str:
    """What forward calls."""
    assert isinstance(shape, RowShape)
    return f"computed({row_operands(shape).arguments}, {shape.dims.text})"


class Passes:
    """The passes over a row, one after the other, as text; values of the row that are known are `names`."""

    def __init__(self, shape: RowShape) -> None:
        self.shape = shape
        self.operands = row_operands(shape)
        self.names = self.operands.names
        self._values = 0

    @property
    def levels(self) -> int:
        """Passes that only reduce."""
        return max(map(level_of, of_kind(self.shape.formula, Reduction)))

    def reductions(self, level: int) -> list[Reduction]:
        """The reductions of a level."""
        return [r for r in of_kind(self.shape.formula, Reduction) if level_of(r) == level]

    def parameters(self, before: str = "") -> str:
        """The parameters that every kernel over rows has."""
        sizes = "COUNT, R, INNER, SIDE: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr"
        return f"{self.operands.pointers}{before}{self.operands.scalars}{sizes}"

    def loads(self, nodes: list[Node], end: str = "R") -> list[str]:
        """Loads of the operands that these nodes need, at the places of the tile."""
        wholes = [
            f"x{index} = tl.load(x{index}_ptr + at, mask=live, other=0.0).to(tl.float32)"
            for index, tensor in enumerate(self.operands.wholes)
            if any(_reads(node, tensor) for node in nodes)
        ]
        columns = [
            f"c{index} = tl.load(c{index}_ptr + r, mask=r < {end}, other=0.0).to(tl.float32)"
            for index, tensor in enumerate(self.operands.columns)
            if any(_reads(node, tensor) for node in nodes)
        ]
        return [*wholes, *columns]

    def values(self, nodes: list[Node], *, keep: bool = False) -> tuple[list[str], list[str]]:
        """(lines that compute the nodes, their names); `keep`: later lines may use the values too."""
        evaluation = Evaluation(self.names if keep else dict(self.names), first=self._values)
        found = [evaluation.name_of(node) for node in nodes]
        self._values += len(evaluation.lines)
        return evaluation.lines, found

    def row_value(self, reduction: Reduction, text: str) -> str:
        """The line that gives a reduction its name, from here on known."""
        name = self.names[reduction] = f"a{sum(isinstance(node, Reduction) for node in self.names)}"
        return f"{name} = {text}"

    def result(self) -> tuple[list[str], str]:
        """(lines, name) of the result from what is known."""
        lines, (name,) = self.values([self.shape.formula])
        return lines, name

    @property
    def row_result(self) -> str:
        """The end of a kernel whose result is one value for each row; tensors in it have the same all along a row."""
        self.names = {node: name for node, name in self.names.items() if not isinstance(node, Pointwise)}
        formula = self.shape.formula
        loads = [
            f"x{index} = tl.load(x{index}_ptr + base, mask=mine, other=0.0).to(tl.float32)"
            for index, tensor in enumerate(self.operands.wholes)
            if _reads(formula, tensor)
        ]
        lines, name = self.result()
        return indented([*loads, *lines, f"tl.store(y_ptr + p, {name}, mask=mine)"], 1)

    def full_result(self, begin: str, end: str, depth: int) -> str:
        """A tile of the result that has a value for each value of the row."""
        formula = self.shape.formula
        lines, name = self.result()
        places = PLACES.format(begin=begin, end=end).splitlines()
        body = [*places, *self.loads([formula], end), *lines, f"tl.store(y_ptr + at, {name}, mask=live)"]
        return indented(body, depth)


@lru_cache(maxsize=4096)
def _reads(node: Node, tensor: Node) -> bool:
    """Whether a tensor is needed for a node beside the values of the row, which are known by then."""
    return node == tensor or (not is_of_the_row(node) and any(_reads(part, tensor) for part in node.parts))
