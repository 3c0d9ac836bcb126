"""Row loop: a program walks along its rows in blocks, once for every reduction that needs another and once to write.

Data flow: lanes keep sums and maxima of their own places and meet only at the end of a pass. A maximum and the sum of
exponentials below it are one pass: the sum is rescaled whenever the maximum grows.
Loses where a row fits into registers (it is read again for every pass) and with few rows.
Limits: as many passes as the formula has levels, plus one for a result as long as the row.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.formulas.author import WARPS, declared, neighbours
from agent.proposers.playbook.formulas.evaluation import indented
from agent.proposers.playbook.formulas.formula import Reduction
from agent.proposers.playbook.formulas.row_text import PLACES, ROWS_OF_TILE, Passes, host_text, row_call
from agent.proposers.playbook.formulas.workload import FormulaShape, RowShape

_ZEROS, _LOWEST = "tl.zeros((ROWS, BLOCK), tl.float32)", 'tl.full((ROWS, BLOCK), float("-inf"), tl.float32)'
_BEGIN = {"sum": _ZEROS, "exp_sum": _ZEROS, "max": _LOWEST, "min": _LOWEST, "top": _LOWEST}
_STEP = {
    "sum": ["{own} += tl.where(live, {value}, 0.0)"],
    "max": ['{own} = tl.maximum({own}, tl.where(live, {value}, float("-inf")), propagate_nan=tl.PropagateNan.ALL)'],
    "min": ['{own} = tl.maximum({own}, tl.where(live, -{value}, float("-inf")), propagate_nan=tl.PropagateNan.ALL)'],
    "exp_sum": [
        'higher = tl.maximum({top}, tl.where(live, {value}, float("-inf")))',
        'shift = tl.where(higher == float("-inf"), 0.0, higher)',
        "{own} = {own} * tl.exp({top} - shift) + tl.where(live, tl.exp({value} - shift), 0.0)",
        "{top} = higher",
    ],
    "top": [],
}
_END = {
    "sum": "tl.sum({own}, axis=1, keep_dims=True)",
    "max": "largest({own})",
    "min": "-largest({own})",
    "top": "top_of({own})",
    "exp_sum": "tl.sum({own} * tl.exp({top} - {row_top}), axis=1, keep_dims=True)",
}
_KERNEL = '''
@triton.jit
def row_loop({parameters}):
    """ROWS rows, walked along in blocks of BLOCK places."""
{rows}{body}
'''
_LAUNCH = '''
def {name}(operands, y, numbers, COUNT, R, INNER):
    """One launch over all rows."""
    row_loop[(tiles_of(COUNT, INNER, {rows}),)](
        *operands, y, *numbers, COUNT, R, INNER, SIDE=INNER > 1, WIDE=(R + {block}) * INNER >= 2**31, ROWS={rows},
        BLOCK={block}, num_warps={warps})
'''


def top_of(reduction: Reduction) -> Reduction:
    """The maximum that belongs to a sum of exponentials."""
    return Reduction("top", reduction.part, reduction.dims, reduction.keeps_dims)


def accumulated(passes: Passes, level: int, *, begin: str, end: str) -> tuple[str, str]:
    """(a loop over places that accumulates the reductions of a level lane by lane, what the lanes are at its end).

    The second text gives every reduction its name; the first alone leaves `own_i` for each of them.
    """
    reductions = passes.reductions(level)
    owns = {reduction: f"own_{number}" for number, reduction in enumerate(reductions)}
    lines, values = passes.values([reduction.part for reduction in reductions])
    steps = [
        step.format(own=owns[reduction], value=value, top=owns.get(top_of(reduction), ""))
        for reduction, value in zip(reductions, values, strict=True)
        for step in _STEP[reduction.kind]
    ]
    begins = indented([f"{own} = {_BEGIN[reduction.kind]}" for reduction, own in owns.items()], 1)
    places = PLACES.format(begin="r0", end=end).splitlines()
    loads = passes.loads([reduction.part for reduction in reductions], end)
    loop = f"    for r0 in range({begin}, {end}, BLOCK):\n{indented([*places, *loads, *lines, *steps], 2)}"
    ends = []
    for reduction in sorted(reductions, key=lambda r: r.kind == "exp_sum"):
        top = top_of(reduction)
        known = {"top": owns.get(top, ""), "row_top": passes.names.get(top, "")}
        ends.append(passes.row_value(reduction, _END[reduction.kind].format(own=owns[reduction], **known)))
    return begins + loop, indented(ends, 1)


def kernel(shape: RowShape) -> str:
    """The kernel that walks along rows of any length."""
    passes = Passes(shape)
    parameters = passes.parameters("y_ptr, ")
    body = ""
    for level in range(1, passes.levels + 1):
        body += "".join(accumulated(passes, level, begin="0", end="R"))
    if shape.is_full:
        body += "    for r0 in range(0, R, BLOCK):\n" + passes.full_result("r0", "R", 2)
    else:
        body += passes.row_result
    rows = ROWS_OF_TILE.format(tile="tl.program_id(0)")
    return _KERNEL.format(parameters=parameters, rows=rows, body=body.rstrip())


def fallback(shape: RowShape) -> str:
    """`loop_over_rows` for families that do not serve every length."""
    return kernel(shape) + _LAUNCH.format(name="loop_over_rows", rows=1, block=2048, warps=8)


def bound(situation: Situation, moved_bytes: float, *, programs: float) -> Cost:
    """The time to move these bytes by so many programs; half as many as there are multiprocessors reach half of it."""
    busy = min(1.0, programs / situation.gpu.sm_count)
    return Cost(situation.memory_ms(moved_bytes) / busy, "memory" if busy == 1.0 else "idle multiprocessors")


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    assert isinstance(shape, RowShape)
    launch = _LAUNCH.format(name="launch", rows="ROWS", block="BLOCK", warps="NUM_WARPS")
    return host_text(shape, kernel(shape) + launch)


def _start(situation: Situation) -> Configuration:
    shape = situation.shape
    assert isinstance(shape, RowShape)
    rows, block, warps = (1, 4096, 8) if shape.inner == 1 else (64, 16, 4)
    return Configuration("row_loop", (("ROWS", rows), ("BLOCK", block), ("NUM_WARPS", warps)))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """Every pass reads the rows again."""
    shape = situation.shape
    assert isinstance(shape, RowShape)
    again = (shape.passes - 1) * shape.read_bytes
    return bound(situation, shape.moved_bytes + again, programs=shape.rows / configuration.number("ROWS"))


FAMILY = declared(
    "row_loop",
    rank=1,
    knobs=("ROWS", "BLOCK", "NUM_WARPS"),
    start=_start,
    cost=_cost,
    text=_text,
    call=row_call,
    choices=(
        *neighbours(
            "tiling",
            "BLOCK",
            (16, 8192),
            more="longer blocks: more loads in flight",
            fewer="shorter blocks: fewer registers for the lanes' own sums",
        ),
        *WARPS,
    ),
)
