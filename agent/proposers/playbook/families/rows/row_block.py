"""Row block: a whole row in the registers of one program, so that it is read once whatever is computed from it.

Data flow: ROWS rows x a power of two of places; every reduction is a reduction of the tile, the result is stored from
the same registers. Rows that lie side by side (INNER above 1) make the lanes, so that lines are read whole.
Loses with long rows, which do not fit, and with few of them, which leave multiprocessors idle.
Limits: rows of at most MOST values; longer ones go to the loop over the row.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.families.rows import row_loop
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.formulas.author import WARPS, declared, neighbours
from agent.proposers.playbook.formulas.evaluation import indented
from agent.proposers.playbook.formulas.formula import Reduction
from agent.proposers.playbook.formulas.row_text import PLACES, ROWS_OF_TILE, Passes, host_text, row_call
from agent.proposers.playbook.formulas.workload import FormulaShape, RowShape

MOST = 16384  # values of a tile: 32 a thread with 16 warps
_REDUCED = {
    "sum": "tl.sum(tl.where(live, {value}, 0.0), axis=1, keep_dims=True)",
    "max": 'largest(tl.where(live, {value}, float("-inf")))',
    "min": '-largest(tl.where(live, -{value}, float("-inf")))',
    "top": 'top_of(tl.where(live, {value}, float("-inf")))',
    "exp_sum": "tl.sum(tl.where(live, tl.exp({value} - {top}), 0.0), axis=1, keep_dims=True)",
}
_KERNEL = '''
@triton.jit
def row_block({parameters}):
    """ROWS rows, each as one block of places."""
{rows}{body}
'''
_LAUNCH = '''
def launch(operands, y, numbers, COUNT, R, INNER):
    """One launch over all rows; rows that are too long for a block go to the loop."""
    BLOCK = max(16, triton.next_power_of_2(R))
    if BLOCK > {most}:
        loop_over_rows(operands, y, numbers, COUNT, R, INNER)
        return
    rows = max(1, min(ROWS, {most} // BLOCK))
    row_block[(tiles_of(COUNT, INNER, rows),)](
        *operands, y, *numbers, COUNT, R, INNER, SIDE=INNER > 1, WIDE=R * INNER >= 2**31, ROWS=rows, BLOCK=BLOCK,
        num_warps=NUM_WARPS)
'''


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    assert isinstance(shape, RowShape)
    passes = Passes(shape)
    parameters = passes.parameters("y_ptr, ")
    body = [*PLACES.format(begin="0", end="R").splitlines(), *passes.loads([r.part for r in _all(passes)])]
    for level in range(1, passes.levels + 1):
        for reduction in sorted(passes.reductions(level), key=lambda r: r.kind == "exp_sum"):
            lines, (value,) = passes.values([reduction.part], keep=True)
            top = passes.names.get(row_loop.top_of(reduction), "")
            reduced = _REDUCED[reduction.kind].format(value=value, top=top)
            body += [*lines, passes.row_value(reduction, reduced)]
    if shape.is_full:
        lines, result = passes.result()
        late = [line for line in passes.loads([shape.formula]) if line not in body]
        end = indented([*late, *lines, f"tl.store(y_ptr + at, {result}, mask=live)"], 1)
    else:
        end = passes.row_result
    kernel = _KERNEL.format(
        parameters=parameters,
        rows=ROWS_OF_TILE.format(tile="tl.program_id(0)"),
        body=(indented(body, 1) + end).rstrip(),
    )
    return host_text(shape, kernel + row_loop.fallback(shape) + _LAUNCH.format(most=MOST))


def _all(passes: Passes) -> list[Reduction]:
    return [r for level in range(1, passes.levels + 1) for r in passes.reductions(level)]


def _misfit(situation: Situation) -> str:
    shape = situation.shape
    assert isinstance(shape, RowShape)
    longest = MOST if shape.inner == 1 else MOST // 32
    return "" if shape.length <= longest else f"a row of {shape.length} values does not fit into registers"


def _start(situation: Situation) -> Configuration:
    shape = situation.shape
    assert isinstance(shape, RowShape)
    block = max(16, 1 << (shape.length - 1).bit_length())
    rows = 32 if shape.inner > 1 else max(1, 1024 // block)
    return _configuration(min(rows, max(1, MOST // block)), block)


def _configuration(rows: int, block: int) -> Configuration:
    warps = max(1, min(16, rows * block // 512))
    return Configuration("row_block", (("ROWS", rows), ("NUM_WARPS", warps)))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """One read and one write, at the share of the memory that the programs' multiprocessors reach."""
    shape = situation.shape
    assert isinstance(shape, RowShape)
    return row_loop.bound(situation, shape.moved_bytes, programs=shape.rows / configuration.number("ROWS"))


FAMILY = declared(
    "row_block",
    rank=0,
    knobs=("ROWS", "NUM_WARPS"),
    misfit=_misfit,
    start=_start,
    cost=_cost,
    text=_text,
    call=row_call,
    choices=(
        *neighbours(
            "tiling",
            "ROWS",
            (1, 64),
            more="more rows a program: fewer programs, more loads in flight",
            fewer="fewer rows a program: more programs resident",
        ),
        *WARPS,
    ),
)
