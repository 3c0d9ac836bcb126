"""Matrix product: tiles of rows x columns on tl.dot, what follows the product applied before the tile is stored.

Data flow: operands are read where they lie, by their strides, so a transposed one costs no copy. Products of fp32 are
exact (`ieee`), or three TF32 products of split operands (`tf32x3`) whose sums leave the tensor core every few blocks of
K, because its accumulation truncates. Where there are few tiles, SPLIT_K programs share one and a second launch adds up
their parts in order.
Loses to the library where it runs at the peak; wins with small or odd sizes and with operators after the product.
Limits: vectors are reductions, see families/rows.
"""

import math
from dataclasses import replace

from agent.proposers.playbook import kernel_text
from agent.proposers.playbook.configuration import Configuration, Knob
from agent.proposers.playbook.family import Choice, Cost, Situation
from agent.proposers.playbook.formulas.author import declared
from agent.proposers.playbook.formulas.evaluation import Evaluation, Operands, indented, operands_of
from agent.proposers.playbook.formulas.formula import Product, Tensor, of_kind
from agent.proposers.playbook.formulas.host_text import CHECKED
from agent.proposers.playbook.formulas.pointwise import functions_for
from agent.proposers.playbook.formulas.workload import FormulaShape, ProductShape
from agent.proposers.playbook.gemm import ACCUMULATORS, Gemm, gemm_cost, start_tile
from agent.proposers.playbook.tiling import KNOBS

KERNELS = '''
@triton.jit
def matrix_product(a_ptr, b_ptr, {pointers}y_ptr, {scalars}ROWS, COLS, M, N, K, STEPS, A_G, A_M, A_K, B_G, B_K, B_N,
                   EVEN_K: tl.constexpr, WIDE: tl.constexpr, DIVIDED: tl.constexpr, PRECISION: tl.constexpr,
                   GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """BLOCK_M rows x BLOCK_N columns of one product, or with DIVIDED the part of it that STEPS blocks of K give."""
    row, col = place(ROWS, COLS, GROUP_M)
    g = tl.program_id(1)
    part = tl.program_id(2)
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = col * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    first = part * STEPS * BLOCK_K
    mw = m if not WIDE else m.to(tl.int64)
    nw = n if not WIDE else n.to(tl.int64)
    a = a_ptr + g.to(tl.int64) * A_G + first.to(tl.int64) * A_K + mw[:, None] * A_M + k[None, :] * A_K
    b = b_ptr + g.to(tl.int64) * B_G + first.to(tl.int64) * B_K + k[:, None] * B_K + nw[None, :] * B_N
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    # tensor cores truncate what they add up: long sums of split operands are made outside of them
    CHUNK: tl.constexpr = 4 if PRECISION == "tf32x3" else 1
    for step in range(0, STEPS, CHUNK):
        if CHUNK == 1:
            left = K - first - step * BLOCK_K
            av = tl.load(a, mask=(m < M)[:, None] & ((k < left)[None, :] | EVEN_K), other=0.0)
            bv = tl.load(b, mask=(n < N)[None, :] & ((k < left)[:, None] | EVEN_K), other=0.0)
            acc = tl.dot(av, bv, acc, input_precision=PRECISION)
            a += BLOCK_K * A_K
            b += BLOCK_K * B_K
        else:
            total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
            for inner in range(CHUNK):
                left = tl.minimum(K - first, STEPS * BLOCK_K) - (step + inner) * BLOCK_K
                av = tl.load(a, mask=(m < M)[:, None] & (k < left)[None, :], other=0.0)
                bv = tl.load(b, mask=(n < N)[None, :] & (k < left)[:, None], other=0.0)
                total = tl.dot(av, bv, total, input_precision=PRECISION)
                a += BLOCK_K * A_K
                b += BLOCK_K * B_K
            acc += total
    inside = (m < M)[:, None] & (n < N)[None, :]
    if DIVIDED:
        at = ((part * tl.num_programs(1) + g).to(tl.int64) * M + m[:, None]) * N + n[None, :]
        tl.store(y_ptr + at, acc, mask=inside)
    else:
        at = (g.to(tl.int64) * M + m[:, None]) * N + n[None, :]
{finish}        tl.store(y_ptr + at, {result}, mask=inside)


@triton.jit
def add_parts(q_ptr, {pointers}y_ptr, {scalars}TOTAL, N, PARTS, BLOCK: tl.constexpr):
    """The parts of the product added up in order, and what follows the product."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < TOTAL
    n = at % N
    acc = tl.zeros((BLOCK,), tl.float32)
    q = q_ptr + at
    for _ in range(PARTS):
        acc += tl.load(q, mask=inside, other=0.0)
        q += TOTAL
{finish_flat}    tl.store(y_ptr + at, {result}, mask=inside)

{checked}

def flat(left, right):
    """(left, right) as [batch, M, K] and [batch, K, N] views, batch 1 where the right one serves all rows alike."""
    if right.dim() == 2:
        return left.reshape(1, math.prod(left.shape[:-1]), left.shape[-1]), right.unsqueeze(0)
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    return (t.expand(*batch, *t.shape[-2:]).reshape(math.prod(batch), *t.shape[-2:]) for t in (left, right))


def computed(left, right, tensors, columns, numbers):
    """left @ right as torch.matmul broadcasts it, and what follows it, in one launch or two."""
    if left.dim() < 2 or right.dim() < 2 or left.shape[-1] != right.shape[-2]:
        raise ValueError(f"cannot multiply {{tuple(left.shape)}} by {{tuple(right.shape)}}")
    if left.dtype != right.dtype:
        raise TypeError(f"expected one type, got {{left.dtype}} and {{right.dtype}}")
    a, b = flat(left, right)
    (G, M, K), N = a.shape, b.shape[2]
    lead = left.shape[:-2] if right.dim() == 2 else torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    y = torch.empty((*lead, left.shape[-2], N), device=left.device, dtype=left.dtype)
    columns = [c.reshape(-1).expand(N).contiguous() for c in columns]
    tensors = checked([y, *tensors], columns)[1:]
    if max(M, N, K) >= 2**31 - 2**16:
        raise ValueError("more rows or columns than the grid counts")
    wholes = [t.view(G, M, N) for t in tensors]
    for g in range(0, G if y.numel() else 0, 2**15):  # the grid counts up to 2**16 products
        some = slice(g, g + 2**15)
        operands = [*(t[some] for t in wholes), *columns]
        launch(a[some], b[some], operands, [float(s) for s in numbers], y.view(G, M, N)[some])
    return y


def launch(a, b, tensors, numbers, y):
    """Tiles x products x parts of K; the parts, where there are several, are added up by a second launch."""
    (G, M, K), N = a.shape, b.shape[2]
    blocks = triton.cdiv(K, BLOCK_K)
    parts = max(1, min(SPLIT_K, blocks // 4))
    steps = max(1, triton.cdiv(blocks, parts))
    target = y if parts == 1 else torch.empty((parts, G, M, N), device=y.device, dtype=torch.float32)
    rows, cols = triton.cdiv(M, BLOCK_M), triton.cdiv(N, BLOCK_N)
    reach = max((M + BLOCK_M) * a.stride(1), (N + BLOCK_N) * b.stride(2), BLOCK_K * a.stride(2), BLOCK_K * b.stride(1))
    matrix_product[(rows * cols, G, parts)](
        a, b, *tensors, target, *numbers, rows, cols, M, N, K, steps, *a.stride(), *b.stride(),
        EVEN_K=K == parts * steps * BLOCK_K, WIDE=reach >= 2**31, DIVIDED=parts > 1, PRECISION=PRECISION,
        GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, num_warps=NUM_WARPS, num_stages=NUM_STAGES)
    if parts > 1:
        add_parts[(triton.cdiv(y.numel(), 1024),)](
            target, *tensors, y, *numbers, y.numel(), N, parts, BLOCK=1024, num_warps=4)
'''


def _product(shape: FormulaShape) -> Product:
    return of_kind(shape.formula, Product)[0]


def _operands(shape: FormulaShape) -> Operands:
    product = _product(shape)

    def is_column(tensor: Tensor) -> bool:
        return math.prod(tensor.shape) in (1, tensor.shape[-1]) if tensor.shape else True

    return operands_of(shape.formula, is_column, without=(product.left, product.right))


def _finish(shape: FormulaShape, depth: int, column: str) -> tuple[str, str]:
    """(lines, name) of what follows the product, from `acc`; `column`: how a value for each column is aligned."""
    operands = _operands(shape)
    evaluation = Evaluation({**operands.names, _product(shape): "acc"})
    result = evaluation.name_of(shape.formula)
    wholes = [
        f"x{index} = tl.load(x{index}_ptr + at, mask=inside, other=0.0).to(tl.float32)"
        for index in range(len(operands.wholes))
    ]
    columns = [
        f"c{index} = tl.load(c{index}_ptr + n, mask=n < N, other=0.0).to(tl.float32){column}"
        for index in range(len(operands.columns))
    ]
    return indented([*wholes, *columns, *evaluation.lines], depth), result


def _text(configuration: Configuration, shape: FormulaShape) -> str:
    operands = _operands(shape)
    finish, result = _finish(shape, 2, "[None, :]")
    kernels = KERNELS.format(
        pointers=operands.pointers,
        scalars=operands.scalars,
        finish=finish,
        finish_flat=_finish(shape, 1, "")[0],
        result=result,
        checked=CHECKED,
    )
    return "\n".join((kernel_text.PLACE, functions_for(finish), kernels))


def _call(shape: FormulaShape) -> str:
    product = _product(shape)
    return f"computed({product.left.text}, {product.right.text}, {_operands(shape).arguments})"


def _start(situation: Situation) -> Configuration:
    shape = situation.shape
    assert isinstance(shape, ProductShape)
    tile = start_tile(situation, shape.rows)
    if situation.precision == "ieee":
        tile |= _square_tile(shape)
    tiles = shape.groups * math.ceil(shape.rows / int(tile["BLOCK_M"]))
    tiles *= math.ceil(shape.out_channels / int(tile["BLOCK_N"]))
    own: dict[str, Knob] = {"GROUP_M": 8, "SPLIT_K": _parts(tiles, situation, int(tile["BLOCK_K"]))}
    return Configuration("matrix_product", tuple((tile | own).items()))


def _square_tile(shape: ProductShape) -> dict[str, Knob]:
    """fp32 products are bound by issue: 64 x 64 x 16 compiles to 96 registers, 85 % of its loop multiply-adds."""
    rows, columns = (1 << max(4, min(6, (size - 1).bit_length())) for size in (shape.rows, shape.out_channels))
    return {"BLOCK_M": max(32, rows), "BLOCK_N": columns, "BLOCK_K": 16, "NUM_WARPS": 4 if rows * columns > 2048 else 2}


def _parts(tiles: int, situation: Situation, block_k: int) -> int:
    """Programs that share a tile, so that every multiprocessor has four; at least 16 steps of K each."""
    wanted = 4 * situation.gpu.sm_count // max(1, tiles)
    most = situation.shape.in_channels // (16 * block_k)
    return max(1, min(64, wanted, most))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """The tiles', as slow as the last wave of them is empty, before the parts of K are added up."""
    shape, parts = situation.shape, configuration.number("SPLIT_K")
    assert isinstance(shape, ProductShape)
    cost = gemm_cost(configuration, situation, Gemm(positions=shape.rows, taps=1, overhead=70, per_element=0))
    rows, columns = shape.rows / configuration.number("BLOCK_M"), shape.out_channels / configuration.number("BLOCK_N")
    waves = shape.groups * math.ceil(rows) * math.ceil(columns) * parts / situation.gpu.sm_count
    slower = 1.0 if cost.limiter == "memory" else math.ceil(waves) / waves
    added = 8 * parts * shape.groups * shape.rows * shape.out_channels if parts > 1 else 0
    return replace(cost, bound_ms=cost.bound_ms * slower).after(situation.memory_ms(added))


def _splitting_pays(configuration: Configuration, situation: Situation) -> bool:
    """Whether three TF32 products are faster than one of fp32 on the target."""
    tf32 = situation.gpu.dense_peak_tflops.tf32 or 0.0
    may = situation.shape.dtype == "float32" and situation.has_tensor_cores and "tf32x3" not in situation.too_coarse
    return may and tf32 / 3 > situation.gpu.dense_peak_tflops.fp32 and configuration.word("PRECISION") == "ieee"


FAMILY = declared(
    "matrix_product",
    rank=0,
    knobs=(*KNOBS, "SPLIT_K"),
    start=_start,
    cost=_cost,
    accumulators=ACCUMULATORS,
    text=_text,
    call=_call,
    choices=(
        Choice(
            "algorithm",
            lambda configuration: configuration.having(
                PRECISION="tf32x3", BLOCK_M=128, BLOCK_N=64, BLOCK_K=16, NUM_WARPS=8, NUM_STAGES=2
            ),
            when=_splitting_pays,
            reason="three TF32 products of split operands: the error of fp32 at a third of the tensor cores' rate",
        ),
        Choice(
            "grid",
            lambda configuration: configuration.having(SPLIT_K=configuration.number("SPLIT_K") * 2),
            when=lambda configuration, situation: 1 < configuration.number("SPLIT_K") <= 32,
            reason="more parts of K: more programs where there are few tiles",
        ),
    ),
)
