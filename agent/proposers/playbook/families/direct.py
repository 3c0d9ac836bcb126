"""Direct: every tap and input channel is one scalar weight times a block of x; no shared memory, no tensor core.

Data flow: x and weights are read as they lie; one x value serves the BLOCK_N output channels of a program, in fp32.
Loses with many channels: addresses and loads cost more instructions than multiply-adds (68 on an H100: 163 ms).
Limits: the kernel the other families are compared with, and what a repair falls back to.
"""

import math

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Family, Situation
from prompts.cards import built_in_card

KERNELS = '''
@triton.jit
def direct(x_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, OC, ICG, OCG, ID, IH, IW, OD, OH, OW,
           KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
           PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
           UD: tl.constexpr, UH: tl.constexpr, UW: tl.constexpr,
           HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr,
           BLOCK_N: tl.constexpr):
    """BLOCK_N output channels x BLOCK_M output pixels; each input value is used for all the channels of the tile."""
    row, col = place(ROWS, COLS, GROUP_M)
    n = row // TILES
    pix = row % TILES * BLOCK_M + tl.arange(0, BLOCK_M)
    tiles_n = (OCG + BLOCK_N - 1) // BLOCK_N
    g = col // tiles_n
    oc = col % tiles_n * BLOCK_N + tl.arange(0, BLOCK_N)
    ow = pix % OW
    oh = pix // OW % OH
    od = pix // OW // OH
    plane = tl.cast(ID * IH * IW, tl.int64)
    x_base = x_ptr + (n * (OC // OCG) + g) * ICG * plane
    w_base = w_ptr + g.to(tl.int64) * ICG * OCG * (KD * KH * KW)
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for kd in range(KD):
        td = od * UD + PD - kd * DD
        d_live = (od < OD) & (td >= 0) & (td % SD == 0) & (td // SD < ID)
        for kh in range(KH):
            th = oh * UH + PH - kh * DH
            h_live = d_live & (th >= 0) & (th % SH == 0) & (th // SH < IH)
            for kw in range(KW):
                tw = ow * UW + PW - kw * DW
                reached = h_live & (tw >= 0) & (tw % SW == 0) & (tw // SW < IW)
                x_tap = x_base + (td // SD * IH + th // SH) * IW + tw // SW
                w_tap = w_base + oc * (KD * KH * KW) + (kd * KH + kh) * KW + kw
                for c in range(ICG):
                    xv = tl.load(x_tap + c * plane, mask=reached, other=0.0).to(tl.float32)
                    wv = tl.load(w_tap + c * (OCG * KD * KH * KW), mask=oc < OCG, other=0.0).to(tl.float32)
                    acc += wv[:, None] * xv[None, :]
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc, mask=oc < OCG, other=0.0).to(tl.float32)[:, None]
    channel = oc if not WIDE else oc.to(tl.int64)
    y_base = y_ptr + (n * OC + g * OCG).to(tl.int64) * (OD * OH * OW)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + pix[None, :], acc,
             mask=(oc < OCG)[:, None] & (od < OD)[None, :])


def launch(x, w, bias, y, m):
    """One launch: pixel tiles x channel tiles; weights and input are read as they lie."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    U = lead(getattr(m, "steps", ()), 1)  # input positions from one output to the next, where m is a convolution
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    tiles = triton.cdiv(math.prod(O), BLOCK_M)
    rows, cols = x.shape[0] * tiles, m.groups * triton.cdiv(OCG, BLOCK_N)
    direct[(rows * cols,)](
        x, w, w if bias is None else bias, y, rows, cols, tiles, m.out_channels, ICG, OCG, *I, *O, *K, *S, *P, *D, *U,
        HAS_BIAS=bias is not None, WIDE=OCG * math.prod(O) >= 2**31, GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N,
        num_warps=NUM_WARPS)
'''


def _start(situation: Situation) -> Configuration:
    block_n = 1 << min(3, (situation.shape.out_channels - 1).bit_length())
    return Configuration("direct", (("BLOCK_M", 256), ("BLOCK_N", block_n), ("GROUP_M", 1), ("NUM_WARPS", 4)))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """Instructions read from sm_89 code: 69 a step for 8 channels x 256 pixels in 4 warps, 90 for 16 channels."""
    shape = situation.shape
    block_m, block_n, warps = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "NUM_WARPS"))
    tiles = math.ceil(math.prod(shape.output) / block_m) * math.ceil(shape.out_channels / block_n)
    steps = shape.batch * shape.groups * tiles * shape.taps * shape.in_channels
    accumulators = block_m * block_n / (32 * warps)
    bounds = {
        "instruction issue": situation.issue_ms(steps * warps * (25 + 1.3 * accumulators + 2 * block_n)),
        "memory": situation.memory_ms(shape.moved_bytes),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    return Cost(bounds[limiter], limiter, steps * (block_m + block_n) * shape.item_bytes)


CARD = built_in_card("direct")
FAMILY = Family(
    name="direct",
    rank=0,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=("BLOCK_M", "BLOCK_N", "GROUP_M", "NUM_WARPS"),
    kernels=KERNELS,
    fragments=(),
    misfit=lambda situation: "",
    start=_start,
    cost=_cost,
    reached=0.53,  # 68 on an H100: 163 ms
)
