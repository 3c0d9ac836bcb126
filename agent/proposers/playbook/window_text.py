"""Triton text of the packed-window product: x as rows of channels, width phases as rows and windows as the reduction.

Shared by the families that read x through windows. Conventions as in kernel_text.py, and: an output is o = j * stride
+ r with phase r; tap k reaches it from the input j + a with shift a = (r + padding - k * dilation) / stride. A plane is
one group of one batch item; its rows lie d, h, w with zero rows between, so that a shift is one row offset.

    x [plane, channel, position]       rows of channels            one step of the product

    c0  . . . . . . .                  row j-1  [c0 c1 ..]         window of j = 2 rows: [x(j) c0 c1 .. x(j+1) c0 c1 ..]
    c1  . . . . . . .   pack_input     row j    [c0 c1 ..] |
    c2  . . . . . . .   --------->     row j+1  [c0 c1 ..] |       weights = rows (phase r, out channel), zero where r
    ..                                 zeros    [0  0  ..]                   has no tap at this pixel

Limits: text. A value of x that is not finite also reaches the other phases of its window, as NaN.
"""

SCALES = '''
@triton.jit
def power_of_two(e):
    return ((e + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def largest(v):
    """Bit pattern of the largest finite magnitude; patterns of positive floats compare like the floats."""
    size = tl.abs(v)
    return tl.max(tl.where(size < float("inf"), size, 0.0)).to(tl.int32, bitcast=True)


@triton.jit
def scale_exponent(bits, GUESS: tl.constexpr):
    """The exponent that brings a largest magnitude to 2**14; with GUESS 8 as long as it lies in [2**-5, 2**7)."""
    e = ((bits >> 23) & 255) - 127
    exact = tl.minimum(tl.maximum(14 - e, -120), 120)
    return tl.where((e >= -5) & (e <= 6), 8, exact) if GUESS else exact
'''

PACK_INPUT = '''
@triton.jit
def pack_block(x_ptr, xp_ptr, plane, block, factor, LOW, FIRST, SPAN, ICG, POSITIONS, IH, IW, QH, QW,
               CHANNELS: tl.constexpr, ROUND: tl.constexpr, SCALE: tl.constexpr, SPLIT: tl.constexpr,
               WIDE: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """BLOCK_R positions of one plane as rows of channels. Returns the bits of the largest magnitude."""
    s = block * BLOCK_R + tl.arange(0, BLOCK_R)
    row = (s // IW // IH * QH + s // IW % IH) * QW + s % IW
    if WIDE:
        row = row.to(tl.int64)
    x_base = x_ptr + tl.cast(plane, tl.int64) * ICG * POSITIONS
    xp_base = xp_ptr + (FIRST + tl.cast(plane, tl.int64) * SPAN) * CHANNELS
    top = 0
    for c0 in range(0, CHANNELS, BLOCK_C):
        c = c0 + tl.arange(0, BLOCK_C)
        if WIDE:
            c = c.to(tl.int64)
        live = (s < POSITIONS)[None, :] & (c < ICG)[:, None]
        v = tl.load(x_base + c[:, None] * POSITIONS + s[None, :], mask=live, other=0.0)
        if ROUND:
            v = round_tf32(v)
        if SCALE:
            top = tl.maximum(top, largest(v))
            v = v * factor
        high = v.to(xp_ptr.dtype.element_ty)
        at = xp_base + row[:, None] * CHANNELS + c[None, :]
        tl.store(at, tl.trans(high), mask=(s < POSITIONS)[:, None])
        if SPLIT:
            tl.store(at + LOW, tl.trans((v - high.to(tl.float32)).to(tl.float16)), mask=(s < POSITIONS)[:, None])
    return top


@triton.jit
def pack_input(x_ptr, xp_ptr, bits_ptr, PLANES, BLOCKS, LOW, FIRST, SPAN, LAST, ICG, POSITIONS, ID, IH, IW, QH, QW,
               CHANNELS: tl.constexpr, ROUND: tl.constexpr, SCALE: tl.constexpr, SPLIT: tl.constexpr,
               WIDE: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_Z: tl.constexpr):
    """Rows of channels by programs that read x, zero rows by the others. Scales by a guess of 2**8 and finds the true
    range of every plane on the way; repack_input mends a wrong guess."""
    pid = tl.program_id(0)
    if pid < PLANES * BLOCKS:
        top = pack_block(x_ptr, xp_ptr, pid // BLOCKS, pid % BLOCKS, 256.0, LOW, FIRST, SPAN, ICG, POSITIONS, IH, IW,
                         QH, QW, CHANNELS, ROUND, SCALE, SPLIT, WIDE, BLOCK_R, BLOCK_C)
        if SCALE:
            tl.atomic_max(bits_ptr + pid // BLOCKS, top, sem="relaxed")
    else:
        r0 = tl.cast(pid - PLANES * BLOCKS, tl.int64) * BLOCK_Z
        i = tl.arange(0, BLOCK_Z)
        f = (((r0 - FIRST) % SPAN).to(tl.int32) + i) % SPAN
        zero = (r0 + i < FIRST) | (r0 + i >= LAST) | (f % QW >= IW) | (f // QW % QH >= IH) | (f // QW // QH >= ID)
        c = tl.arange(0, BLOCK_C)
        nothing = tl.zeros((BLOCK_Z, BLOCK_C), xp_ptr.dtype.element_ty)
        for c0 in range(0, CHANNELS, BLOCK_C):
            at = xp_ptr + r0 * CHANNELS + c0 + i[:, None] * CHANNELS + c[None, :]
            tl.store(at, nothing, mask=zero[:, None])
            if SPLIT:
                tl.store(at + LOW, nothing, mask=zero[:, None])


@triton.jit
def repack_input(x_ptr, xp_ptr, bits_ptr, PLANES, BLOCKS, PROGRAMS, LOW, FIRST, SPAN, ICG, POSITIONS, IH, IW, QH, QW,
                 CHANNELS: tl.constexpr, SPLIT: tl.constexpr, WIDE: tl.constexpr, BLOCK_R: tl.constexpr,
                 BLOCK_C: tl.constexpr):
    """Nothing for planes whose range fits the guessed scale; the others are packed again."""
    for block in range(tl.program_id(0), PLANES * BLOCKS, PROGRAMS):
        exponent = scale_exponent(tl.load(bits_ptr + block // BLOCKS), True)
        if exponent != 8:
            pack_block(x_ptr, xp_ptr, block // BLOCKS, block % BLOCKS, power_of_two(exponent), LOW, FIRST, SPAN, ICG,
                       POSITIONS, IH, IW, QH, QW, CHANNELS, False, True, SPLIT, WIDE, BLOCK_R, BLOCK_C)


def pack_rows(x, xp, bits, v, rounded, scaled, split):
    """Fills `xp`, one or two (high and low) arrays of rows of channels, and finds the range of every plane."""
    I, Q, CHANNELS = v["I"], v["Q"], v["layout"]["CHANNELS"]
    BLOCK_C = math.gcd(CHANNELS, 32)
    BLOCK_R = (2048 if split else 4096) // BLOCK_C
    blocks = triton.cdiv(math.prod(I), BLOCK_R)
    counts = (v["planes"], blocks)
    span = math.prod(Q)
    flags = dict(CHANNELS=CHANNELS, SPLIT=split, WIDE=max(span, math.prod(I)) * CHANNELS >= 2**31, BLOCK_R=BLOCK_R,
                 BLOCK_C=BLOCK_C, num_warps=4)
    pack_input[(v["planes"] * blocks + v["rows"] // ZERO_ROWS,)](
        x, xp, bits, *counts, xp.stride(0), v["first"], span, v["first"] + v["planes"] * span, v["ICG"],
        math.prod(I), *I, *Q[1:], ROUND=rounded, SCALE=scaled, BLOCK_Z=ZERO_ROWS, **flags)
    if scaled:
        programs = min(v["planes"] * blocks, 528)
        repack_input[(programs,)](x, xp, bits, *counts, programs, xp.stride(0), v["first"], span, v["ICG"],
                                  math.prod(I), *I[1:], *Q[1:], **flags)
'''

PACK_WEIGHTS = '''
@triton.jit
def pack_weights(w_ptr, wp_ptr, e_ptr, bits_ptr, LOW, PLANES, ICG, OCG, OCP, KD: tl.constexpr, KH: tl.constexpr,
                 KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PD: tl.constexpr,
                 PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
                 A_D: tl.constexpr, A_H: tl.constexpr, A_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr,
                 PHASES_D: tl.constexpr, PHASES_H: tl.constexpr, PHASES_W: tl.constexpr, G: tl.constexpr,
                 ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROUND: tl.constexpr,
                 SCALE: tl.constexpr, SPLIT: tl.constexpr, BLOCK: tl.constexpr):
    """[in channel, out channel, tap] -> [group, step, phase, out channel, window pixel x in channel], for one output
    channel; zero where the phase has no tap there. Every output channel has its own scale."""
    pid = tl.program_id(0)
    o = pid % OCP
    g = pid // OCP
    inputs = tl.where(o < OCG, ICG, 0)  # output channels beyond the last only fill a tile: zeros
    TAPS: tl.constexpr = KD * KH * KW
    ROWS: tl.constexpr = PHASES_D * PHASES_H * PHASES_W
    w_base = w_ptr + g.to(tl.int64) * ICG * OCG * TAPS
    lane = tl.arange(0, BLOCK)
    factor = 1.0
    if SCALE:
        for p0 in range(pid * BLOCK, PLANES, tl.num_programs(0) * BLOCK):  # ranges that pack_input finds
            tl.store(bits_ptr + p0 + lane, tl.zeros((BLOCK,), tl.int32), mask=p0 + lane < PLANES)
        top = 0
        for t0 in range(0, inputs * TAPS, BLOCK):
            t = t0 + lane
            tap = (t // TAPS * OCG + o) * TAPS + t % TAPS
            top = tl.maximum(top, largest(tl.load(w_base + tap, mask=t < inputs * TAPS, other=0.0)))
        exponent = scale_exponent(top, False)
        tl.store(e_ptr + pid, exponent)
        factor = power_of_two(exponent)
    wp_base = wp_ptr + g.to(tl.int64) * STEPS * ROWS * OCP * WIDTH
    for i0 in range(0, STEPS * ROWS * WIDTH, BLOCK):
        i = i0 + lane
        k = i % WIDTH
        row = i // WIDTH % ROWS
        step = i // (WIDTH * ROWS)
        c = k % CHANNELS
        rw = row % PHASES_W * G + (G - PW % G) % G
        tw = rw + PW - SW * (A_W + k // CHANNELS)
        reached = (c < inputs) & (step < STEPS) & (rw < SW) & (tw >= 0) & (tw % DW == 0) & (tw // DW < KW)
        kd = step // STEPS_H
        kh = step % STEPS_H
        if ALL:
            rd = row // (PHASES_H * PHASES_W)
            rh = row // PHASES_W % PHASES_H
            td = rd + PD - SD * (A_D + kd)
            th = rh + PH - SH * (A_H + kh)
            reached = reached & (rd < SD) & (td >= 0) & (td % DD == 0) & (rh < SH) & (th >= 0) & (th % DH == 0)
            kd = td // DD
            kh = th // DH
            reached = reached & (kd < KD) & (kh < KH)
        at = (c * OCG + o) * TAPS + (kd * KH + kh) * KW + tw // DW
        v = tl.load(w_base + at, mask=reached, other=0.0)
        if ROUND:
            v = round_tf32(v)
        if SCALE:
            v = v * factor
        high = v.to(wp_ptr.dtype.element_ty)
        target = wp_base + ((step * ROWS + row) * OCP + o).to(tl.int64) * WIDTH + k
        tl.store(target, high, mask=step < STEPS)
        if SPLIT:
            tl.store(target + LOW, (v - high.to(tl.float32)).to(tl.float16), mask=step < STEPS)
'''

PRODUCT = '''
@triton.jit
def step_at(i, rd, rh, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr,
            PH: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr,
            A_D: tl.constexpr, A_H: tl.constexpr, STEPS_H: tl.constexpr, ALL: tl.constexpr):
    """(index of the packed weights, depth shift, height shift) of the i-th step of a phase."""
    if ALL:
        return i, A_D + i // STEPS_H, A_H + i % STEPS_H
    else:
        first_h = first_tap((rh + PH) % SH, KH, SH, DH)
        taps_h = (KH - first_h + STEP_H - 1) // STEP_H
        kd = first_tap((rd + PD) % SD, KD, SD, DD) + i // taps_h * STEP_D
        kh = first_h + i % taps_h * STEP_H
        return kd * KH + kh, (rd + PD - kd * DD) // SD, (rh + PH - kh * DH) // SH


@triton.jit
def step_count(rd, rh, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr,
               PH: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr,
               STEPS: tl.constexpr, ALL: tl.constexpr):
    """Steps of a phase: shifts along depth and height where all phases are rows, else the taps that reach the phase."""
    if ALL:
        return STEPS
    else:
        taps_d = (KD - first_tap((rd + PD) % SD, KD, SD, DD) + STEP_D - 1) // STEP_D
        return taps_d * ((KH - first_tap((rh + PH) % SH, KH, SH, DH) + STEP_H - 1) // STEP_H)


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
def unscaled(acc, bits_ptr, e_ptr, ROWS: tl.constexpr, BLOCK_O: tl.constexpr):
    """Sums of scaled operands as they are without the scales of the plane and of the output channels."""
    exponent = tl.load(e_ptr + tl.arange(0, ROWS * BLOCK_O) % BLOCK_O)
    return acc * power_of_two(-scale_exponent(tl.load(bits_ptr), True)) * power_of_two(-exponent)[:, None]


@triton.jit
def interleaved(acc, LINES: tl.constexpr, PHASES_W: tl.constexpr, ALIVE: tl.constexpr, LANES: tl.constexpr,
                BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr):
    """Rows (line, phase of the width, channel) -> rows (line, channel) x columns as they lie in the output; of LANES
    outputs only the one at ALIVE has taps, the others are zeros."""
    out = acc.reshape(LINES, PHASES_W, BLOCK_O, BLOCK_M).permute(0, 2, 3, 1)
    out = out.reshape(LINES * BLOCK_O, BLOCK_M * PHASES_W)
    if LANES > 1:
        out = tl.where((tl.arange(0, LANES) == ALIVE)[None, None, :], out[:, :, None], 0.0)
        out = out.reshape(LINES * BLOCK_O, BLOCK_M * PHASES_W * LANES)
    return out
'''

GEOMETRY = '''
ZERO_ROWS = 256  # rows a program of zeros fills; the rows in front of the first plane are a multiple of it


def shifts(K, S, P, D):
    """The smallest and the largest shift a of any tap of any phase, along one axis."""
    found = [(r + P - k * D) // S for r in range(S) for k in range(K) if (r + P - k * D) % S == 0]
    return min(found), max(found)


def power_up(value):
    return 1 << max(0, value - 1).bit_length()


def windows(x, y, m, dtype, join):
    """Sizes of the packed x and of the tiles: how far taps reach, rows per axis with zeros, channels of a window."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    A, B = zip(*map(shifts, K, S, P, D))
    J = [triton.cdiv(o, s) for o, s in zip(O, S)]
    Q = [max(i + max(0, -a), j + max(0, b)) for i, j, a, b in zip(I, J, A, B)]
    unit = 16 // dtype.itemsize
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    channels = triton.cdiv(ICG, unit) * unit
    width = triton.cdiv((B[2] - A[2] + 1) * channels, BLOCK_K) * BLOCK_K
    phases = [power_up(s // math.gcd(s, d)) for s, d in zip(S, D)]  # with a tap: every gcd-th output only
    ALL = join == "all" and math.prod(phases) <= BLOCK_N and all(math.gcd(s, d) == 1 for s, d in zip(S, D))
    if not ALL:
        phases[:2] = 1, 1
    rows = math.prod(phases)
    channels_out = max(1, BLOCK_N // rows)
    columns = max(16, min(BLOCK_M, BLOCK_M * BLOCK_N // (rows * channels_out)))
    back, ahead = ((at[0] * Q[1] + at[1]) * Q[2] + at[2] for at in (A, B))
    first = triton.cdiv(max(0, -back), ZERO_ROWS) * ZERO_ROWS
    end = first + x.shape[0] * m.groups * math.prod(Q) + max(0, ahead) + columns + triton.cdiv(width, channels)
    steps_h = B[1] - A[1] + 1 if ALL else K[1]
    layout = dict(A_D=A[0], A_H=A[1], A_W=A[2], STEPS=(B[0] - A[0] + 1) * steps_h if ALL else K[0] * K[1],
                  STEPS_H=steps_h, PHASES_D=phases[0], PHASES_H=phases[1], PHASES_W=phases[2],
                  G=math.gcd(S[2], D[2]), ALL=ALL, CHANNELS=channels, WIDTH=width)
    return dict(I=I, O=O, K=K, S=S, P=P, D=D, J=J, Q=Q, ICG=ICG, OCG=OCG, columns=columns, channels_out=channels_out,
                OCP=triton.cdiv(OCG, channels_out) * channels_out, planes=x.shape[0] * m.groups, first=first,
                rows=triton.cdiv(end, ZERO_ROWS) * ZERO_ROWS, layout=layout)


def packed_operands(x, w, y, m, join):
    """Sizes, packed weights and packed input of one call; nothing is cached, so they follow every change."""
    split = PRECISION == "split" and x.dtype == torch.float32
    scaled = split or PRECISION == "half" and x.dtype == torch.float32
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    dtype = torch.float16 if scaled else x.dtype
    v = windows(x, y, m, dtype, join)
    layout, filters = v["layout"], m.groups * v["OCP"]
    rows = layout["STEPS"] * layout["PHASES_D"] * layout["PHASES_H"] * layout["PHASES_W"] * filters
    wp = torch.empty((2 if split else 1, rows, layout["WIDTH"]), device=x.device, dtype=dtype)
    xp = torch.empty((2 if split else 1, v["rows"], layout["CHANNELS"]), device=x.device, dtype=dtype)
    bits = torch.empty(v["planes"], device=x.device, dtype=torch.int32)
    exponents = torch.empty(filters, device=x.device, dtype=torch.int32)
    pack_weights[(filters,)](
        w, wp, exponents, bits, wp.stride(0), v["planes"], v["ICG"], v["OCG"], v["OCP"], *v["K"], *v["S"], *v["P"],
        *v["D"], **layout, ROUND=rounded, SCALE=scaled, SPLIT=split, BLOCK=1024, num_warps=4)
    pack_rows(x, xp, bits, v, rounded, scaled, split)
    return dict(v, xp=xp, wp=wp, bits=bits, exponents=exponents, scaled=scaled, split=split)
'''

WINDOWS = SCALES + PACK_INPUT + PACK_WEIGHTS + PRODUCT + GEOMETRY
