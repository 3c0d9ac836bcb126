"""Packed GEMM: x repacked once per call to channels-last rows with shared zero pads; a tap is one constant row offset.

Data flow: pack_input writes rows of channels (rounded to TF32, or scaled by a power of two and rounded to fp16); the
main kernel walks taps x channels with 16-byte loads, no masks and no index arithmetic. A program works on one phase of
the stride, or on both phases along the width, whose outputs lie side by side; pixels outside are dropped at the store.
68 on an H100: 10.9 ms in TF32, 8.9 ms in scaled fp16, cuDNN 37.1 ms, all at the same error.
Loses where the kernel is memory-bound: x is read, written and read once more.
Limits: no reuse of a tile across taps.
"""

import math

from agent.proposers.playbook.configuration import Configuration, Knob
from agent.proposers.playbook.family import Choice, Cost, Family, Situation
from agent.proposers.playbook.tiling import KNOBS, Gemm, gemm_cost, start_tile

KERNELS = '''
@triton.jit
def pack_rows(x_ptr, xp_ptr, block, factor, FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
              CHANNELS: tl.constexpr, ROUND: tl.constexpr, SCALE: tl.constexpr, BLOCK_R: tl.constexpr):
    """Rows of channels from [batch, channel, position]: row FIRST + n * SPAN + (d * QH + h) * QW + w, zero where x
    ends.

    Returns the largest finite magnitude seen."""
    r = tl.cast(block, tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    n = (r - FIRST) // SPAN
    f = ((r - FIRST) % SPAN).to(tl.int32)
    w = f % QW
    h = f // QW % QH
    d = f // QW // QH
    inside = (r >= FIRST) & (r < LAST) & (d < ID) & (h < IH) & (w < IW)
    plane = ID * IH * IW
    c = tl.arange(0, 16)
    top = tl.zeros((16, BLOCK_R), tl.float32)
    for c0 in range(0, GROUPS * CHANNELS, 16):
        g = c0 // CHANNELS
        ic = c0 % CHANNELS + c
        at = x_ptr + (n * GROUPS + g) * ICG * plane + (d * IH + h) * IW + w
        live = inside[None, :] & (ic < ICG)[:, None]
        v = tl.load(at[None, :] + ic.to(tl.int64)[:, None] * plane, mask=live, other=0.0)
        if ROUND:
            v = round_tf32(v)
        if SCALE:
            size = tl.abs(v)
            top = tl.maximum(top, tl.where(size < float("inf"), size, 0.0))
            v = v * factor
        tl.store(xp_ptr + r[:, None] * (GROUPS * CHANNELS) + c0 + c[None, :], tl.trans(v))
    return tl.max(tl.max(top, axis=1), axis=0)


@triton.jit
def pack_input(x_ptr, xp_ptr, bits_ptr, FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
               CHANNELS: tl.constexpr, ROUND: tl.constexpr, SCALE: tl.constexpr, GUESS: tl.constexpr,
               BLOCK_R: tl.constexpr):
    """The packed input. GUESS: scale by 2**8 and find the true range on the way; repack_input mends a wrong guess."""
    factor = 256.0
    if SCALE and not GUESS:
        factor = power_of_two(half_exponent(bits_ptr))
    top = pack_rows(x_ptr, xp_ptr, tl.program_id(0), factor, FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
                    CHANNELS, ROUND, SCALE, BLOCK_R)
    if GUESS:
        tl.atomic_max(bits_ptr, top.to(tl.int32, bitcast=True))


@triton.jit
def repack_input(x_ptr, xp_ptr, bits_ptr, BLOCKS, PROGRAMS, FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
                 CHANNELS: tl.constexpr, BLOCK_R: tl.constexpr):
    """Nothing where the guessed scale fits the range that was found; otherwise the input is packed again."""
    exponent = half_exponent(bits_ptr)
    if exponent != 8:
        for block in range(tl.program_id(0), BLOCKS, PROGRAMS):
            pack_rows(x_ptr, xp_ptr, block, power_of_two(exponent), FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
                      CHANNELS, False, True, BLOCK_R)


@triton.jit
def phase_product(x_base, w_base, rd, rh, rw, OCP, QH, QW, ROW: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr,
                  KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, DD: tl.constexpr,
                  DH: tl.constexpr, DW: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, STEP_W: tl.constexpr,
                  CHANNELS: tl.constexpr, PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                  BLOCK_K: tl.constexpr):
    """The sum over the taps of one phase; a tap is a constant offset in rows of the packed input."""
    first_d = first_tap(rd, KD, SD, DD)
    first_h = first_tap(rh, KH, SH, DH)
    first_w = first_tap(rw, KW, SW, DW)
    taps_h = (KH - first_h + STEP_H - 1) // STEP_H
    taps_w = (KW - first_w + STEP_W - 1) // STEP_W
    taps = (KD - first_d + STEP_D - 1) // STEP_D * taps_h * taps_w
    m = tl.arange(0, BLOCK_M)
    c = tl.arange(0, BLOCK_K)
    o = tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for i in range(taps * (CHANNELS // BLOCK_K)):
        j = i // (CHANNELS // BLOCK_K)
        c0 = i % (CHANNELS // BLOCK_K) * BLOCK_K
        kd = first_d + j // (taps_h * taps_w) * STEP_D
        kh = first_h + j // taps_w % taps_h * STEP_H
        kw = first_w + j % taps_w * STEP_W
        shift = (kd * DD // SD * QH + kh * DH // SH) * QW + kw * DW // SW
        tap = (kd * KH + kh) * KW + kw
        x_tap = x_base - shift.to(tl.int64) * ROW + c0
        xv = tl.load(x_tap + m[:, None] * ROW + c[None, :])
        wv = tl.load(w_base + tap * OCP * CHANNELS + c0 + o[:, None] * CHANNELS + c[None, :])
        acc = tl.dot(wv, xv.T, acc, input_precision=PRECISION)
    return acc


@triton.jit
def packed_gemm(xp_ptr, w_ptr, b_ptr, y_ptr, x_bits_ptr, w_bits_ptr, ROWS, COLS, TILES, FIRST, SPAN, OC, OCG, OCP,
                OD, OH, OW, QH, QW, GROUPS: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
                SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr,
                PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr, STEP_D: tl.constexpr,
                STEP_H: tl.constexpr, STEP_W: tl.constexpr, CHANNELS: tl.constexpr, HAS_BIAS: tl.constexpr,
                WIDE: tl.constexpr, SCALE: tl.constexpr, JOINED: tl.constexpr, PRECISION: tl.constexpr,
                GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile of output channels x flat positions of one phase, or JOINED of the two phases along the width."""
    row, col = place(ROWS, COLS, GROUP_M)
    PW_COUNT: tl.constexpr = 1 if JOINED else SW  # phases along the width that are programs of their own
    n = row // TILES
    f0 = row % TILES * BLOCK_M
    oc0 = col % (OCP // BLOCK_N) * BLOCK_N
    phase = col // (OCP // BLOCK_N) % (SD * SH * PW_COUNT)
    g = col // (OCP // BLOCK_N) // (SD * SH * PW_COUNT)
    rd = phase // (SH * PW_COUNT)
    rh = phase // PW_COUNT % SH
    rw = phase % PW_COUNT
    x_base = xp_ptr + (FIRST + n.to(tl.int64) * SPAN + f0) * (GROUPS * CHANNELS) + g * CHANNELS
    w_base = w_ptr + (g.to(tl.int64) * (KD * KH * KW) * OCP + oc0) * CHANNELS
    acc = phase_product(x_base, w_base, rd, rh, rw, OCP, QH, QW, GROUPS * CHANNELS, KD, KH, KW, SD, SH, SW, DD, DH, DW,
                        STEP_D, STEP_H, STEP_W, CHANNELS, PRECISION, BLOCK_M, BLOCK_N, BLOCK_K)
    f = f0 + tl.arange(0, BLOCK_M)
    if JOINED:  # both phases of a position are neighbours in the output row: whole lines are stored
        other = phase_product(x_base, w_base, rd, rh, rw + 1, OCP, QH, QW, GROUPS * CHANNELS, KD, KH, KW, SD, SH, SW,
                              DD, DH, DW, STEP_D, STEP_H, STEP_W, CHANNELS, PRECISION, BLOCK_M, BLOCK_N, BLOCK_K)
        acc = tl.interleave(acc, other)
        f = f0 + tl.arange(0, 2 * BLOCK_M) // 2
        rw = tl.arange(0, 2 * BLOCK_M) % 2
    if SCALE:
        acc = acc * power_of_two(-half_exponent(x_bits_ptr)) * power_of_two(-half_exponent(w_bits_ptr))
    o = tl.arange(0, BLOCK_N)
    live = o + oc0 < OCG
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc0 + o, mask=live, other=0.0).to(tl.float32)[:, None]
    od = f // QW // QH * SD + rd - PD
    oh = f // QW % QH * SH + rh - PH
    ow = f % QW * SW + rw - PW
    inside = (f < SPAN) & (od >= 0) & (od < OD) & (oh >= 0) & (oh < OH) & (ow >= 0) & (ow < OW)
    y_base = y_ptr + (n * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + ((od * OH + oh) * OW + ow)[None, :], acc,
             mask=live[:, None] & inside[None, :])


def packed_input(x, groups, I, Q, reach, CHANNELS, rounded, half):
    """(rows of channels, row of position 0, bits of the largest magnitude), by one pass over x or two."""
    ICG, span = x.shape[1] // groups, math.prod(Q)
    first = triton.cdiv((reach[0] * Q[1] + reach[1]) * Q[2] + reach[2], 16) * 16
    last = first + x.shape[0] * span
    blocks = triton.cdiv(last + BLOCK_M, 64)
    dtype = torch.float16 if half else x.dtype
    xp = torch.empty((blocks * 64, groups * CHANNELS), device=x.device, dtype=dtype)
    guess = half and SCALING == "one_pass"
    bits = magnitude_bits(x) if half and not guess else torch.zeros(1, device=x.device, dtype=torch.int32)
    sizes = (first, last, span, ICG, groups, *I, *Q[1:])
    pack_input[(blocks,)](
        x, xp, bits, *sizes, CHANNELS=CHANNELS, ROUND=rounded, SCALE=half, GUESS=guess, BLOCK_R=64, num_warps=4)
    if guess:
        programs = min(blocks, 512)
        repack_input[(programs,)](x, xp, bits, blocks, programs, *sizes, CHANNELS=CHANNELS, BLOCK_R=64, num_warps=4)
    return xp, first, bits


def launch(x, w, bias, y, m):
    """Input and weights repacked, then one launch over flat position tiles x (channel tiles, phases)."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    CHANNELS, OCP = triton.cdiv(ICG, BLOCK_K) * BLOCK_K, triton.cdiv(OCG, BLOCK_N) * BLOCK_N
    half = PRECISION == "half" and x.dtype == torch.float32
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    reach = [d * (k - 1) // s for d, k, s in zip(D, K, S)]  # rows the farthest tap looks back
    Q = [max(i + e, triton.cdiv(p + o, s)) for i, e, p, o, s in zip(I, reach, P, O, S)]
    w_bits = magnitude_bits(w) if half else None
    wp = packed_weights(w, m.groups, OCP, CHANNELS, rounded, w_bits)
    xp, first, x_bits = packed_input(x, m.groups, I, Q, reach, CHANNELS, rounded, half)
    tiles = triton.cdiv(math.prod(Q), BLOCK_M)
    joined = JOIN == "width" and S[2] == 2
    rows, cols = x.shape[0] * tiles, m.groups * math.prod(S) // (2 if joined else 1) * (OCP // BLOCK_N)
    packed_gemm[(rows * cols,)](
        xp, wp, w if bias is None else bias, y, x_bits, w_bits if half else x_bits, rows, cols, tiles, first,
        math.prod(Q), m.out_channels, OCG, OCP, *O, *Q[1:], m.groups, *K, *S, *P, *D,
        *[s // math.gcd(s, d) for s, d in zip(S, D)],
        CHANNELS=CHANNELS, HAS_BIAS=bias is not None, WIDE=BLOCK_N * math.prod(O) >= 2**31, SCALE=half, JOINED=joined,
        PRECISION="tf32" if PRECISION == "half" else PRECISION, GROUP_M=GROUP_M, BLOCK_M=BLOCK_M,
        BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, num_warps=NUM_WARPS, num_stages=NUM_STAGES)
'''


def _item_bytes(precision: str, situation: Situation) -> int:
    return 2 if precision == "half" else situation.shape.item_bytes


def _start(situation: Situation) -> Configuration:
    precision = "half" if situation.scaled_half_pays else situation.precision
    pixels = math.prod(situation.shape.padded)
    tile = start_tile(situation, pixels=pixels, item_bytes=_item_bytes(precision, situation))
    own: dict[str, Knob] = {"PRECISION": precision, "SCALING": "two_pass", "JOIN": "none"}
    return Configuration("packed_gemm", tuple((tile | own).items()))


def _joined(configuration: Configuration) -> Configuration:
    """Both phases along the width in one program, in half the positions: as many accumulators as before."""
    return configuration.having(JOIN="width", BLOCK_M=max(32, configuration.number("BLOCK_M") // 2))


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """The main kernel's bound and, before it, the passes over x: find its range (scaled fp16 only), then repack it."""
    shape, precision = situation.shape, configuration.word("PRECISION")
    item_bytes = _item_bytes(precision, situation)
    gemm = Gemm(
        pixels=math.prod(shape.padded),
        phases=shape.phases,
        taps=shape.taps / shape.phases,
        overhead=70,
        per_element=0,
        item_bytes=item_bytes,
        stores_apart=shape.stride[2] if configuration.word("JOIN") == "none" else 1,
    )
    main = gemm_cost(configuration, situation, gemm)
    channels = math.ceil(shape.in_channels / configuration.number("BLOCK_K")) * configuration.number("BLOCK_K")
    packed_bytes = shape.batch * math.prod(shape.padded) * shape.groups * channels * item_bytes
    passes = 2 if precision == "half" and configuration.word("SCALING") == "two_pass" else 1
    return main.after(situation.memory_ms(passes * shape.read_bytes + packed_bytes))


FAMILY = Family(
    name="packed_gemm",
    rank=3,
    idea="x repacked to zero-padded channels-last rows, then a product whose loop has no masks and no index arithmetic",
    pays_when="taps x channels large enough to pay for one more pass over x",
    knobs=(*KNOBS, "SCALING", "JOIN"),
    kernels=KERNELS,
    fragments=("ROUND_TF32", "FIRST_TAP", "HALF_SCALE", "PACK_SCALED_WEIGHTS"),
    misfit=lambda situation: "",
    start=_start,
    cost=_cost,
    splits_phases=True,
    choices=(
        Choice(
            "memory",
            _joined,
            when=lambda configuration, situation: (
                situation.shape.stride[2] == 2 and configuration.word("JOIN") == "none"
            ),
            reason="both phases along the width in one program: they interleave to whole lines before the store",
        ),
        Choice(
            "memory",
            lambda configuration: configuration.having(SCALING="one_pass"),
            when=lambda configuration, situation: configuration.word("PRECISION") == "half",
            reason="guess the scale while packing and read x once; a range outside [2**-5, 2**7) packs twice",
        ),
        Choice(
            "algorithm",
            lambda configuration: configuration.having(PRECISION="half"),
            when=lambda configuration, situation: situation.scaled_half_pays,
            reason="operands scaled by a power of two and rounded to fp16: the mantissa of TF32, twice its rate",
        ),
    ),
    reached=0.22,  # 68, 61, 70 on an H100: 8.7, 4.2, 8.4 ms
)
