"""Kernel text of the slab with Winograd's F(2, 3) along depth: two output planes from four products where six are due.

Conventions of slab_text.py; a batch item's planes are pairs of output planes here. With a_k = x[2e - 2 + k] and the
taps h = (w2, w1, w0) along depth, pair e is

    V = (a0 - a2, a1 + a2, a2 - a1, a1 - a3)     U = (h0, (h0 + h1 + h2) / 2, (h0 - h1 + h2) / 2, -h2)
    y[2e] = m0 + m1 + m2     y[2e + 1] = m1 - m2 + m3     m_i = U_i * V_i over the taps of a plane

The four V lie one after the other, LENGTH rows each; the four U as four kernel planes.

Limits: three taps along depth, stride 1, dilation 1, one group, fp32 in and out, sm_90. Text only.
"""

PACK = '''
@triton.jit
def pack_pairs(x_ptr, xp_ptr, block, factor, FIRST, LENGTH, IC: tl.constexpr, ID: tl.constexpr, HW: tl.constexpr,
               IW: tl.constexpr, PAIRS: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
               CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """One block of pixels of four planes as rows of channels of the four V; returns the largest finite magnitude."""
    BLOCKS: tl.constexpr = (HW + BLOCK - 1) // BLOCK
    STEP: tl.constexpr = 32 if CHANNELS % 32 == 0 else 16
    s = block % BLOCKS * BLOCK + tl.arange(0, BLOCK)
    e = block // BLOCKS % PAIRS
    n = block // BLOCKS // PAIRS
    row = FIRST + ((n * PAIRS + e) * HEIGHT + s // IW) * WIDTH + s % IW
    d = 2 * e - 2
    top = 0.0
    for c0 in tl.static_range(0, CHANNELS, STEP):
        c = c0 + tl.arange(0, STEP)
        source = x_ptr + ((n * IC + c)[:, None] * ID + d) * HW + s[None, :]
        here = (s < HW)[None, :]
        plane = tl.where(c < IC, d, -4)  # far enough out for all four
        a0 = tl.load(source, mask=(plane >= 0)[:, None] & here, other=0.0)
        a1 = tl.load(source + HW, mask=((plane >= 0) & (plane + 1 < ID))[:, None] & here, other=0.0)
        a2 = tl.load(source + 2 * HW, mask=((plane >= -2) & (plane + 2 < ID))[:, None] & here, other=0.0)
        a3 = tl.load(source + 3 * HW, mask=((plane >= -2) & (plane + 3 < ID))[:, None] & here, other=0.0)
        largest = tl.maximum(finite_magnitude(a0), finite_magnitude(a1))
        top = tl.maximum(top, tl.max(tl.maximum(largest, tl.maximum(finite_magnitude(a2), finite_magnitude(a3)))))
        at = xp_ptr + row[:, None] * CHANNELS + c[None, :]
        tl.store(at, tl.trans(((a0 - a2) * factor).to(tl.float16)), mask=(s < HW)[:, None])
        tl.store(at + LENGTH * CHANNELS, tl.trans(((a1 + a2) * factor).to(tl.float16)), mask=(s < HW)[:, None])
        tl.store(at + 2 * LENGTH * CHANNELS, tl.trans(((a2 - a1) * factor).to(tl.float16)), mask=(s < HW)[:, None])
        tl.store(at + 3 * LENGTH * CHANNELS, tl.trans(((a1 - a3) * factor).to(tl.float16)), mask=(s < HW)[:, None])
    return top


@triton.jit
def pack_input(x_ptr, w_ptr, xp_ptr, bits_ptr, BLOCKS, PADS, FIRST, LENGTH, WEIGHTS, IC: tl.constexpr,
               ID: tl.constexpr, IH: tl.constexpr, IW: tl.constexpr, PAIRS: tl.constexpr, HEIGHT: tl.constexpr,
               WIDTH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """The four V with the scale guessed as 2**8 (half of it, as they are sums of two values), their zero pads, and the
    ranges of input and weights."""
    pid = tl.program_id(0)
    if pid < BLOCKS:
        top = pack_pairs(x_ptr, xp_ptr, pid, 128.0, FIRST, LENGTH, IC, ID, IH * IW, IW, PAIRS, HEIGHT, WIDTH, CHANNELS,
                         BLOCK)
        tl.atomic_max(bits_ptr + 1, top.to(tl.int32, bitcast=True), sem="relaxed")
    elif pid < BLOCKS + 4 * PADS:
        pad = pid - BLOCKS
        clear_pads(xp_ptr + tl.cast(pad // PADS, tl.int64) * LENGTH * CHANNELS, pad % PADS, FIRST, LENGTH, PAIRS, IH,
                   IW, HEIGHT, WIDTH, PAIRS * HEIGHT * WIDTH, CHANNELS)
    else:
        at = (pid - BLOCKS - 4 * PADS) * 4096 + tl.arange(0, 4096)
        top = tl.max(finite_magnitude(tl.load(w_ptr + at, mask=at < WEIGHTS, other=0.0)))
        tl.atomic_max(bits_ptr, top.to(tl.int32, bitcast=True), sem="relaxed")


@triton.jit
def pack_tap(w_ptr, wp_ptr, bits_ptr, tap, IC: tl.constexpr, CHANNELS: tl.constexpr, OC: tl.constexpr,
             TAPS: tl.constexpr, PADDED: tl.constexpr):
    """64 rows of weights: [channel tile, number of U, kh, kw][channel]."""
    t = tap % TAPS
    i = tap // TAPS % 4
    o = tap // (4 * TAPS) * 64 + tl.arange(0, 64)
    c = tl.arange(0, PADDED)
    live = (o < OC)[:, None] & (c < IC)[None, :]
    at = w_ptr + (c[None, :] * OC + o[:, None]) * (3 * TAPS) + t
    h2 = tl.load(at, mask=live, other=0.0)
    h1 = tl.load(at + TAPS, mask=live, other=0.0)
    h0 = tl.load(at + 2 * TAPS, mask=live, other=0.0)
    half = (h0 + h2) * 0.5
    u = tl.where(i == 0, h0, tl.where(i == 1, half + 0.5 * h1, tl.where(i == 2, half - 0.5 * h1, -h2)))
    u = u * power_of_two(half_exponent(bits_ptr))
    target = wp_ptr + (tap * 64 + tl.arange(0, 64)[:, None]) * CHANNELS + c[None, :]
    tl.store(target, u.to(tl.float16), mask=(o >= 0)[:, None] & (c < CHANNELS)[None, :])


@triton.jit
def pack_weights(x_ptr, w_ptr, xp_ptr, wp_ptr, bits_ptr, ALL_TAPS, BLOCKS, MENDERS, FIRST, LENGTH, IC: tl.constexpr,
                 ID: tl.constexpr, IH: tl.constexpr, IW: tl.constexpr, PAIRS: tl.constexpr, HEIGHT: tl.constexpr,
                 WIDTH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, OC: tl.constexpr,
                 TAPS: tl.constexpr, PADDED: tl.constexpr):
    """The weights of this call as rows of channels; where the guessed scale was wrong the input is packed again."""
    pid = tl.program_id(0)
    if pid < ALL_TAPS:
        pack_tap(w_ptr, wp_ptr, bits_ptr, pid, IC, CHANNELS, OC, TAPS, PADDED)
    else:
        exponent = half_exponent(bits_ptr + 1)
        if exponent != 8:
            for block in range(pid - ALL_TAPS, BLOCKS, MENDERS):
                pack_pairs(x_ptr, xp_ptr, block, power_of_two(exponent - 1), FIRST, LENGTH, IC, ID, IH * IW, IW, PAIRS,
                           HEIGHT, WIDTH, CHANNELS, BLOCK)
'''

PRODUCT = '''
@gluon.jit
def produce(xd, xd2, wd, wd2, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, FIRST, LENGTH, TILES, PROGRAMS,
            C1: gl.constexpr, C2: gl.constexpr, PITCH: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr,
            CO_TILES: gl.constexpr, BN: gl.constexpr, SLABS: gl.constexpr, STAGES: gl.constexpr, ROWS: gl.constexpr,
            BOX: gl.constexpr):
    """One warp: copies slabs and weights by TMA as fast as the multiplying warpgroups free their places."""
    REACH: gl.constexpr = (KH - 1) * PITCH + KW - 1
    ix = 0
    iw = 0
    for tile in range(gl.program_id(0), TILES, PROGRAMS):
        f0 = tile // CO_TILES * BN
        for j in range(4):
            i = gl.where(j == 0, 1, gl.where(j == 1, 2, gl.where(j == 2, 0, 3)))
            s = ix % SLABS
            mbarrier.wait(x_empty.index(s), ((ix // SLABS) & 1) ^ 1)
            mbarrier.expect(x_full.index(s), ROWS * (C1 + C2) * 2)
            row = i * LENGTH + FIRST + f0 - REACH
            for b in gl.static_range(ROWS // BOX):
                tma.async_copy_global_to_shared(xd, [row + b * BOX, 0], x_full.index(s),
                                                row_view(xs, s * ROWS + b * BOX, SLABS * ROWS, C1, BOX, 16))
                if C2 > 0:
                    tma.async_copy_global_to_shared(xd2, [row + b * BOX, C1], x_full.index(s),
                                                    row_view(xs2, s * ROWS + b * BOX, SLABS * ROWS, C2, BOX, 16))
            ix += 1
            for kh in range(KH):
                g = iw % STAGES
                mbarrier.wait(w_empty.index(g), ((iw // STAGES) & 1) ^ 1)
                mbarrier.expect(w_full.index(g), KW * 64 * (C1 + C2) * 2)
                for kw in gl.static_range(KW):
                    r = (((tile % CO_TILES * 4 + i) * KH + kh) * KW + kw) * 64
                    tma.async_copy_global_to_shared(wd, [r, 0], w_full.index(g), ws.index(g * KW + kw))
                    if C2 > 0:
                        tma.async_copy_global_to_shared(wd2, [r, C1], w_full.index(g), ws2.index(g * KW + kw))
                iw += 1


@gluon.jit
def add_plane(acc, ix, iw, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, HALF: gl.constexpr, C1: gl.constexpr,
              C2: gl.constexpr, PITCH: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr, COUNT: gl.constexpr,
              SLABS: gl.constexpr, STAGES: gl.constexpr, ROWS: gl.constexpr):
    """acc + the product of one V with its U over the taps of a plane; and the number of weight stages used."""
    REACH: gl.constexpr = (KH - 1) * PITCH + KW - 1
    s = ix % SLABS
    mbarrier.wait(x_full.index(s), (ix // SLABS) & 1)
    for kh in range(KH):
        g = iw % STAGES
        mbarrier.wait(w_full.index(g), (iw // STAGES) & 1)
        row = s * ROWS + HALF * COUNT + REACH - kh * PITCH
        for kw in gl.static_range(KW):
            x = row_view(xs, row - kw, SLABS * ROWS, C1, COUNT, 16).permute((1, 0))
            acc = warpgroup_mma(ws.index(g * KW + kw), x, acc, is_async=True)
            if C2 > 0:
                x2 = row_view(xs2, row - kw, SLABS * ROWS, C2, COUNT, 16).permute((1, 0))
                acc = warpgroup_mma(ws2.index(g * KW + kw), x2, acc, is_async=True)
        acc = warpgroup_mma_wait(KW * (2 if C2 > 0 else 1), deps=[acc])
        mbarrier.arrive(w_empty.index((iw + STAGES - 1) % STAGES), pred=iw > 0)
        iw += 1
    acc = warpgroup_mma_wait(0, deps=[acc])
    mbarrier.arrive(x_empty.index(s))
    return acc, iw


@gluon.jit
def multiply(y_ptr, b_ptr, bits_ptr, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, TILES, PROGRAMS, LAST,
             HALF: gl.constexpr, C1: gl.constexpr, C2: gl.constexpr, OC: gl.constexpr, OD: gl.constexpr,
             OH: gl.constexpr, OW: gl.constexpr, PD: gl.constexpr, PH: gl.constexpr, PW: gl.constexpr,
             PAIRS: gl.constexpr, PLANE: gl.constexpr, PITCH: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr,
             CO_TILES: gl.constexpr, BN: gl.constexpr, COUNT: gl.constexpr, SLABS: gl.constexpr, STAGES: gl.constexpr,
             ROWS: gl.constexpr, HAS_BIAS: gl.constexpr):
    """One warpgroup: 64 channel rows x half of the tile's positions, both planes of each."""
    lay: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, COUNT, 16])
    inverse = inverse_scale(bits_ptr + 1) * 2.0 * inverse_scale(bits_ptr)
    ix = 0
    iw = 0
    for tile in range(gl.program_id(0), TILES, PROGRAMS):
        m1, iw = add_plane(gl.zeros([64, COUNT], gl.float32, lay), ix, iw, xs, xs2, ws, ws2, x_full, x_empty, w_full,
                           w_empty, HALF, C1, C2, PITCH, KH, KW, COUNT, SLABS, STAGES, ROWS)
        m2, iw = add_plane(gl.zeros([64, COUNT], gl.float32, lay), ix + 1, iw, xs, xs2, ws, ws2, x_full, x_empty,
                           w_full, w_empty, HALF, C1, C2, PITCH, KH, KW, COUNT, SLABS, STAGES, ROWS)
        even = m1 + m2
        odd = m1 - m2
        even, iw = add_plane(even, ix + 2, iw, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, HALF, C1, C2, PITCH,
                             KH, KW, COUNT, SLABS, STAGES, ROWS)
        odd, iw = add_plane(odd, ix + 3, iw, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, HALF, C1, C2, PITCH,
                            KH, KW, COUNT, SLABS, STAGES, ROWS)
        ix += 4
        co = tile % CO_TILES * 64 + gl.arange(0, 64, gl.SliceLayout(1, lay))
        f = tile // CO_TILES * BN + HALF * COUNT + gl.arange(0, COUNT, gl.SliceLayout(0, lay))
        n = f // (PAIRS * PLANE)
        d = 2 * (f // PLANE % PAIRS) - PD
        h = f // PITCH % (PLANE // PITCH) - PH
        w = f % PITCH - PW
        inside = (f < LAST) & (h >= 0) & (h < OH) & (w >= 0) & (w < OW)
        at = y_ptr + (co * (OD * OH * OW))[:, None] + (n * (OC * OD * OH * OW) + (d * OH + h) * OW + w)[None, :]
        served = (co < OC)[:, None]
        even = even * inverse
        odd = odd * inverse
        if HAS_BIAS:
            bias = gl.load(b_ptr + co, mask=co < OC, other=0.0)[:, None]
            even += bias
            odd += bias
        gl.store(at, even, mask=served & (inside & (d >= 0) & (d < OD))[None, :])
        gl.store(at + OH * OW, odd, mask=served & (inside & (d + 1 >= 0) & (d + 1 < OD))[None, :])


@gluon.jit
def slab_winograd(xd, xd2, wd, wd2, y_ptr, b_ptr, bits_ptr, FIRST, LENGTH, TILES, PROGRAMS, LAST, C1: gl.constexpr,
                  C2: gl.constexpr, OC: gl.constexpr, OD: gl.constexpr, OH: gl.constexpr, OW: gl.constexpr,
                  PD: gl.constexpr, PH: gl.constexpr, PW: gl.constexpr, PAIRS: gl.constexpr, PLANE: gl.constexpr,
                  PITCH: gl.constexpr, KH: gl.constexpr, KW: gl.constexpr, CO_TILES: gl.constexpr, BN: gl.constexpr,
                  SLABS: gl.constexpr, STAGES: gl.constexpr, ROWS: gl.constexpr, BOX: gl.constexpr,
                  HAS_BIAS: gl.constexpr):
    """Persistent: every SM takes tiles in turn; two warpgroups multiply, one warp copies."""
    COUNT: gl.constexpr = BN // 2
    xs = gl.allocate_shared_memory(xd.dtype, [SLABS * ROWS // 8, 8, C1], gl.NVMMASharedLayout(C1 * 2, 16, 2))
    ws = gl.allocate_shared_memory(xd.dtype, [STAGES * KW, 64, C1], gl.NVMMASharedLayout(C1 * 2, 16, 2))
    xs2 = xs
    ws2 = ws
    if C2 > 0:  # channels beyond the widest row that the swizzle knows
        xs2 = gl.allocate_shared_memory(xd.dtype, [SLABS * ROWS // 8, 8, C2], gl.NVMMASharedLayout(C2 * 2, 16, 2))
        ws2 = gl.allocate_shared_memory(xd.dtype, [STAGES * KW, 64, C2], gl.NVMMASharedLayout(C2 * 2, 16, 2))
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
                    0, C1, C2, OC, OD, OH, OW, PD, PH, PW, PAIRS, PLANE, PITCH, KH, KW, CO_TILES, BN, COUNT, SLABS,
                    STAGES, ROWS, HAS_BIAS)),
        (multiply, (y_ptr, b_ptr, bits_ptr, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, TILES, PROGRAMS, LAST,
                    1, C1, C2, OC, OD, OH, OW, PD, PH, PW, PAIRS, PLANE, PITCH, KH, KW, CO_TILES, BN, COUNT, SLABS,
                    STAGES, ROWS, HAS_BIAS)),
        (produce, (xd, xd2, wd, wd2, xs, xs2, ws, ws2, x_full, x_empty, w_full, w_empty, FIRST, LENGTH, TILES,
                   PROGRAMS, C1, C2, PITCH, KH, KW, CO_TILES, BN, SLABS, STAGES, ROWS, BOX)),
    ], [4, 1], [240, 24])
'''
