"""Row split: several programs share a row; each leaves what it found of its part, the next launch puts it together.

Data flow: one launch for every level of reductions, in which SPLITS programs a row reduce their part of it, then one
that combines the parts and writes the result. No atomics, so sums are made in the same order every time.
Loses with many rows, where every multiprocessor is busy without it: one more launch and its own small tensor.
Limits: at most 256 parts of a row.
"""

import math

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.families.rows import row_loop
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.formulas.author import WARPS, declared, neighbours
from agent.proposers.playbook.formulas.evaluation import indented
from agent.proposers.playbook.formulas.formula import Reduction
from agent.proposers.playbook.formulas.row_text import ROWS_OF_TILE, Passes, host_text, row_call
from agent.proposers.playbook.formulas.workload import FormulaShape, RowShape

_MOST_SPLITS = 256
# What a program leaves of its part (from its lanes), and how the parts make the value of the row.
_PART = {
    "sum": "tl.sum({own}, axis=1, keep_dims=True)",
    "max": "largest({own})",
    "min": "largest({own})",
    "top": "tl.max({own}, axis=1, keep_dims=True)",
    "exp_sum": "tl.sum({own} * tl.exp({top} - top_of({top})), axis=1, keep_dims=True)",
}
_WHOLE = {
    "sum": "tl.sum({part}, axis=1, keep_dims=True)",
    "max": "largest({part})",
    "min": "-largest({part})",
    "top": "top_of({part})",
    "exp_sum": "tl.sum({part} * tl.exp({top_part} - {top}), axis=1, keep_dims=True)",
}
_KERNEL = '''
@triton.jit
def {name}({parameters}, CHUNK, SPLITS: tl.constexpr):
    """{what}"""
{rows}    split = tl.program_id(0) % SPLITS
    begin = split * CHUNK
    end = tl.minimum(begin + CHUNK, R)
    parts = tl.arange(0, SPLITS)[None, :]
{body}
'''
_LAUNCH = '''
def launch(operands, y, numbers, COUNT, R, INNER):
    """One launch for each level of reductions, one for the result."""
    splits = max(1, min(SPLITS, triton.next_power_of_2(triton.cdiv(R, BLOCK))))
    chunk = triton.cdiv(triton.cdiv(R, splits), BLOCK) * BLOCK
    tiles = tiles_of(COUNT, INNER, ROWS)
    q = torch.empty(({reductions}, COUNT, splits), device=y.device, dtype=torch.float32)
    sizes = (COUNT, R, INNER)
    options = dict(
        SIDE=INNER > 1, WIDE=(R + BLOCK) * INNER >= 2**31, ROWS=ROWS, BLOCK=BLOCK, CHUNK=chunk, SPLITS=splits,
        num_warps=NUM_WARPS)
{launches}    row_result[({programs},)](*operands, q, y, *numbers, *sizes, **options)
'''


class _Parts:
    """The kernels of a formula, one level after the other."""

    def __init__(self, shape: RowShape) -> None:
        self.shape = shape
        self.passes = Passes(shape)
        levels = range(1, self.passes.levels + 1)
        self.numbers = {r: i for i, r in enumerate(r for level in levels for r in self.passes.reductions(level))}

    def text(self) -> str:
        """Every kernel, those of the levels in order, then the one of the result."""
        levels = range(1, self.passes.levels + 1)
        return "".join([*map(self._level, levels), self._result()])

    def _level(self, level: int) -> str:
        combined = self._combined(level)
        known = dict(self.passes.names)
        loop, _ = row_loop.accumulated(self.passes, level, begin="begin", end="end")
        self.passes.names = known
        owns = {reduction: f"own_{number}" for number, reduction in enumerate(self.passes.reductions(level))}
        stores = [
            f"tl.store({self._place(reduction)} + split, {self._part(reduction, owns)}, mask=mine)"
            for reduction in owns
        ]
        what = f"Reduce one part of ROWS rows, level {level}."
        return self._kernel(f"row_level_{level}", "q_ptr, ", combined + loop + indented(stores, 1), what)

    def _result(self) -> str:
        body = self._combined(self.passes.levels + 1)
        if self.shape.is_full:
            body += "    for r0 in range(begin, end, BLOCK):\n" + self.passes.full_result("r0", "end", 2)
        else:
            body += self.passes.row_result
        return self._kernel("row_result", "q_ptr, y_ptr, ", body, "The result, from the parts that the levels left.")

    def _kernel(self, name: str, before: str, body: str, what: str) -> str:
        parameters = self.passes.parameters(before)
        is_divided = self.shape.is_full or name != "row_result"
        rows = ROWS_OF_TILE.format(tile="(tl.program_id(0) // SPLITS)" if is_divided else "tl.program_id(0)")
        return _KERNEL.format(name=name, parameters=parameters, rows=rows, body=body.rstrip(), what=what)

    def _combined(self, level: int) -> str:
        """The values of the row that the levels before this one left in parts."""
        before = [r for r in self.numbers if r in [x for i in range(1, level) for x in self.passes.reductions(i)]]
        lines = [f"q{self.numbers[r]} = tl.load({self._place(r)} + parts, mask=mine, other=0.0)" for r in before]
        self.passes.names = dict(self.passes.operands.names)
        for reduction in sorted(before, key=lambda r: (r.kind == "exp_sum", self.numbers[r])):
            top = row_loop.top_of(reduction)
            known = {"top": self.passes.names.get(top, ""), "top_part": f"q{self.numbers.get(top, '')}"}
            whole = _WHOLE[reduction.kind].format(part=f"q{self.numbers[reduction]}", **known)
            lines.append(self.passes.row_value(reduction, whole))
        return indented(lines, 1)

    def _place(self, reduction: Reduction) -> str:
        return f"q_ptr + ({self.numbers[reduction]} * COUNT + p).to(tl.int64) * SPLITS"

    def _part(self, reduction: Reduction, owns: dict[Reduction, str]) -> str:
        return _PART[reduction.kind].format(own=owns[reduction], top=owns.get(row_loop.top_of(reduction), ""))


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    assert isinstance(shape, RowShape)
    parts = _Parts(shape)
    launches = "".join(
        f"    row_level_{level}[(tiles * splits,)](*operands, q, *numbers, *sizes, **options)\n"
        for level in range(1, parts.passes.levels + 1)
    )
    kernels = parts.text() + _LAUNCH.format(
        reductions=len(parts.numbers),
        launches=launches,
        programs="tiles * splits" if shape.is_full else "tiles",
    )
    return host_text(shape, kernels)


def _misfit(situation: Situation) -> str:
    shape = situation.shape
    assert isinstance(shape, RowShape)
    tiles = shape.rows / (1 if shape.inner == 1 else 64)
    if shape.length < 4096 or tiles >= 2 * situation.gpu.sm_count:
        return f"{shape.rows} rows of {shape.length} values keep every multiprocessor busy undivided"
    return ""


def _start(situation: Situation) -> Configuration:
    shape = situation.shape
    assert isinstance(shape, RowShape)
    rows, block, warps = (1, 4096, 8) if shape.inner == 1 else (64, 32, 4)
    wanted = math.ceil(4 * situation.gpu.sm_count / math.ceil(shape.rows / rows))
    splits = min(_MOST_SPLITS, 1 << max(1, (min(wanted, math.ceil(shape.length / block)) - 1).bit_length()))
    knobs = (("ROWS", rows), ("BLOCK", block), ("SPLITS", splits), ("NUM_WARPS", warps))
    return Configuration("row_split", knobs)


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """As the loop, with as many programs as there are parts."""
    shape = situation.shape
    assert isinstance(shape, RowShape)
    again = (shape.passes - 1) * shape.read_bytes
    programs = shape.rows / configuration.number("ROWS") * configuration.number("SPLITS")
    return row_loop.bound(situation, shape.moved_bytes + again, programs=programs)


FAMILY = declared(
    "row_split",
    rank=2,
    knobs=("ROWS", "BLOCK", "SPLITS", "NUM_WARPS"),
    misfit=_misfit,
    start=_start,
    cost=_cost,
    text=_text,
    call=row_call,
    choices=(
        *neighbours(
            "grid",
            "SPLITS",
            (2, _MOST_SPLITS),
            more="more parts of a row: more programs",
            fewer="fewer parts of a row: less to put together",
        ),
        *WARPS,
    ),
)
