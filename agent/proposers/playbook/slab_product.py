"""The slab's product as kernel text: how weights lie, and the warp-specialised Gluon kernel.

Limits: text only; which sizes it can serve is decided in families/slab.py.
"""

PACK_TAP = '''
@triton.jit
def pack_tap(w_ptr, wp_ptr, bits_ptr, tap, IC: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr,
             OC: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, PIXELS: tl.constexpr,
             SHIFTS: tl.constexpr, PADDED: tl.constexpr):
    """64 rows of weights: [channel tile, kd, pixel of the input position or high/low part, kh, shift][pixel, channel].

    Output pixel t and input pixel q of a position meet at the tap kw = t - q + PIXELS * shift."""
    PARTS: tl.constexpr = 2 if PRECISION == "split" else PIXELS
    shift = tap % SHIFTS
    kh = tap // SHIFTS % KH
    q = tap // (SHIFTS * KH) % PARTS
    kd = tap // (SHIFTS * KH * PARTS) % KD
    m = tl.arange(0, 64)
    c = tl.arange(0, PADDED)
    t = m // 8 % PIXELS
    o = tap // (SHIFTS * KH * PARTS * KD) * (64 // PIXELS) + m // (8 * PIXELS) * 8 + m % 8
    kw = t + PIXELS * shift
    if PRECISION != "split":
        kw -= q
    live = ((o < OC) & (kw >= 0) & (kw < KW))[:, None] & (c < IC)[None, :]
    at = (c[None, :] * OC + o[:, None]) * (KD * KH * KW) + (kd * KH + kh) * KW + kw[:, None]
    v = tl.load(w_ptr + at, mask=live, other=0.0)
    target = wp_ptr + (tap * 64 + m[:, None]) * CHANNELS + c[None, :]
    stored = (c < CHANNELS)[None, :] & (m >= 0)[:, None]
    if PRECISION == "tf32":
        tl.store(target, round_tf32(v), mask=stored)
    else:
        v = v * power_of_two(half_exponent(bits_ptr))
        high = v.to(tl.float16)
        if PRECISION == "split":
            high = tl.where(q == 0, high, low_part(v, high))
        tl.store(target, high, mask=stored)
'''

SLAB = '''
@gluon.constexpr_function
def taps_of(q, KW, PIXELS, SPLIT):
    """Shifts of the input position that bring its pixel q to an output pixel; every tap where a position is a pixel."""
    return KW if SPLIT else (q + KW - 1) // PIXELS + 1


@gluon.constexpr_function
def pixel_layout(PIXELS, COUNT):
    """[channel, pixel] as the accumulators lie: two neighbouring pixels of a channel are in one thread."""
    rest = [[0, 1 << i] for i in range((8 * PIXELS).bit_length() - 1, (PIXELS * COUNT).bit_length() - 1)]
    lanes = [[0, 2 * PIXELS], [0, 4 * PIXELS], [1, 0], [2, 0], [4, 0]]
    warps = {2: [[8, 0], [16, 0]], 4: [[0, 2], [8, 0]], 8: [[0, 2], [0, 4]]}[PIXELS]
    return gl.DistributedLinearLayout([[0, 1], [0, PIXELS], *rest], lanes, warps, [], [64 // PIXELS, PIXELS * COUNT])


@gluon.jit
def kernel_planes(f0, SPAN: gl.constexpr, PLANE: gl.constexpr, ID: gl.constexpr, KD: gl.constexpr, BN: gl.constexpr):
    """The kernel planes that reach a tile of positions; the others would multiply zero pads only."""
    r = f0 % SPAN
    crosses = r + BN > SPAN  # into the next batch item
    first = gl.where(crosses, 0, gl.maximum(r // PLANE - (ID - 1), 0))
    last = gl.where(crosses, KD - 1, gl.minimum((r + BN - 1) // PLANE, KD - 1))
    return first, last + 1


@gluon.jit
def produce(xd, xd2, wd, wd2, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, FIRST, TILES, PROGRAMS,
            C1: gl.constexpr, C2: gl.constexpr, SPAN: gl.constexpr, PLANE: gl.constexpr, PITCH: gl.constexpr,
            ID: gl.constexpr, KD: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr, PIXELS: gl.constexpr,
            SHIFTS: gl.constexpr, CO_TILES: gl.constexpr, BN: gl.constexpr, SLABS: gl.constexpr, STAGES: gl.constexpr,
            ROWS: gl.constexpr, BOX: gl.constexpr, BITS: gl.constexpr, SPLIT: gl.constexpr):
    """One warp: copies slabs and weights by TMA as fast as the multiplying warpgroups free their places."""
    PARTS: gl.constexpr = 2 if SPLIT else PIXELS
    REACH: gl.constexpr = (KH - 1) * PITCH + SHIFTS - 1
    ix = 0
    iw = 0
    for tile in range(gl.program_id(0), TILES, PROGRAMS):
        f0 = tile // CO_TILES * BN
        kd0, kd1 = kernel_planes(f0, SPAN, PLANE, ID, KD, BN)
        for kd in range(kd0, kd1):
            w_row = (tile % CO_TILES * KD + kd) * (PARTS * KH * SHIFTS * 64)
            for q in gl.static_range(PARTS):
                s = ix % SLABS
                mbarrier.wait(x_empty.index(s), ((ix // SLABS) & 1) ^ 1)
                mbarrier.expect(x_full.index(s), ROWS * (C1 + C2) * BITS // 8)
                row = FIRST + f0 - kd * PLANE - REACH
                for b in range(ROWS // BOX):
                    tma.async_copy_global_to_shared(xd, [row + b * BOX, q * (C1 + C2)], x_full.index(s),
                                                    row_view(xs, s * ROWS + b * BOX, SLABS * ROWS, C1, BOX, BITS))
                    if C2 > 0:
                        tma.async_copy_global_to_shared(xd2, [row + b * BOX, q * (C1 + C2) + C1], x_full.index(s),
                                                        row_view(xs2, s * ROWS + b * BOX, SLABS * ROWS, C2, BOX, BITS))
                ix += 1
                for p in gl.static_range(2 if (SPLIT and q == 0) else 1):  # high x high, high x low, low x high
                    for kh in range(KH):
                        g = iw % STAGES
                        mbarrier.wait(w_empty.index(g), ((iw // STAGES) & 1) ^ 1)
                        mbarrier.expect(w_full.index(g),
                                        taps_of(q, KW, PIXELS, SPLIT) * 64 * (C1 + C2) * BITS // 8)
                        for i in gl.static_range(taps_of(q, KW, PIXELS, SPLIT)):
                            r = w_row + (((p if SPLIT else q) * KH + kh) * SHIFTS + i) * 64
                            tma.async_copy_global_to_shared(wd, [r, 0], w_full.index(g), ws.index(g * SHIFTS + i))
                            if C2 > 0:
                                tma.async_copy_global_to_shared(wd2, [r, C1], w_full.index(g),
                                                                ws2.index(g * SHIFTS + i))
                        iw += 1


@gluon.jit
def item_inverse(bits_ptr, position, first, LAST, SPAN: gl.constexpr, COUNT: gl.constexpr):
    """What undoes the scale of the batch item of each of COUNT positions; two scalars where no more items can meet."""
    last = LAST // SPAN - 1
    if COUNT > SPAN:
        return inverse_scale(bits_ptr + 1 + gl.minimum(position // SPAN, last))
    n = gl.minimum(first // SPAN, last)
    here = inverse_scale(bits_ptr + 1 + n)
    return gl.where(position < (n + 1) * SPAN, here, inverse_scale(bits_ptr + 1 + gl.minimum(n + 1, last)))


@gluon.jit
def store_tile(y_ptr, b_ptr, bits_ptr, out, f0, co0, LAST, OC: gl.constexpr, OD: gl.constexpr, OH: gl.constexpr,
               OW: gl.constexpr, PD: gl.constexpr, PH: gl.constexpr, PW: gl.constexpr, SPAN: gl.constexpr,
               PLANE: gl.constexpr, PITCH: gl.constexpr, PIXELS: gl.constexpr, COUNT: gl.constexpr,
               BITS: gl.constexpr, DENSE: gl.constexpr, HAS_BIAS: gl.constexpr):
    """64 rows (8 channels, pixel, channel) x COUNT positions; positions outside the output are dropped."""
    if BITS == 16:
        f = f0 + gl.arange(0, COUNT, gl.SliceLayout(0, out.type.layout))
        out = out * (item_inverse(bits_ptr, f, f0, LAST, SPAN, COUNT) * inverse_scale(bits_ptr))[None, :]
    if PIXELS == 1:
        lay: gl.constexpr = out.type.layout
        co = gl.arange(0, 64, gl.SliceLayout(1, lay))
        pixel = f0 + gl.arange(0, COUNT, gl.SliceLayout(0, lay))
        tile = out
    else:
        tile = out.reshape([8 // PIXELS, PIXELS, 8, COUNT]).permute((0, 2, 3, 1))
        lay: gl.constexpr = pixel_layout(PIXELS, COUNT)
        tile = gl.convert_layout(tile.reshape([64 // PIXELS, PIXELS * COUNT]), lay)
        co = gl.arange(0, 64 // PIXELS, gl.SliceLayout(1, lay))
        pixel = f0 * PIXELS + gl.arange(0, PIXELS * COUNT, gl.SliceLayout(0, lay))
    n = pixel // (SPAN * PIXELS)
    at = pixel - n * (SPAN * PIXELS)
    inside = pixel < LAST * PIXELS
    if not DENSE:
        w = at % (PITCH * PIXELS) - PW
        h = at // (PITCH * PIXELS) % (PLANE // PITCH) - PH
        d = at // (PLANE * PIXELS) - PD
        inside = inside & (w >= 0) & (w < OW) & (h >= 0) & (h < OH) & (d >= 0) & (d < OD)
        at = (d * OH + h) * OW + w
    co += co0
    if HAS_BIAS:
        tile += gl.load(b_ptr + co, mask=co < OC, other=0.0)[:, None]
    gl.store(y_ptr + (co * (OD * OH * OW))[:, None] + (n * (OC * OD * OH * OW) + at)[None, :], tile,
             mask=(co < OC)[:, None] & inside[None, :])


@gluon.jit
def multiply(y_ptr, b_ptr, bits_ptr, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, TILES, PROGRAMS, LAST,
             HALF: gl.constexpr, C1: gl.constexpr, C2: gl.constexpr, OC: gl.constexpr, OD: gl.constexpr,
             OH: gl.constexpr, OW: gl.constexpr, PD: gl.constexpr, PH: gl.constexpr, PW: gl.constexpr,
             SPAN: gl.constexpr, PLANE: gl.constexpr, PITCH: gl.constexpr, ID: gl.constexpr, KD: gl.constexpr,
             KH: gl.constexpr, KW: gl.constexpr, PIXELS: gl.constexpr, SHIFTS: gl.constexpr, CO_TILES: gl.constexpr,
             BN: gl.constexpr, COUNT: gl.constexpr, SLABS: gl.constexpr, STAGES: gl.constexpr, ROWS: gl.constexpr,
             BITS: gl.constexpr, SPLIT: gl.constexpr, DENSE: gl.constexpr, HAS_BIAS: gl.constexpr):
    """One warpgroup: 64 channel rows x half of the tile's positions."""
    PARTS: gl.constexpr = 2 if SPLIT else PIXELS
    REACH: gl.constexpr = (KH - 1) * PITCH + SHIFTS - 1
    lay: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, COUNT, 256 // BITS])
    ix = 0
    iw = 0
    for tile in range(gl.program_id(0), TILES, PROGRAMS):
        f0 = tile // CO_TILES * BN
        kd0, kd1 = kernel_planes(f0, SPAN, PLANE, ID, KD, BN)
        acc = gl.zeros([64, COUNT], gl.float32, lay)
        if SPLIT:
            total = gl.zeros([64, COUNT], gl.float32, lay)
        for kd in range(kd0, kd1):
            for q in gl.static_range(PARTS):
                s = ix % SLABS
                mbarrier.wait(x_full.index(s), (ix // SLABS) & 1)
                for p in gl.static_range(2 if (SPLIT and q == 0) else 1):
                    for kh in range(KH):
                        g = iw % STAGES
                        mbarrier.wait(w_full.index(g), (iw // STAGES) & 1)
                        row = s * ROWS + HALF * COUNT + REACH - kh * PITCH
                        for i in gl.static_range(taps_of(q, KW, PIXELS, SPLIT)):
                            x = row_view(xs, row - i, SLABS * ROWS, C1, COUNT, BITS).permute((1, 0))
                            if SPLIT and i == 0 and q == 0:  # a fresh sum without touching the registers
                                acc = warpgroup_mma(ws.index(g * SHIFTS + i), x, acc, is_async=True,
                                                    use_acc=(kh > 0) if p == 1 else False)
                            else:
                                acc = warpgroup_mma(ws.index(g * SHIFTS + i), x, acc, is_async=True)
                            if C2 > 0:
                                x2 = row_view(xs2, row - i, SLABS * ROWS, C2, COUNT, BITS).permute((1, 0))
                                acc = warpgroup_mma(ws2.index(g * SHIFTS + i), x2, acc, is_async=True)
                        acc = warpgroup_mma_wait(taps_of(q, KW, PIXELS, SPLIT) * (2 if C2 > 0 else 1), deps=[acc])
                        mbarrier.arrive(w_empty.index((iw + STAGES - 1) % STAGES), pred=iw > 0)
                        iw += 1
                        if SPLIT and p == 0 and q == 0:  # tensor cores truncate: long sums are made outside of them
                            acc = warpgroup_mma_wait(0, deps=[acc])
                            total += acc
                acc = warpgroup_mma_wait(0, deps=[acc])
                mbarrier.arrive(x_empty.index(s))
                ix += 1
            if SPLIT:
                total += acc * (1 / 2048)
        store_tile(y_ptr, b_ptr, bits_ptr, total if SPLIT else acc, f0 + HALF * COUNT,
                   tile % CO_TILES * (64 // PIXELS), LAST, OC, OD, OH, OW, PD, PH, PW, SPAN, PLANE, PITCH, PIXELS,
                   COUNT, BITS, DENSE, HAS_BIAS)


@gluon.jit
def slab(xd, xd2, wd, wd2, y_ptr, b_ptr, bits_ptr, FIRST, TILES, PROGRAMS, LAST, C1: gl.constexpr, C2: gl.constexpr,
         OC: gl.constexpr, OD: gl.constexpr, OH: gl.constexpr, OW: gl.constexpr, PD: gl.constexpr, PH: gl.constexpr,
         PW: gl.constexpr, SPAN: gl.constexpr, PLANE: gl.constexpr, PITCH: gl.constexpr, ID: gl.constexpr,
         KD: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr, PIXELS: gl.constexpr, SHIFTS: gl.constexpr,
         CO_TILES: gl.constexpr, BN: gl.constexpr, SLABS: gl.constexpr, STAGES: gl.constexpr, ROWS: gl.constexpr,
         BOX: gl.constexpr, BITS: gl.constexpr, SPLIT: gl.constexpr, DENSE: gl.constexpr, HAS_BIAS: gl.constexpr):
    """Persistent: every SM takes tiles in turn; two warpgroups multiply, one warp copies."""
    COUNT: gl.constexpr = BN // 2
    xs = gl.allocate_shared_memory(xd.dtype, [SLABS * ROWS // 8, 8, C1], gl.NVMMASharedLayout(C1 * BITS // 8, BITS, 2))
    ws = gl.allocate_shared_memory(xd.dtype, [STAGES * SHIFTS, 64, C1], gl.NVMMASharedLayout(C1 * BITS // 8, BITS, 2))
    xs2 = xs
    ws2 = ws
    if C2 > 0:  # channels beyond the widest row that the swizzle knows
        xs2 = gl.allocate_shared_memory(
            xd.dtype, [SLABS * ROWS // 8, 8, C2], gl.NVMMASharedLayout(C2 * BITS // 8, BITS, 2))
        ws2 = gl.allocate_shared_memory(
            xd.dtype, [STAGES * SHIFTS, 64, C2], gl.NVMMASharedLayout(C2 * BITS // 8, BITS, 2))
    x_full = gl.allocate_shared_memory(gl.int64, [SLABS, 1], mbarrier.MBarrierLayout())
    x_empty = gl.allocate_shared_memory(gl.int64, [SLABS, 1], mbarrier.MBarrierLayout())
    w_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    w_empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(SLABS):
        mbarrier.init(x_full.index(i), count=1)
        mbarrier.init(x_empty.index(i), count=2)
    for i in gl.static_range(STAGES):
        mbarrier.init(w_full.index(i), count=1)
        mbarrier.init(w_empty.index(i), count=2)
    fence_async_shared()
    gl.warp_specialize([
        (multiply, (y_ptr, b_ptr, bits_ptr, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, TILES, PROGRAMS, LAST,
                    0, C1, C2, OC, OD, OH, OW, PD, PH, PW, SPAN, PLANE, PITCH, ID, KD, KH, KW, PIXELS, SHIFTS,
                    CO_TILES, BN, COUNT, SLABS, STAGES, ROWS, BITS, SPLIT, DENSE, HAS_BIAS)),
        (multiply, (y_ptr, b_ptr, bits_ptr, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, TILES, PROGRAMS, LAST,
                    1, C1, C2, OC, OD, OH, OW, PD, PH, PW, SPAN, PLANE, PITCH, ID, KD, KH, KW, PIXELS, SHIFTS,
                    CO_TILES, BN, COUNT, SLABS, STAGES, ROWS, BITS, SPLIT, DENSE, HAS_BIAS)),
        (produce, (xd, xd2, wd, wd2, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, FIRST, TILES, PROGRAMS,
                   C1, C2, SPAN, PLANE, PITCH, ID, KD, KH, KW, PIXELS, SHIFTS, CO_TILES, BN, SLABS, STAGES, ROWS, BOX,
                   BITS, SPLIT)),
    ], [4, 1], [240, 24])
'''
