"""Gather GEMM: a convolution with any stride as output channels x output pixels, reduced over taps x input channels.

Data flow: that of the implicit GEMM for transposed convolutions without its divisibility tests, as every tap reaches
every output. x is copied once, rounded to TF32, and the weights repacked; a tile of x is gathered for every tap.
Loses with few channels in a group, where most of a tile is padding.
Limits: 4-byte gathers; no reuse across taps.
"""

import math

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Family, Situation
from agent.proposers.playbook.gemm import ACCUMULATORS, Gemm, gemm_cost, start_tile
from agent.proposers.playbook.tiling import KNOBS
from prompts.cards import built_in_card

KERNELS = '''
@triton.jit
def round_input(x_ptr, r_ptr, TOTAL, BLOCK: tl.constexpr):
    """A copy of x rounded to TF32, so that the products lose no more than they must."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(r_ptr + at, round_tf32(tl.load(x_ptr + at, mask=at < TOTAL, other=0.0)), mask=at < TOTAL)


@triton.jit
def pack_weights(w_ptr, wp_ptr, ICG, OCG, OCP, TAPS, CHANNELS: tl.constexpr, ROUND: tl.constexpr, BLOCK_O: tl.constexpr,
                 BLOCK_C: tl.constexpr):
    """[out channel, in channel, tap] -> [group, tap, out channel, in channel], zero-padded to whole tiles."""
    tap = tl.program_id(0) % TAPS
    g = tl.program_id(0) // TAPS
    o = tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    source = w_ptr + tap + g.to(tl.int64) * OCG * ICG * TAPS
    target = wp_ptr + (g * TAPS + tap).to(tl.int64) * OCP * CHANNELS
    for c0 in range(0, CHANNELS, BLOCK_C):
        c = c0 + tl.arange(0, BLOCK_C)
        live = (c < ICG)[None, :] & (o < OCG)[:, None]
        v = tl.load(source + (o[:, None] * ICG + c[None, :]) * TAPS, mask=live, other=0.0)
        if ROUND:
            v = round_tf32(v)
        tl.store(target + o[:, None] * CHANNELS + c[None, :], v, mask=(c < CHANNELS)[None, :] & (o < OCP)[:, None])


@triton.jit
def gather_gemm(x_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, OC, ICG, OCG, OCP, ID, IH, IW, OD, OH, OW,
                KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr,
                SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr,
                DH: tl.constexpr, DW: tl.constexpr, CHANNELS: tl.constexpr, HAS_BIAS: tl.constexpr,
                WIDE: tl.constexpr, PRECISION: tl.constexpr, GROUP_M: tl.constexpr,
                BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile of BLOCK_N output channels x BLOCK_M output pixels of one batch item."""
    row, col = place(ROWS, COLS, GROUP_M)
    n = row // TILES
    pix = row % TILES * BLOCK_M + tl.arange(0, BLOCK_M)
    oc0 = col % (OCP // BLOCK_N) * BLOCK_N
    g = col // (OCP // BLOCK_N)
    ow = pix % OW * SW - PW
    oh = pix // OW % OH * SH - PH
    od = pix // OW // OH
    live = od < OD
    od = od * SD - PD
    c = tl.arange(0, BLOCK_K)
    o = tl.arange(0, BLOCK_N)
    plane = ID * IH * IW
    x_base = x_ptr + (n * (OC // OCG) + g).to(tl.int64) * ICG * plane
    w_base = w_ptr + (g.to(tl.int64) * (KD * KH * KW) * OCP + oc0) * CHANNELS
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for i in range(KD * KH * KW * (CHANNELS // BLOCK_K)):
        tap = i // (CHANNELS // BLOCK_K)
        c0 = i % (CHANNELS // BLOCK_K) * BLOCK_K
        ad = od + tap // (KH * KW) * DD
        ah = oh + tap // KW % KH * DH
        aw = ow + tap % KW * DW
        reached = live & (ad >= 0) & (ad < ID) & (ah >= 0) & (ah < IH) & (aw >= 0) & (aw < IW)
        channel = c if not WIDE else c.to(tl.int64)
        at = (ad * IH + ah) * IW + aw
        xv = tl.load(x_base + c0 * tl.cast(plane, tl.int64) + channel[:, None] * plane + at[None, :],
                     mask=reached[None, :] & (c0 + c < ICG)[:, None], other=0.0)
        wv = tl.load(w_base + tap * OCP * CHANNELS + c0 + o[:, None] * CHANNELS + c[None, :])
        acc = tl.dot(wv, xv, acc, input_precision=PRECISION)
    own = o + oc0 < OCG
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc0 + o, mask=own, other=0.0).to(tl.float32)[:, None]
    y_base = y_ptr + (n * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + pix[None, :], acc, mask=own[:, None] & live[None, :])


def convolve(x, y, m, before):
    """Weights repacked once, then one launch over pixel tiles x channel tiles."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(before, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    CHANNELS, OCP = triton.cdiv(ICG, BLOCK_K) * BLOCK_K, triton.cdiv(OCG, BLOCK_N) * BLOCK_N
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    taps = math.prod(K)
    wp = torch.empty((m.groups, taps, OCP, CHANNELS), device=x.device, dtype=x.dtype)
    pack_weights[(m.groups * taps, triton.cdiv(OCP, 16))](
        m.weight.contiguous(), wp, ICG, OCG, OCP, taps, CHANNELS=CHANNELS, ROUND=rounded, BLOCK_O=16, BLOCK_C=16,
        num_warps=1)
    source = torch.empty_like(x) if rounded else x
    if rounded:
        round_input[(triton.cdiv(x.numel(), 4096),)](x, source, x.numel(), BLOCK=4096, num_warps=8)
    tiles = triton.cdiv(math.prod(O), BLOCK_M)
    rows, cols = x.shape[0] * tiles, m.groups * OCP // BLOCK_N
    gather_gemm[(rows * cols,)](
        source, wp, wp if m.bias is None else m.bias, y, rows, cols, tiles, m.out_channels, ICG, OCG, OCP, *I, *O,
        *K, *S, *P, *D,
        CHANNELS=CHANNELS, HAS_BIAS=m.bias is not None, WIDE=BLOCK_K * math.prod(I) + BLOCK_N * math.prod(O) >= 2**31,
        PRECISION=PRECISION, GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        num_warps=NUM_WARPS, num_stages=NUM_STAGES)
'''


def _start(situation: Situation) -> Configuration:
    return Configuration("gather_gemm", tuple(start_tile(situation, math.prod(situation.shape.output)).items()))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """The kernel's, after the copy of x that rounds it."""
    shape = situation.shape
    gemm = Gemm(positions=math.prod(shape.output), taps=shape.taps, overhead=225, per_element=4)
    rounds = configuration.word("PRECISION") == "tf32" and shape.dtype == "float32"
    return gemm_cost(configuration, situation, gemm).after(situation.memory_ms(2 * shape.read_bytes * rounds))


CARD = built_in_card("gather_gemm")
FAMILY = Family(
    name="gather_gemm",
    rank=1,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=KNOBS,
    kernels=KERNELS,
    fragments=("ROUND_TF32",),
    misfit=lambda situation: "",
    start=_start,
    cost=_cost,
    accumulators=ACCUMULATORS,
    reached=0.15,  # as the transposed kernel of this form on 68, an H100: 51 ms
)
