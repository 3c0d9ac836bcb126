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
from agent.proposers.playbook.windows import CHOICES, start_window, window_cost

MAIN = '''
@triton.jit
def window_product(x_base, w_base, rd, rh, LOW_X, LOW_W, OCP, QH, QW, KD: tl.constexpr, KH: tl.constexpr,
                   SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, DD: tl.constexpr,
                   DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, A_D: tl.constexpr, A_H: tl.constexpr,
                   A_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr, ALL: tl.constexpr,
                   ROWS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, SPLIT: tl.constexpr,
                   PRECISION: tl.constexpr, PROMOTE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr,
                   BLOCK_K: tl.constexpr):
    """Rows (phase, out channel) x columns (positions). SPLIT: high * high in sums of PROMOTE steps, as the tensor
    core's own sums lose bits, and apart from them the products with the low parts."""
    c = tl.arange(0, BLOCK_K)
    m = tl.arange(0, ROWS * BLOCK_O)
    w_at = ((m // BLOCK_O * OCP + m % BLOCK_O) * WIDTH)[:, None] + c[None, :]
    x_at = (tl.arange(0, BLOCK_M) * CHANNELS)[:, None] + c[None, :]
    CHUNKS: tl.constexpr = WIDTH // BLOCK_K
    count = step_count(rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, STEPS, ALL) * CHUNKS
    acc = tl.zeros((ROWS * BLOCK_O, BLOCK_M), tl.float32)
    low = tl.zeros((ROWS * BLOCK_O, BLOCK_M), tl.float32)
    if SPLIT:
        for i0 in range(0, count, PROMOTE):
            part = tl.zeros((ROWS * BLOCK_O, BLOCK_M), tl.float32)
            for i in range(i0, tl.minimum(i0 + PROMOTE, count)):
                step, a_d, a_h = step_at(i // CHUNKS, rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, A_D,
                                         A_H, STEPS_H, ALL)
                x_tap = x_base + tl.cast((a_d * QH + a_h) * QW + A_W, tl.int64) * CHANNELS + i % CHUNKS * BLOCK_K
                w_tap = w_base + tl.cast(step, tl.int64) * ROWS * OCP * WIDTH + i % CHUNKS * BLOCK_K
                xv, wv = tl.load(x_tap + x_at), tl.load(w_tap + w_at)
                part = tl.dot(wv, xv.T, part)
                low = tl.dot(wv, tl.load(x_tap + LOW_X + x_at).T, low)
                low = tl.dot(tl.load(w_tap + LOW_W + w_at), xv.T, low)
            acc += part
        return acc + low
    else:
        for i in range(count):
            step, a_d, a_h = step_at(i // CHUNKS, rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, A_D, A_H,
                                     STEPS_H, ALL)
            x_tap = x_base + tl.cast((a_d * QH + a_h) * QW + A_W, tl.int64) * CHANNELS + i % CHUNKS * BLOCK_K
            w_tap = w_base + tl.cast(step, tl.int64) * ROWS * OCP * WIDTH + i % CHUNKS * BLOCK_K
            acc = tl.dot(tl.load(w_tap + w_at), tl.load(x_tap + x_at).T, acc, input_precision=PRECISION)
        return acc


@triton.jit
def phase_window(xp_ptr, w_ptr, b_ptr, y_ptr, bits_ptr, e_ptr, COLUMNS, COLS, TILES, LOW_X, LOW_W, FIRST, SPAN, OC, OCG,
                 OCP, OD, OH, OW, QH, QW, GROUPS: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr,
                 SH: tl.constexpr, SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr,
                 DD: tl.constexpr, DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, A_D: tl.constexpr,
                 A_H: tl.constexpr, A_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr,
                 PHASES_D: tl.constexpr, PHASES_H: tl.constexpr, PHASES_W: tl.constexpr, G: tl.constexpr,
                 LANES: tl.constexpr, ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
                 HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, SCALE: tl.constexpr, SPLIT: tl.constexpr,
                 PRECISION: tl.constexpr, PROMOTE: tl.constexpr, GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr,
                 BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile: BLOCK_O output channels, BLOCK_M positions of a plane, all phases along the width (ALL: all phases)."""
    column, col = place(COLUMNS, COLS, GROUP_M)
    plane = column // TILES
    g = plane % GROUPS
    f0 = column % TILES * BLOCK_M
    oc0 = col % (OCP // BLOCK_O) * BLOCK_O
    rd = col // (OCP // BLOCK_O) // SH  # 0 with ALL
    rh = col // (OCP // BLOCK_O) % SH
    ROWS: tl.constexpr = PHASES_D * PHASES_H * PHASES_W
    x_base = xp_ptr + (FIRST + plane.to(tl.int64) * SPAN + f0) * CHANNELS
    w_base = w_ptr + (g.to(tl.int64) * STEPS * ROWS * OCP + oc0) * WIDTH
    acc = window_product(x_base, w_base, rd, rh, LOW_X, LOW_W, OCP, QH, QW, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D,
                         STEP_H, A_D, A_H, A_W, STEPS, STEPS_H, ALL, ROWS, CHANNELS, WIDTH, SPLIT, PRECISION, PROMOTE,
                         BLOCK_M, BLOCK_O, BLOCK_K)
    if SCALE:
        m = tl.arange(0, ROWS * BLOCK_O)
        w_exponent = tl.load(e_ptr + g * OCP + oc0 + m % BLOCK_O)
        acc = acc * power_of_two(-scale_exponent(tl.load(bits_ptr + plane), True)) * power_of_two(-w_exponent)[:, None]
    LINES: tl.constexpr = PHASES_D * PHASES_H * BLOCK_O  # rows of the tile to store: (depth and height phase, channel)
    out = acc.reshape(PHASES_D * PHASES_H, PHASES_W, BLOCK_O, BLOCK_M).permute(0, 2, 3, 1)
    out = out.reshape(LINES, BLOCK_M * PHASES_W)
    q = tl.arange(0, BLOCK_M * PHASES_W)
    if G > 1:  # every G-th output has taps; the others in between are zeros
        lane = tl.arange(0, LANES)
        out = tl.where((lane == (G - PW % G) % G)[None, None, :], out[:, :, None], 0.0)
        out = out.reshape(LINES, BLOCK_M * PHASES_W * LANES)
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
    row = channel * (OD * OH * OW) + (rd * OH + rh) * OW
    tl.store(y_base + row[:, None] + ((jd * SD * OH + jh * SH) * OW + ow)[None, :], out, mask=live)


def launch(x, w, bias, y, m):
    """Weights packed, input packed (again where its range asks for it), then one launch over columns x row tiles."""
    half, split = PRECISION == "half" and x.dtype == torch.float32, PRECISION == "split" and x.dtype == torch.float32
    dtype = torch.float16 if half or split else x.dtype
    v = windows(x, y, m, dtype.itemsize, BLOCK_M)
    I, O, K, S, P, D, A, B, J, Q = (v[name] for name in "IOKSPDABJQ")
    G, reached_w = lattice(S[2], P[2], D[2])
    phases = [power_up(S[0]), power_up(S[1]), power_up(reached_w)]
    ALL = JOIN == "all" and math.prod(phases) <= BLOCK_N and max(math.gcd(s, d) for s, d in zip(S, D)) == 1
    if not ALL:
        phases[:2] = 1, 1
    rows = math.prod(phases)
    channels_out = max(1, BLOCK_N // rows)
    columns = max(16, min(BLOCK_M, BLOCK_M * BLOCK_N // (rows * channels_out)))
    steps_h = B[1] - A[1] + 1 if ALL else K[1]
    steps = (B[0] - A[0] + 1) * steps_h if ALL else K[0] * K[1]
    OCG, copies = m.out_channels // m.groups, 2 if split else 1
    OCP = triton.cdiv(OCG, channels_out) * channels_out
    wp = torch.empty((copies, m.groups * steps * rows * OCP, v["width"]), device=x.device, dtype=dtype)
    xp = torch.empty((copies, v["rows"], v["channels"]), device=x.device, dtype=dtype)
    bits = torch.empty(v["planes"], device=x.device, dtype=torch.int32)
    exponents = torch.empty(m.groups * OCP, device=x.device, dtype=torch.int32)
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    layout = dict(A_D=A[0], A_H=A[1], A_W=A[2], STEPS=steps, STEPS_H=steps_h, PHASES_D=phases[0], PHASES_H=phases[1],
                  PHASES_W=phases[2], G=G, ALL=ALL, CHANNELS=v["channels"], WIDTH=v["width"])
    pack_weights[(m.groups * OCP,)](
        w, wp, exponents, bits, wp.stride(0), v["planes"], v["ICG"], OCG, OCP, *K, *S, *P, *D, **layout,
        ROUND=rounded, SCALE=half or split, SPLIT=split, BLOCK=1024, num_warps=4)
    packed_input(x, xp if split else xp[0], bits, v, v["channels"], rounded)
    tiles = triton.cdiv(((J[0] - 1) * Q[1] + J[1] - 1) * Q[2] + J[2], columns)
    cols = OCP // channels_out * (1 if ALL else S[0] * S[1])
    phase_window[(v["planes"] * tiles * cols,)](
        xp, wp, w if bias is None else bias, y, bits, exponents, v["planes"] * tiles, cols, tiles, xp.stride(0),
        wp.stride(0), v["first"], math.prod(Q), m.out_channels, OCG, OCP, *O, *Q[1:], m.groups, *K[:2], *S, *P, *D[:2],
        S[0] // math.gcd(S[0], D[0]), S[1] // math.gcd(S[1], D[1]), **layout, LANES=power_up(G),
        HAS_BIAS=bias is not None, WIDE=channels_out * math.prod(O) >= 2**31, SCALE=half or split, SPLIT=split,
        PRECISION=PRECISION if PRECISION in ("ieee", "tf32x3") else "tf32", PROMOTE=PROMOTE, GROUP_M=GROUP_M,
        BLOCK_M=columns, BLOCK_O=channels_out, BLOCK_K=BLOCK_K, num_warps=NUM_WARPS, num_stages=NUM_STAGES)
'''


FAMILY = Family(
    name="phase_window",
    rank=4,
    idea="the phases of the width as rows and windows of pixels as the reduction of one product, stored in whole lines",
    pays_when="a stride above 1",
    knobs=(*KNOBS, "JOIN", "PROMOTE"),
    kernels=window_text.SCALES + window_text.PACK_INPUT + window_text.PACK_WEIGHTS + window_text.PRODUCT
    + window_text.GEOMETRY + MAIN,
    fragments=("ROUND_TF32", "FIRST_TAP"),
    misfit=lambda situation: "",
    start=start_window,
    cost=window_cost,
    splits_phases=True,
    choices=CHOICES,
)
