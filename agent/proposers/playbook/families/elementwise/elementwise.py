"""Elementwise: the whole chain of operators in one kernel, every value read once and written once.

Data flow: BLOCK neighbouring values a program; what stands between the operators stays in registers, in fp32.
Loses nowhere to one kernel per operator; a single operator is as fast in any library, because both wait for the memory.
Limits: tensors of other shapes are written out at the broadcast shape first.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.formulas.author import WARPS, declared, neighbours
from agent.proposers.playbook.formulas.evaluation import Evaluation, Operands, indented, operands_of
from agent.proposers.playbook.formulas.host_text import CHECKED
from agent.proposers.playbook.formulas.pointwise import functions_for
from agent.proposers.playbook.formulas.workload import FormulaShape

_KERNELS = '''{functions}
@triton.jit
def elementwise({pointers}y_ptr, {scalars}TOTAL, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """BLOCK neighbouring values."""
    block = tl.program_id(0)
    at = (block.to(tl.int64) if WIDE else block) * BLOCK + tl.arange(0, BLOCK)
    live = at < TOTAL
{body}    tl.store(y_ptr + at, {result}, mask=live)

{checked}

def computed(tensors, columns, numbers):
    """One launch over all values."""
    tensors = checked(tensors)
    y = torch.empty_like(tensors[0])
    total = y.numel()
    if total:
        elementwise[(triton.cdiv(total, BLOCK),)](
            *tensors, y, *map(float, numbers), total, WIDE=total >= 2**31 - BLOCK, BLOCK=BLOCK,
            num_warps=NUM_WARPS)
    return y
'''


def _operands(shape: FormulaShape) -> Operands:
    return operands_of(shape.formula, lambda tensor: False)


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    operands = _operands(shape)
    evaluation = Evaluation(operands.names)
    result = evaluation.name_of(shape.formula)
    loads = [
        f"x{index} = tl.load(x{index}_ptr + at, mask=live, other=0.0).to(tl.float32)"
        for index in range(len(operands.wholes))
    ]
    body = indented([*loads, *evaluation.lines], 1)
    return _KERNELS.format(
        functions=functions_for(body),
        pointers=operands.pointers,
        scalars=operands.scalars,
        body=body,
        result=result,
        checked=CHECKED,
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
