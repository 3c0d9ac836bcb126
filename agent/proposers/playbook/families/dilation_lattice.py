"""Dilation lattice: where stride and dilation share a factor, taps reach only every G-th output; the others are filled.

Data flow: as the phase windows, but for phases with taps only. A program that computes rows of outputs also fills the
rows without taps beside them; planes without taps are filled by other programs, 16 bytes a store, spread evenly among
the computing ones, so that stores and products overlap:

    y along depth      plane o: no tap    plane o+1: taps                       grid   V F V F V F ..
                       0 0 0 0 0 0        0 0 0 0 0 0   row without tap         V  computes rows, fills rows beside
                       0 0 0 0 0 0        0 v 0 v 0 v   row with taps           F  fills planes
Loses where no phase is without taps: it is the phase windows then.
Limits: a fill is zeros or, with a bias, the bias; planes are filled whole, at any start.
"""

from agent.proposers.playbook import window_text
from agent.proposers.playbook.family import Family, Situation
from agent.proposers.playbook.tiling import KNOBS
from agent.proposers.playbook.window_choices import CHOICES
from agent.proposers.playbook.windows import has_dead_phases, start_window, window_cost, window_extents
from prompts.cards import built_in_card

MAIN = '''
@triton.jit
def fill_planes(y_ptr, b_ptr, z, TOTAL, OC, OD, PLANE, DEAD, ALIVE: tl.constexpr, G: tl.constexpr,
                HAS_BIAS: tl.constexpr, BLOCK: tl.constexpr):
    """Four planes of outputs that no tap reaches, counted over batch items, channels and depth."""
    lane = tl.arange(0, BLOCK)
    edge = tl.arange(0, 4)
    for plane in tl.static_range(4):
        i = z * 4 + plane
        k = i % DEAD
        od = k // (G - 1) * G + k % (G - 1)
        od += tl.where(k % (G - 1) >= ALIVE, 1, 0)
        if (i < TOTAL) & (od < OD):
            value = 0.0
            if HAS_BIAS:
                value = tl.load(b_ptr + i // DEAD % OC).to(tl.float32)
            begin = (tl.cast(i // DEAD, tl.int64) * OD + od) * PLANE
            end = begin + PLANE
            first = (begin + 3) // 4 * 4
            last = end // 4 * 4
            filled = tl.full((BLOCK,), value, tl.float32)
            for at in range(first, last, BLOCK):
                tl.store(y_ptr + tl.multiple_of(at, 4) + lane, filled, mask=tl.multiple_of(at, 4) + lane < last)
            corner = tl.full((4,), value, tl.float32)
            tl.store(y_ptr + begin + edge, corner, mask=begin + edge < tl.minimum(first, end))
            tail = tl.maximum(last, first)
            tl.store(y_ptr + tail + edge, corner, mask=tail + edge < end)


@triton.jit
def fill_rows(y_base, b_ptr, f0, od0, oh0, COUNT, OD, OH, OW, QH, QW, SD: tl.constexpr, SH: tl.constexpr,
              SW: tl.constexpr, LANES_W: tl.constexpr, HAS_BIAS: tl.constexpr, BLOCK_M: tl.constexpr,
              BLOCK_O: tl.constexpr):
    """One row without taps beside each of BLOCK_M positions, SW of LANES_W outputs a position; a few channels at a
    time, which takes few registers."""
    q = tl.arange(0, BLOCK_M * LANES_W)
    f = f0 + q // LANES_W
    od = f // QW // QH * SD + od0
    oh = f // QW % QH * SH + oh0
    ow = f % QW * SW + q % LANES_W
    live = (q % LANES_W < SW) & (od < OD) & (oh < OH) & (ow < OW)
    STEP: tl.constexpr = min(8, BLOCK_O)
    for c0 in tl.static_range(0, BLOCK_O, STEP):
        c = c0 + tl.arange(0, STEP)
        value = tl.zeros((STEP, 1), tl.float32)
        if HAS_BIAS:
            value += tl.load(b_ptr + c, mask=c < COUNT, other=0.0).to(tl.float32)[:, None]
        at = y_base + c.to(tl.int64)[:, None] * (OD * OH * OW) + ((od * OH + oh) * OW + ow)[None, :]
        tl.store(at, tl.broadcast_to(value, STEP, BLOCK_M * LANES_W), mask=(c < COUNT)[:, None] & live[None, :])


@triton.jit
def values_before(pid, RATIO):
    """Programs before this one that compute values."""
    return (tl.cast(pid, tl.int64) * RATIO >> 31).to(tl.int32)


@triton.jit(do_not_specialize=["TILES"])
def dilation_lattice(x, w, b_ptr, y_ptr, e_ptr, RATIO, FILLS, DEAD, COLUMNS, COLS, TILES, LOW_X, LOW_W: tl.constexpr,
                     FIRST: tl.constexpr, SPAN: tl.constexpr, OC: tl.constexpr, OCG: tl.constexpr, OCP: tl.constexpr,
                     OD: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, QH: tl.constexpr, QW: tl.constexpr,
                     GROUPS: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr,
                     SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr,
                     DH: tl.constexpr, GD: tl.constexpr, GH: tl.constexpr, A_D: tl.constexpr, A_H: tl.constexpr,
                     A_W: tl.constexpr, STEP_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr,
                     PHASES_D: tl.constexpr, PHASES_H: tl.constexpr, PHASES_W: tl.constexpr, G: tl.constexpr,
                     LANES: tl.constexpr, ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
                     DESCRIBED: tl.constexpr, HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, SCALE: tl.constexpr,
                     SPLIT: tl.constexpr, PRECISION: tl.constexpr, PROMOTE: tl.constexpr, SWAP: tl.constexpr,
                     GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr):
    """Values and fills take turns evenly: RATIO / 2**31 of the programs compute a tile of outputs with taps, the others
    fill planes without."""
    pid = tl.program_id(0)
    ALIVE_D: tl.constexpr = (GD - PD % GD) % GD
    ALIVE_H: tl.constexpr = (GH - PH % GH) % GH
    before = values_before(pid, RATIO)
    if values_before(pid + 1, RATIO) > before:
        column, col = place_of(before, COLUMNS, COLS, GROUP_M)
        plane = column // TILES
        g = plane % GROUPS
        f0 = column % TILES * BLOCK_M
        oc0 = col % (OCP // BLOCK_O) * BLOCK_O
        rd = col // (OCP // BLOCK_O) // (SH // GH) * GD + ALIVE_D
        rh0 = col // (OCP // BLOCK_O) % (SH // GH) * GH
        y_base = y_ptr + (plane // GROUPS * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
        row = FIRST + (plane if DESCRIBED else plane.to(tl.int64)) * SPAN + f0
        acc = window_product(x, w, row, g, oc0, rd, rh0 + ALIVE_H, LOW_X, LOW_W, OCP, QH, QW, KD, KH, SD, SH, PD, PH,
                             DD, DH, SD // GD, SH // GH, A_D, A_H, A_W, STEP_W, STEPS, STEPS_H, False, PHASES_W,
                             CHANNELS, WIDTH, DESCRIBED, SPLIT, PRECISION, PROMOTE, SWAP, BLOCK_M, BLOCK_O, BLOCK_K)
        if SCALE:
            acc = unscaled(acc, e_ptr + GROUPS * OCP + plane, e_ptr + g * OCP + oc0, PHASES_W, BLOCK_O)
        out = interleaved(acc, 1, PHASES_W, (G - PW % G) % G, LANES, BLOCK_M, BLOCK_O)
        o = tl.arange(0, BLOCK_O)
        q = tl.arange(0, BLOCK_M * PHASES_W * LANES)
        f = f0 + q // (PHASES_W * LANES)
        rw = q // LANES % PHASES_W * G + q % LANES
        od = f // QW // QH * SD + rd
        oh = f // QW % QH * SH + rh0 + ALIVE_H
        ow = f % QW * SW + rw
        inside = (q % LANES < G) & (rw < SW) & (ow < OW) & (od < OD) & (oh < OH)
        channel = o if not WIDE else o.to(tl.int64)
        if HAS_BIAS:
            out += tl.load(b_ptr + g * OCG + oc0 + o, mask=o + oc0 < OCG, other=0.0).to(tl.float32)[:, None]
        at = channel[:, None] * (OD * OH * OW) + ((od * OH + oh) * OW + ow)[None, :]
        tl.store(y_base + at, out, mask=(o + oc0 < OCG)[:, None] & inside[None, :])
        for e in tl.static_range(GH):
            if e != ALIVE_H:
                fill_rows(y_base, b_ptr + g * OCG + oc0, f0, rd, rh0 + e, tl.minimum(BLOCK_O, OCG - oc0), OD, OH,
                          OW, QH, QW, SD, SH, SW, PHASES_W * LANES, HAS_BIAS, BLOCK_M, BLOCK_O)
    else:
        if GD > 1:
            fill_planes(y_ptr, b_ptr, pid - before, FILLS, OC, OD, OH * OW, DEAD, ALIVE_D, GD, HAS_BIAS, 1024)


@lru_cache(maxsize=64)
def product_launch(x_shape, y_shape, layer, kind, has_bias):
    """(sizes of the operands, grid, arguments, compile-time values) of the launch that computes and fills."""
    v = windows(x_shape, y_shape, layer, kind, "width")
    O, K, S, P, D, Q = (v[name] for name in "OKSPDQ")
    GD, GH, _ = map(math.gcd, S, D)
    alive = (GD - P[0] % GD) % GD  # the first depth phase with a tap
    depth = max(triton.cdiv(O[0] - r, S[0]) for r in range(alive, S[0], GD))
    tiles = max(0, triton.cdiv(((depth - 1) * Q[1] + v["J"][1] - 1) * Q[2] + v["J"][2], v["columns"]))
    cols = v["OCP"] // v["channels_out"] * (S[0] // GD) * (S[1] // GH)
    values = v["planes"] * tiles * cols
    dead = triton.cdiv(O[0], GD) * (GD - 1)
    fills = x_shape[0] * v["OC"] * dead
    total = values + triton.cdiv(fills, 4)
    sizes = (-(-(values << 31) // total), fills, max(1, dead), v["planes"] * tiles, cols, max(1, tiles),
             *v["low"], v["first"], math.prod(Q), v["OC"], v["OCG"], v["OCP"], *O, *Q[1:], v["groups"],
             *K[:2], *S, *P, *D[:2], GD, GH)
    return v, (total,), sizes, product_flags(v, has_bias)


def launch(x, w, bias, y, m):
    """Both operands packed in one launch, multiplied in the other."""
    call = call_of(x, w, bias, y, m)
    v, grid, sizes, flags = product_launch(*call[0])
    xp, wp, exponents = packed_operands(x, w, v, call)
    tensors = *operands(xp, wp, v), w if bias is None else bias, y, exponents
    launched(dilation_lattice, call, grid, tensors, sizes, flags)
'''


def _misfit(situation: Situation) -> str:
    return "" if has_dead_phases(situation.shape) else "every phase has a tap: stride and dilation share no factor"


CARD = built_in_card("dilation_lattice")
FAMILY = Family(
    name="dilation_lattice",
    rank=5,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=(*KNOBS, "JOIN", "LEFT", "PROMOTE", "LOADS"),
    kernels=window_text.WINDOWS + MAIN,
    fragments=("ROUND_TF32", "LOW_PART", "FIRST_TAP", "LAUNCH"),
    imports=window_text.IMPORTS,
    misfit=_misfit,
    start=lambda situation: start_window(situation, "dilation_lattice"),
    cost=window_cost,
    splits_phases=True,
    extents=window_extents,
    choices=CHOICES,
    reached=1.05,  # 77 on an H200: 0.268 ms
)
