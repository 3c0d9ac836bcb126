"""Phase windows: all phases along the width, and with JOIN=all all phases, are rows of one product over pixel windows.

Data flow: x is packed to rows of channels (window_text.py draws it); a program multiplies packed weights, rows (phase,
out channel), with windows of neighbouring pixels, columns; the phases interleave in registers, so that whole lines
are stored. Small programs, few steps each: strided problems are bound by memory and latency, not by products.
Where stride and dilation share a factor, the width's phases without a tap are no rows but zeros in the interleaving.
Loses at large strides with few taps, where most of a phase's window is zeros.
Limits: products of zeros where taps and windows do not match (73: one in four).
"""

from agent.proposers.playbook import window_text
from agent.proposers.playbook.family import Family
from agent.proposers.playbook.tiling import KNOBS
from agent.proposers.playbook.window_choices import CHOICES
from agent.proposers.playbook.windows import start_window, window_cost, window_extents
from prompts.cards import built_in_card

MAIN = '''
@triton.jit(do_not_specialize=["TILES"])
def phase_window(x, w, b_ptr, y_ptr, e_ptr, COLUMNS, COLS, TILES, LOW_X, LOW_W: tl.constexpr, FIRST: tl.constexpr,
                 SPAN: tl.constexpr, OC: tl.constexpr, OCG: tl.constexpr, OCP: tl.constexpr, OD: tl.constexpr,
                 OH: tl.constexpr, OW: tl.constexpr, QH: tl.constexpr, QW: tl.constexpr, GROUPS: tl.constexpr,
                 KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                 PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr,
                 STEP_D: tl.constexpr, STEP_H: tl.constexpr, A_D: tl.constexpr, A_H: tl.constexpr, A_W: tl.constexpr,
                 STEP_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr, PHASES_D: tl.constexpr,
                 PHASES_H: tl.constexpr, PHASES_W: tl.constexpr, G: tl.constexpr, LANES: tl.constexpr,
                 ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, DESCRIBED: tl.constexpr,
                 HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, SCALE: tl.constexpr, SPLIT: tl.constexpr,
                 PRECISION: tl.constexpr, PROMOTE: tl.constexpr, SWAP: tl.constexpr, GROUP_M: tl.constexpr,
                 BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile: BLOCK_O output channels, BLOCK_M positions of a plane, all phases along the width (ALL: all phases)."""
    column, col = place(COLUMNS, COLS, GROUP_M)
    plane = column // TILES
    g = plane % GROUPS
    f0 = column % TILES * BLOCK_M
    oc0 = col % (OCP // BLOCK_O) * BLOCK_O
    rd = col // (OCP // BLOCK_O) // SH  # 0 with ALL
    rh = col // (OCP // BLOCK_O) % SH
    ROWS: tl.constexpr = PHASES_D * PHASES_H * PHASES_W
    row = FIRST + (plane if DESCRIBED else plane.to(tl.int64)) * SPAN + f0
    acc = window_product(x, w, row, g, oc0, rd, rh, LOW_X, LOW_W, OCP, QH, QW, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D,
                         STEP_H, A_D, A_H, A_W, STEP_W, STEPS, STEPS_H, ALL, ROWS, CHANNELS, WIDTH, DESCRIBED, SPLIT,
                         PRECISION, PROMOTE, SWAP, BLOCK_M, BLOCK_O, BLOCK_K)
    if SCALE:
        acc = unscaled(acc, e_ptr + GROUPS * OCP + plane, e_ptr + g * OCP + oc0, ROWS, BLOCK_O)
    LINES: tl.constexpr = PHASES_D * PHASES_H * BLOCK_O  # rows of the tile to store: (depth and height phase, channel)
    out = interleaved(acc, PHASES_D * PHASES_H, PHASES_W, (G - PW % G) % G, LANES, BLOCK_M, BLOCK_O)
    q = tl.arange(0, BLOCK_M * PHASES_W * LANES)
    line = tl.arange(0, LINES)
    o = line % BLOCK_O
    f = f0 + q // (PHASES_W * LANES)
    rw = q // LANES % PHASES_W * G + q % LANES
    jd = f // QW // QH
    jh = f // QW % QH
    ow = f % QW * SW + rw
    live = (o + oc0 < OCG)[:, None] & ((q % LANES < G) & (rw < SW) & (ow < OW))[None, :]
    if ALL:
        rd = line // BLOCK_O // PHASES_H
        rh = line // BLOCK_O % PHASES_H
        live = live & ((rd < SD) & (rh < SH))[:, None]
        live = live & ((jd * SD)[None, :] + rd[:, None] < OD) & ((jh * SH)[None, :] + rh[:, None] < OH)
    else:
        live = live & ((jd * SD + rd < OD) & (jh * SH + rh < OH))[None, :]
    if HAS_BIAS:
        out += tl.load(b_ptr + g * OCG + oc0 + o, mask=o + oc0 < OCG, other=0.0).to(tl.float32)[:, None]
    y_base = y_ptr + (plane // GROUPS * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    at = channel * (OD * OH * OW) + (rd * OH + rh) * OW
    tl.store(y_base + at[:, None] + ((jd * SD * OH + jh * SH) * OW + ow)[None, :], out, mask=live)


@lru_cache(maxsize=64)
def product_launch(x_shape, y_shape, layer, kind, has_bias):
    """(sizes of the operands, grid, arguments, compile-time values) of the product: columns x row tiles."""
    v = windows(x_shape, y_shape, layer, kind, JOIN)
    S, D, J, Q = v["S"], v["D"], v["J"], v["Q"]
    tiles = triton.cdiv(((J[0] - 1) * Q[1] + J[1] - 1) * Q[2] + J[2], v["columns"])
    cols = v["OCP"] // v["channels_out"] * (1 if v["layout"]["ALL"] else S[0] * S[1])
    sizes = (v["planes"] * tiles, cols, tiles, *v["low"], v["first"], math.prod(Q), v["OC"], v["OCG"],
             v["OCP"], *v["O"], *Q[1:], v["groups"], *v["K"][:2], *S, *v["P"], *D[:2], S[0] // math.gcd(S[0], D[0]),
             S[1] // math.gcd(S[1], D[1]))
    return v, (v["planes"] * tiles * cols,), sizes, product_flags(v, has_bias)


def launch(x, w, bias, y, m):
    """Both operands packed in one launch, multiplied in the other."""
    call = call_of(x, w, bias, y, m)
    v, grid, sizes, flags = product_launch(*call[0])
    xp, wp, exponents = packed_operands(x, w, v, call)
    tensors = *operands(xp, wp, v), w if bias is None else bias, y, exponents
    launched(phase_window, call, grid, tensors, sizes, flags)
'''


CARD = built_in_card("phase_window")
FAMILY = Family(
    name="phase_window",
    rank=4,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=(*KNOBS, "JOIN", "LEFT", "PROMOTE", "LOADS"),
    kernels=window_text.WINDOWS + MAIN,
    fragments=("ROUND_TF32", "LOW_PART", "FIRST_TAP", "LAUNCH"),
    imports=window_text.IMPORTS,
    misfit=lambda situation: "",
    start=start_window,
    cost=window_cost,
    splits_phases=True,
    extents=window_extents,
    choices=CHOICES,
    reached=0.9,  # H200, ms: 73 0.495, 61 1.36, 68 4.48, 72 0.125
)
