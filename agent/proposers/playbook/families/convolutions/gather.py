"""Gather: a convolution with any stride by multiply-adds of scalar weights with blocks of x, read as they lie.

Data flow: that of the direct kernel for transposed convolutions, at `o * stride - padding + tap * dilation`; one value
of x serves the BLOCK_N output channels of a program. Loses with many channels: it never reaches a tensor core.
Limits: depthwise and other small groups are its place; the kernel that stride-1 files use for other strides.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.families import direct
from agent.proposers.playbook.family import Family, Situation
from prompts.cards import built_in_card

KERNEL = '''
@triton.jit
def gather(x_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, OC, ICG, OCG, ID, IH, IW, OD, OH, OW,
           KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
           PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
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
    w_base = w_ptr + (g.to(tl.int64) * OCG * ICG + oc * ICG) * (KD * KH * KW)
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for kd in range(KD):
        ad = od * SD - PD + kd * DD
        d_live = (od < OD) & (ad >= 0) & (ad < ID)
        for kh in range(KH):
            ah = oh * SH - PH + kh * DH
            h_live = d_live & (ah >= 0) & (ah < IH)
            for kw in range(KW):
                aw = ow * SW - PW + kw * DW
                reached = h_live & (aw >= 0) & (aw < IW)
                x_tap = x_base + (ad * IH + ah) * IW + aw
                w_tap = w_base + (kd * KH + kh) * KW + kw
                for c in range(ICG):
                    xv = tl.load(x_tap + c * plane, mask=reached, other=0.0).to(tl.float32)
                    wv = tl.load(w_tap + c * (KD * KH * KW), mask=oc < OCG, other=0.0).to(tl.float32)
                    acc += wv[:, None] * xv[None, :]
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc, mask=oc < OCG, other=0.0).to(tl.float32)[:, None]
    channel = oc if not WIDE else oc.to(tl.int64)
    y_base = y_ptr + (n * OC + g * OCG).to(tl.int64) * (OD * OH * OW)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + pix[None, :], acc,
             mask=(oc < OCG)[:, None] & (od < OD)[None, :])


def {name}(x, y, m, before):
    """One launch: pixel tiles x channel tiles; weights and input are read as they lie."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(before, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    tiles = triton.cdiv(math.prod(O), {block_m})
    rows, cols = x.shape[0] * tiles, m.groups * triton.cdiv(OCG, {block_n})
    w = m.weight.contiguous()
    gather[(rows * cols,)](
        x, w, w if m.bias is None else m.bias, y, rows, cols, tiles, m.out_channels, ICG, OCG, *I, *O, *K, *S, *P, *D,
        HAS_BIAS=m.bias is not None, WIDE=OCG * math.prod(O) >= 2**31, GROUP_M={group_m}, BLOCK_M={block_m},
        BLOCK_N={block_n}, num_warps={warps})
'''
FALLBACK = KERNEL.format(name="launch_gather", block_m=256, block_n=8, group_m=1, warps=4)


def _start(situation: Situation) -> Configuration:
    return Configuration("gather", direct.FAMILY.start(situation).knobs)


CARD = built_in_card("gather")
FAMILY = Family(
    name="gather",
    rank=0,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=direct.FAMILY.knobs,
    kernels=KERNEL.format(name="convolve", block_m="BLOCK_M", block_n="BLOCK_N", group_m="GROUP_M", warps="NUM_WARPS"),
    fragments=(),
    misfit=lambda situation: "",
    start=_start,
    cost=direct.FAMILY.cost,
    reached=direct.FAMILY.reached,
)
