"""Stride phases: outputs with equal (output + padding) modulo stride share a subset of taps, a dense stride-1 problem.

Data flow: as the implicit GEMM, but a program works on one phase and visits only the taps that reach it: no
divisibility test and 1 / (s_d s_h s_w) of the work. Where dilation shares a factor with the stride some phases have no
tap and are only filled. Loses at stride 1, where it is the implicit GEMM.
Limits: stores of one phase are s_w elements apart, loops are short (73 on an H100: 5.6 ms, cuDNN 2.1 ms).
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Family, Situation
from agent.proposers.playbook.tiling import GATHERED_ACCUMULATORS, KNOBS, Gemm, gemm_cost, rounding_ms, start_tile

KERNELS = '''
@triton.jit
def stride_phase(x_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, OC, ICG, OCG, OCP, ID, IH, IW, OD, OH, OW, QD, QH, QW,
                 KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr,
                 SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr,
                 DH: tl.constexpr, DW: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, STEP_W: tl.constexpr,
                 CHANNELS: tl.constexpr, HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, PRECISION: tl.constexpr,
                 GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile of output channels x pixels of one phase (outputs q * stride + phase), with the taps that reach it."""
    row, col = place(ROWS, COLS, GROUP_M)
    n = row // TILES
    q = row % TILES * BLOCK_M + tl.arange(0, BLOCK_M)
    oc0 = col % (OCP // BLOCK_N) * BLOCK_N
    phase = col // (OCP // BLOCK_N) % (SD * SH * SW)
    g = col // (OCP // BLOCK_N) // (SD * SH * SW)
    rd = phase // (SH * SW)
    rh = phase // SW % SH
    rw = phase % SW
    first_d = first_tap((rd + PD) % SD, KD, SD, DD)
    first_h = first_tap((rh + PH) % SH, KH, SH, DH)
    first_w = first_tap((rw + PW) % SW, KW, SW, DW)
    taps_h = (KH - first_h + STEP_H - 1) // STEP_H
    taps_w = (KW - first_w + STEP_W - 1) // STEP_W
    taps = (KD - first_d + STEP_D - 1) // STEP_D * taps_h * taps_w
    qw = q % QW
    qh = q // QW % QH
    qd = q // QW // QH
    bd = qd + (rd + PD) // SD  # input index that the tap k * dilation < stride reaches
    bh = qh + (rh + PH) // SH
    bw = qw + (rw + PW) // SW
    c = tl.arange(0, BLOCK_K)
    o = tl.arange(0, BLOCK_N)
    plane = ID * IH * IW
    x_base = x_ptr + (n * (OC // OCG) + g).to(tl.int64) * ICG * plane
    w_base = w_ptr + (g.to(tl.int64) * (KD * KH * KW) * OCP + oc0) * CHANNELS
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for i in range(taps * (CHANNELS // BLOCK_K)):
        j = i // (CHANNELS // BLOCK_K)
        c0 = i % (CHANNELS // BLOCK_K) * BLOCK_K
        kd = first_d + j // (taps_h * taps_w) * STEP_D
        kh = first_h + j // taps_w % taps_h * STEP_H
        kw = first_w + j % taps_w * STEP_W
        ad = bd - kd * DD // SD
        ah = bh - kh * DH // SH
        aw = bw - kw * DW // SW
        reached = (qd < QD) & (ad >= 0) & (ad < ID) & (ah >= 0) & (ah < IH) & (aw >= 0) & (aw < IW)
        channel = c if not WIDE else c.to(tl.int64)
        at = (ad * IH + ah) * IW + aw
        xv = tl.load(x_base + c0 * tl.cast(plane, tl.int64) + channel[:, None] * plane + at[None, :],
                     mask=reached[None, :] & (c0 + c < ICG)[:, None], other=0.0)
        tap = (kd * KH + kh) * KW + kw
        wv = tl.load(w_base + tap * OCP * CHANNELS + c0 + o[:, None] * CHANNELS + c[None, :])
        acc = tl.dot(wv, xv, acc, input_precision=PRECISION)
    live = o + oc0 < OCG
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc0 + o, mask=live, other=0.0).to(tl.float32)[:, None]
    od = qd * SD + rd
    oh = qh * SH + rh
    ow = qw * SW + rw
    y_base = y_ptr + (n * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + ((od * OH + oh) * OW + ow)[None, :], acc,
             mask=live[:, None] & ((od < OD) & (oh < OH) & (ow < OW))[None, :])


def launch(x, w, bias, y, m):
    """Weights repacked once, then one launch over pixel tiles x (channel tiles, phases)."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    CHANNELS, OCP = triton.cdiv(ICG, BLOCK_K) * BLOCK_K, triton.cdiv(OCG, BLOCK_N) * BLOCK_N
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    wp = packed_weights(w, m.groups, OCP, CHANNELS, rounded)
    source = rounded_input(x) if rounded else x
    Q = [triton.cdiv(o, s) for o, s in zip(O, S)]
    STEP = [s // math.gcd(s, d) for s, d in zip(S, D)]
    tiles = triton.cdiv(math.prod(Q), BLOCK_M)
    rows, cols = x.shape[0] * tiles, m.groups * math.prod(S) * (OCP // BLOCK_N)
    stride_phase[(rows * cols,)](
        source, wp, w if bias is None else bias, y, rows, cols, tiles, m.out_channels, ICG, OCG, OCP, *I, *O, *Q,
        *K, *S, *P, *D, *STEP,
        CHANNELS=CHANNELS, HAS_BIAS=bias is not None, WIDE=BLOCK_K * math.prod(I) + BLOCK_N * math.prod(O) >= 2**31,
        PRECISION=PRECISION, GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        num_warps=NUM_WARPS, num_stages=NUM_STAGES)
'''


def _misfit(situation: Situation) -> str:
    return "" if situation.shape.phases > 1 else "with stride 1 there is one phase, the implicit GEMM"


def _start(situation: Situation) -> Configuration:
    pixels, item_bytes = situation.shape.phase_pixels, situation.shape.item_bytes
    tile = start_tile(situation, pixels=pixels, item_bytes=item_bytes, accumulators=GATHERED_ACCUMULATORS)
    return Configuration("stride_phase", tuple(tile.items()))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    shape = situation.shape
    gemm = Gemm(
        pixels=shape.phase_pixels,
        phases=shape.phases,
        taps=shape.taps / shape.phases,
        overhead=250,
        per_element=4,
        item_bytes=shape.item_bytes,
        stores_apart=shape.stride[2],
    )
    return gemm_cost(configuration, situation, gemm).after(rounding_ms(configuration, situation))


FAMILY = Family(
    name="stride_phase",
    rank=2,
    idea="one dense stride-1 product per output phase over only the taps that reach it",
    pays_when="a stride above 1",
    knobs=KNOBS,
    kernels=KERNELS,
    fragments=("ROUND_TF32", "ROUND_INPUT", "FIRST_TAP", "PACK_WEIGHTS"),
    misfit=_misfit,
    start=_start,
    cost=_cost,
    accumulators=GATHERED_ACCUMULATORS,
    splits_phases=True,
    reached=0.08,  # 73 and 77 on an H100: 5.3 and 3.2 ms
)
