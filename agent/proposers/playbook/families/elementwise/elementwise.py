"""Elementwise: the whole chain of operators in one kernel, every value read once and written once.

Data flow: BLOCK neighbouring values a program; what stands between the operators stays in registers, in fp32.
Loses nowhere to one kernel per operator; a single operator is as fast in any library, because both wait for the memory.
Smaller tensors (a scale, a bias) are read in place, once per value of the output, mostly from the L2.
Limits: a tensor that is spread between its own dimensions, and all where none has the output's shape, are written out
at the broadcast shape first.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.formulas.author import WARPS, declared, neighbours
from agent.proposers.playbook.formulas.evaluation import Evaluation, Operands, indented, operands_of
from agent.proposers.playbook.formulas.formula import Tensor, of_kind
from agent.proposers.playbook.formulas.host_text import CHECKED
from agent.proposers.playbook.formulas.pointwise import functions_for
from agent.proposers.playbook.formulas.workload import FormulaShape

_KERNELS = '''{functions}
@triton.jit
def elementwise({pointers}y_ptr, {scalars}TOTAL, {steps}WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK neighbouring values."""
    block = tl.program_id(0)
    at = (block.to(tl.int64) if WIDE else block) * BLOCK + tl.arange(0, BLOCK)
    live = at < TOTAL
{body}    tl.store(y_ptr + at, {result}, mask=live)

{checked}
{periodic}
def computed(tensors, columns, numbers):
    """One launch over all values."""
{prepared}    y = torch.empty_like(tensors[0])
    total = y.numel()
    if total:
        elementwise[(triton.cdiv(total, BLOCK),)](
            *tensors, {handed}y, *map(float, numbers), total, {steps_handed}WIDE=total >= 2**31 - BLOCK, BLOCK=BLOCK,
            num_warps=NUM_WARPS)
    return y
'''
_WHOLE = {"periodic": "", "prepared": "    tensors = checked(tensors)\n", "handed": "", "steps_handed": ""}
_SPREAD = {
    "periodic": '''
def periodic(values, shape):
    """(values, INNER, COUNT): broadcast to `shape`, the value at place p is values[p // INNER % COUNT]."""
    sizes = (1,) * (len(shape) - values.dim()) + tuple(values.shape)
    own = [d for d, size in enumerate(sizes) if size != 1] or [len(shape)]
    first, end = own[0], own[-1] + 1
    if sizes[first:end] != tuple(shape[first:end]):  # spread between its own dimensions as well
        values, end = values.expand(shape), len(shape)
    return values.contiguous(), math.prod(shape[end:]), values.numel()

''',
    "prepared": """    shape = torch.broadcast_shapes(*(t.shape for t in (*tensors, *columns)))
    tensors = checked([t.expand(shape) for t in tensors], columns)
    spread = [periodic(c, shape) for c in columns]
""",
    "handed": "*(c for c, _, _ in spread), ",
    "steps_handed": "*(step for _, *steps in spread for step in steps), ",
}


def _operands(shape: FormulaShape) -> Operands:
    """Columns: the tensors that are smaller than the output, where another one is not."""
    full = shape.formula.shape
    has_whole = any(tensor.shape == full for tensor in of_kind(shape.formula, Tensor))
    return operands_of(shape.formula, lambda tensor: has_whole and tensor.shape != full)


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    operands = _operands(shape)
    evaluation = Evaluation(operands.names)
    result = evaluation.name_of(shape.formula)
    columns = range(len(operands.columns))
    places = {f"x{i}": "at" for i in range(len(operands.wholes))}
    places |= {f"c{i}": f"at // INNER{i} % COUNT{i}" for i in columns}
    loads = [
        f"{name} = tl.load({name}_ptr + {place}, mask=live, other=0.0).to(tl.float32)" for name, place in places.items()
    ]
    body = indented([*loads, *evaluation.lines], 1)
    return _KERNELS.format(
        functions=functions_for(body),
        pointers=operands.pointers,
        scalars=operands.scalars,
        steps="".join(f"INNER{i}: tl.constexpr, COUNT{i}: tl.constexpr, " for i in columns),
        body=body,
        result=result,
        checked=CHECKED,
        **(_SPREAD if operands.columns else _WHOLE),
    )


def _start(situation: Situation) -> Configuration:
    return Configuration("elementwise", (("BLOCK", 1024), ("NUM_WARPS", 4)))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    return Cost(situation.memory_ms(situation.shape.moved_bytes), "memory")


FAMILY = declared(
    "elementwise",
    rank=0,
    knobs=("BLOCK", "NUM_WARPS"),
    start=_start,
    cost=_cost,
    text=_text,
    call=lambda shape: f"computed({_operands(shape).arguments})",
    choices=(
        *neighbours(
            "tiling",
            "BLOCK",
            (256, 4096),
            more="more values a thread: more loads in flight",
            fewer="fewer values a thread: more blocks to hide latency",
        ),
        *WARPS,
    ),
)
