"""Implicit GEMM: output channels x output pixels, reduced over taps x input channels with tl.dot; x gathered in place.

Data flow: x is copied once, rounded to TF32, and the weights repacked; then a tile of x is loaded for every tap, its
bounds (and, strided, divisibility) tested per pixel. Output channels are the rows of the product, so that stores run
along pixels. Loses at stride s, where all but one in s_d s_h s_w gathered values are masked out.
Limits: 4-byte gathers (68 on an H100: 51 ms for the main kernel); no reuse across taps.
"""

import math

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Family, Situation
from agent.proposers.playbook.tiling import GATHERED_ACCUMULATORS, KNOBS, Gemm, gemm_cost, rounding_ms, start_tile

KERNELS = '''
@triton.jit
def implicit_gemm(x_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, OC, ICG, OCG, OCP, ID, IH, IW, OD, OH, OW,
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
    ow = pix % OW
    oh = pix // OW % OH
    od = pix // OW // OH
    c = tl.arange(0, BLOCK_K)
    o = tl.arange(0, BLOCK_N)
    plane = ID * IH * IW
    x_base = x_ptr + (n * (OC // OCG) + g).to(tl.int64) * ICG * plane
    w_base = w_ptr + (g.to(tl.int64) * (KD * KH * KW) * OCP + oc0) * CHANNELS
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for i in range(KD * KH * KW * (CHANNELS // BLOCK_K)):
        tap = i // (CHANNELS // BLOCK_K)
        c0 = i % (CHANNELS // BLOCK_K) * BLOCK_K
        td = od + PD - tap // (KH * KW) * DD
        th = oh + PH - tap // KW % KH * DH
        tw = ow + PW - tap % KW * DW
        reached = (od < OD) & (td >= 0) & (th >= 0) & (tw >= 0)
        if SD * SH * SW > 1:
            reached = reached & (td % SD == 0) & (th % SH == 0) & (tw % SW == 0)
        reached = reached & (td // SD < ID) & (th // SH < IH) & (tw // SW < IW)
        at = (td // SD * IH + th // SH) * IW + tw // SW
        channel = c if not WIDE else c.to(tl.int64)
        xv = tl.load(x_base + c0 * tl.cast(plane, tl.int64) + channel[:, None] * plane + at[None, :],
                     mask=reached[None, :] & (c0 + c < ICG)[:, None], other=0.0)
        wv = tl.load(w_base + tap * OCP * CHANNELS + c0 + o[:, None] * CHANNELS + c[None, :])
        acc = tl.dot(wv, xv, acc, input_precision=PRECISION)
    live = o + oc0 < OCG
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc0 + o, mask=live, other=0.0).to(tl.float32)[:, None]
    y_base = y_ptr + (n * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + pix[None, :], acc, mask=live[:, None] & (od < OD)[None, :])


def launch(x, w, bias, y, m):
    """Weights repacked once, then one launch over pixel tiles x channel tiles."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    CHANNELS, OCP = triton.cdiv(ICG, BLOCK_K) * BLOCK_K, triton.cdiv(OCG, BLOCK_N) * BLOCK_N
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    wp = packed_weights(w, m.groups, OCP, CHANNELS, rounded)
    source = rounded_input(x) if rounded else x
    tiles = triton.cdiv(math.prod(O), BLOCK_M)
    rows, cols = x.shape[0] * tiles, m.groups * OCP // BLOCK_N
    implicit_gemm[(rows * cols,)](
        source, wp, w if bias is None else bias, y, rows, cols, tiles, m.out_channels, ICG, OCG, OCP, *I, *O,
        *K, *S, *P, *D,
        CHANNELS=CHANNELS, HAS_BIAS=bias is not None, WIDE=BLOCK_K * math.prod(I) + BLOCK_N * math.prod(O) >= 2**31,
        PRECISION=PRECISION, GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        num_warps=NUM_WARPS, num_stages=NUM_STAGES)
'''


def _start(situation: Situation) -> Configuration:
    pixels, item_bytes = math.prod(situation.shape.output), situation.shape.item_bytes
    tile = start_tile(situation, pixels=pixels, item_bytes=item_bytes, accumulators=GATHERED_ACCUMULATORS)
    return Configuration("implicit_gemm", tuple(tile.items()))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    shape = situation.shape
    strided = shape.phases > 1
    gemm = Gemm(
        pixels=math.prod(shape.output),
        phases=1,
        taps=shape.taps,
        overhead=330 if strided else 225,
        per_element=4,
        item_bytes=shape.item_bytes,
    )
    return gemm_cost(configuration, situation, gemm).after(rounding_ms(configuration, situation))


FAMILY = Family(
    name="implicit_gemm",
    rank=1,
    idea="a matrix product over taps x input channels on tensor cores, x gathered with per-pixel tests",
    pays_when="16 channels or more, stride 1",
    knobs=KNOBS,
    kernels=KERNELS,
    fragments=("ROUND_TF32", "ROUND_INPUT", "PACK_WEIGHTS"),
    misfit=lambda situation: "",
    start=_start,
    cost=_cost,
    accumulators=GATHERED_ACCUMULATORS,
    reached=0.15,  # 68 on an H100: 51 ms
)
