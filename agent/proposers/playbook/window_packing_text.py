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
            tl.store(at + LOW, tl.trans(low_part(v, high)), mask=(s < POSITIONS)[:, None])
    return top


@triton.jit
def clear_rows(xp_ptr, block, LOW, FIRST, SPAN, LAST, ID, IH, IW, QH, QW, CHANNELS: tl.constexpr, SPLIT: tl.constexpr,
               BLOCK_C: tl.constexpr, BLOCK_Z: tl.constexpr):
    """Zeros in BLOCK_Z rows wherever they hold no position."""
    r0 = tl.cast(block, tl.int64) * BLOCK_Z
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
def settle_scale(x_ptr, xp_ptr, state_ptr, e_ptr, plane, top, BLOCKS, LOW, FIRST, SPAN, ICG, POSITIONS, IH, IW, QH, QW,
                 CHANNELS: tl.constexpr, SPLIT: tl.constexpr, WIDE: tl.constexpr, BLOCK_R: tl.constexpr,
                 BLOCK_C: tl.constexpr):
    """The program that is the last of a plane knows its range: it leaves the exponent of the scale and packs the plane
    again where the guess was wrong. `state_ptr`: largest magnitude and programs done, of every plane, zero before."""
    tl.atomic_max(state_ptr + 2 * plane, top, sem="relaxed")
    tl.debug_barrier()  # what all threads of this program stored lies before the count
    if tl.atomic_add(state_ptr + 2 * plane + 1, 1, sem="acq_rel") == BLOCKS - 1:
        exponent = scale_exponent(tl.atomic_max(state_ptr + 2 * plane, 0, sem="relaxed"), True)
        tl.store(e_ptr + plane, exponent)
        if exponent != 8:
            for block in range(2 * BLOCKS):
                pack_block(x_ptr, xp_ptr, plane, block, power_of_two(exponent), LOW, FIRST, SPAN, ICG, POSITIONS, IH,
                           IW, QH, QW, CHANNELS, False, True, SPLIT, WIDE, BLOCK_R // 2, BLOCK_C)
'''

PACK_WEIGHTS = '''
@triton.jit
def pack_filter(w_ptr, wp_ptr, e_ptr, pid, LOW, ICG, OCG, OCP, KD: tl.constexpr, KH: tl.constexpr,
                KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, PD: tl.constexpr,
                PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
                A_D: tl.constexpr, A_H: tl.constexpr, A_W: tl.constexpr, STEP_W: tl.constexpr, STEPS: tl.constexpr,
                STEPS_H: tl.constexpr, PHASES_D: tl.constexpr, PHASES_H: tl.constexpr, PHASES_W: tl.constexpr,
                G: tl.constexpr, ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROUND: tl.constexpr,
                SCALE: tl.constexpr, SPLIT: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK: tl.constexpr):
    """[in channel, out channel, tap] -> [group, step, tile of BLOCK_O out channels, phase, out channel, window pixel x
    in channel], for one output channel: the rows of a tile lie one after another. Zero where the phase has no tap
    there. Every output channel has its own scale."""
    o = pid % OCP
    g = pid // OCP
    inputs = tl.where(o < OCG, ICG, 0)  # output channels beyond the last only fill a tile: zeros
    TAPS: tl.constexpr = KD * KH * KW
    ROWS: tl.constexpr = PHASES_D * PHASES_H * PHASES_W
    w_base = w_ptr + g.to(tl.int64) * ICG * OCG * TAPS
    lane = tl.arange(0, BLOCK)
    factor = 1.0
    if SCALE:
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
        tw = rw + PW - SW * (A_W + k // CHANNELS * STEP_W)
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
        tile = step * ROWS * OCP + (o // BLOCK_O * ROWS + row) * BLOCK_O
        target = wp_base + (tile + o % BLOCK_O).to(tl.int64) * WIDTH + k
        tl.store(target, high, mask=step < STEPS)
        if SPLIT:
            tl.store(target + LOW, low_part(v, high), mask=step < STEPS)


@triton.jit(do_not_specialize=["BLOCKS"])
def pack(x_ptr, xp_ptr, w_ptr, wp_ptr, e_ptr, state_ptr, FILTERS, PLANES, BLOCKS, LOW_X, LOW_W, FIRST, SPAN, LAST, ICG,
         OCG, OCP, POSITIONS, ID, IH: tl.constexpr, IW: tl.constexpr, QH: tl.constexpr, QW: tl.constexpr,
         KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
         PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, DW: tl.constexpr,
         A_D: tl.constexpr, A_H: tl.constexpr, A_W: tl.constexpr, STEP_W: tl.constexpr, STEPS: tl.constexpr,
         STEPS_H: tl.constexpr, PHASES_D: tl.constexpr, PHASES_H: tl.constexpr, PHASES_W: tl.constexpr, G: tl.constexpr,
         ALL: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROUND: tl.constexpr, SCALE: tl.constexpr,
         SPLIT: tl.constexpr, WIDE: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
         BLOCK_Z: tl.constexpr):
    """Both operands in one launch: programs for filters, for positions, for rows of zeros. x is scaled by a guess of
    2**8; settle_scale mends a wrong one. `e_ptr`: exponents of the filters, then of the planes."""
    pid = tl.program_id(0)
    if pid < FILTERS:
        pack_filter(w_ptr, wp_ptr, e_ptr, pid, LOW_W, ICG, OCG, OCP, KD, KH, KW, SD, SH, SW, PD, PH, PW, DD, DH, DW,
                    A_D, A_H, A_W, STEP_W, STEPS, STEPS_H, PHASES_D, PHASES_H, PHASES_W, G, ALL, CHANNELS, WIDTH, ROUND,
                    SCALE, SPLIT, BLOCK_O, 1024)
    elif pid < FILTERS + PLANES * BLOCKS:
        plane = (pid - FILTERS) // BLOCKS
        top = pack_block(x_ptr, xp_ptr, plane, (pid - FILTERS) % BLOCKS, 256.0, LOW_X, FIRST, SPAN, ICG, POSITIONS, IH,
                         IW, QH, QW, CHANNELS, ROUND, SCALE, SPLIT, WIDE, BLOCK_R, BLOCK_C)
        if SCALE:
            settle_scale(x_ptr, xp_ptr, state_ptr, e_ptr + FILTERS, plane, top, BLOCKS, LOW_X, FIRST, SPAN, ICG,
                         POSITIONS, IH, IW, QH, QW, CHANNELS, SPLIT, WIDE, BLOCK_R, BLOCK_C)
    else:
        clear_rows(xp_ptr, pid - FILTERS - PLANES * BLOCKS, LOW_X, FIRST, SPAN, LAST, ID, IH, IW, QH, QW, CHANNELS,
                   SPLIT, BLOCK_C, BLOCK_Z)
'''
