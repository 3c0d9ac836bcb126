"""slab_winograd POSITIONS=256 SLABS=3 STAGES=5: a slab whose rows are sums of neighbouring planes: two output planes from four products instead of six."""

import math

import torch
import torch.nn as nn
import triton
import triton.language as tl
from functools import lru_cache

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared, mbarrier, tma, warpgroup_mma, warpgroup_mma_wait)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

in_channels = 32
out_channels = 64
kernel_size = (3, 5, 5)

POSITIONS = 256
SLABS = 3
STAGES = 5


@triton.jit
def place_of(pid, ROWS, COLS, GROUP_M: tl.constexpr):
    """Program order: GROUP_M pixel tiles visit every column (channel tile, phase) in turn; 0: pixels fastest."""
    if GROUP_M == 0:
        row = pid % ROWS
        col = pid // ROWS
    elif GROUP_M == 1:
        row = pid // COLS
        col = pid % COLS
    else:
        first = pid // (GROUP_M * COLS) * GROUP_M
        size = tl.minimum(ROWS - first, GROUP_M)
        row = first + pid % (GROUP_M * COLS) % size
        col = pid % (GROUP_M * COLS) // size
    return row, col


@triton.jit
def place(ROWS, COLS, GROUP_M: tl.constexpr):
    return place_of(tl.program_id(0), ROWS, COLS, GROUP_M)


LAUNCHED = {}  # what Triton compiled for a call, and the compile-time values it was compiled with


def layer_of(m):
    """What sizes follow from, beside those of the tensors."""
    return m.kernel_size, m.stride, m.padding, m.dilation, m.groups


def call_of(x, w, bias, y, m):
    """Everything that Triton's choice of a kernel follows from: the geometry, types, the device, alignments."""
    aligned = x.data_ptr() % 16, w.data_ptr() % 16, 0 if bias is None else bias.data_ptr() % 16
    return (x.shape, y.shape, layer_of(m), x.dtype, bias is not None), x.device, aligned


def launched(kernel, call, grid, tensors, sizes, flags):
    """Launch a kernel. Triton looks at every argument of a launch for longer than a small kernel runs; what it compiled
    for an equal call is launched as it is."""
    known = LAUNCHED.get((kernel.__name__, call))
    if known is not None:
        known[0][(*grid, 1, 1)](*tensors, *sizes, *known[1])
        return
    compiled = kernel[grid](*tensors, *sizes, **flags)
    if compiled is not None:  # an interpreter compiles nothing
        if len(LAUNCHED) >= 256:
            LAUNCHED.clear()
        names = kernel.arg_names[len(tensors) + len(sizes):]
        LAUNCHED[kernel.__name__, call] = compiled, tuple(flags[name] for name in names)


BLOCK_M, BLOCK_N, GROUP_M, NUM_WARPS = 256, 8, 1, 4  # of the direct kernel, for geometries the slab does not serve
SHARED = 232448  # bytes of shared memory that one block of sm_90 may use


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


def launch_direct(x, w, bias, y, m):
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


@triton.jit
def half_exponent(bits_ptr):
    """The scale's exponent: 8 while the largest magnitude is in [2**-5, 2**7), else it is brought to 2**14."""
    e = ((tl.load(bits_ptr) >> 23) & 255) - 127
    return tl.where((e >= -5) & (e <= 6), 8, tl.minimum(tl.maximum(14 - e, -120), 120))


@triton.jit
def power_of_two(e):
    return ((e + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def finite_magnitude(v):
    size = tl.abs(v)
    return tl.where(size < float("inf"), size, 0.0)


@gluon.jit
def inverse_scale(bits_ptr):
    """What undoes the scale of half_exponent."""
    e = ((gl.load(bits_ptr) >> 23) & 255) - 127
    e = gl.where((e >= -5) & (e <= 6), 8, gl.minimum(gl.maximum(14 - e, -120), 120))
    return ((127 - e) << 23).to(gl.float32, bitcast=True)


@triton.jit
def clear_pads(xp_ptr, block, FIRST, ROWS, ID: tl.constexpr, IH: tl.constexpr, IW: tl.constexpr, HEIGHT: tl.constexpr,
               WIDTH: tl.constexpr, SPAN: tl.constexpr, ROW: tl.constexpr):
    """Zeros in 512 rows wherever they hold no pixel; the pads between rows, planes and batch items are shared."""
    r = block * 512 + tl.arange(0, 512)
    f = (r - FIRST) % SPAN
    outside = (r < FIRST) | (f // (HEIGHT * WIDTH) >= ID) | (f // WIDTH % HEIGHT >= IH) | (f % WIDTH >= IW)
    for c0 in tl.static_range(0, ROW, 16):
        at = xp_ptr + r[:, None] * ROW + c0 + tl.arange(0, 16)[None, :]
        tl.store(at, tl.zeros((512, 16), xp_ptr.dtype.element_ty), mask=(outside & (r < ROWS))[:, None])


def channel_chunks(channels):
    """Channels of an input row in one or two chunks, each as wide as a swizzle: 16, 32 or 64 (tf32: at most 32)."""
    widest = 64
    channels = triton.cdiv(channels, 16) * 16
    first = min(widest, 1 << channels.bit_length() - 1)
    return first, triton.next_power_of_2(channels - first) if channels > first else 0


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
        tl.atomic_max(bits_ptr, top.to(tl.int32, bitcast=True), sem="relaxed")
    elif pid < BLOCKS + 4 * PADS:
        pad = pid - BLOCKS
        clear_pads(xp_ptr + tl.cast(pad // PADS, tl.int64) * LENGTH * CHANNELS, pad % PADS, FIRST, LENGTH, PAIRS, IH,
                   IW, HEIGHT, WIDTH, PAIRS * HEIGHT * WIDTH, CHANNELS)
    else:
        at = (pid - BLOCKS - 4 * PADS) * 4096 + tl.arange(0, 4096)
        top = tl.max(finite_magnitude(tl.load(w_ptr + at, mask=at < WEIGHTS, other=0.0)))
        tl.atomic_max(bits_ptr + 1, top.to(tl.int32, bitcast=True), sem="relaxed")


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
    u = u * power_of_two(half_exponent(bits_ptr + 1))
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
        exponent = half_exponent(bits_ptr)
        if exponent != 8:
            for block in range(pid - ALL_TAPS, BLOCKS, MENDERS):
                pack_pairs(x_ptr, xp_ptr, block, power_of_two(exponent - 1), FIRST, LENGTH, IC, ID, IH * IW, IW, PAIRS,
                           HEIGHT, WIDTH, CHANNELS, BLOCK)


@gluon.jit
def row_view(buffer, row, ROWS: gl.constexpr, CHANNELS: gl.constexpr, COUNT: gl.constexpr, BITS: gl.constexpr):
    """COUNT rows of a slab from any row on: the swizzle follows the address, so moving the base is all it takes."""
    flat = buffer._reinterpret(buffer.dtype, [ROWS, 1, CHANNELS], gl.SwizzledSharedLayout(1, 1, 1, [1, 0]))
    return flat.index(row)._reinterpret(
        buffer.dtype, [COUNT, CHANNELS], gl.NVMMASharedLayout(CHANNELS * BITS // 8, BITS, 2))


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
    inverse = inverse_scale(bits_ptr) * 2.0 * inverse_scale(bits_ptr + 1)
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


@lru_cache(maxsize=64)
def launches(x_shape, y_shape, layer, kind, has_bias, device):
    """Sizes, grids and compile-time values of the three launches of a call; None where the family does not apply."""
    kernel, stride, padding, dilation, groups = layer
    (ID, IH, IW), (OD, OH, OW) = lead(x_shape[2:], 1), lead(y_shape[2:], 1)
    (KD, KH, KW), (PD, PH, PW) = lead(kernel, 1), lead(padding, 0)
    if groups != 1 or {*stride, *dilation} != {1} or KD != 3 or PD >= KD or PH >= KH or PW >= KW:
        return None
    if kind != torch.float32 or torch.cuda.get_device_capability(device)[0] != 9:
        return None
    pairs, height, pitch = triton.cdiv(ID + 2, 2), IH + KH - 1 - PH, IW + KW - 1 - PW
    rows = POSITIONS + (KH - 1) * pitch + KW - 1
    box = next(b for b in (256, 128, 64, 32, 16, 8) if -rows % b <= (48 if b >= 32 else 8))
    rows = triton.cdiv(rows, box) * box
    C1, C2 = channel_chunks(x_shape[1])
    channels, positions = C1 + C2, x_shape[0] * pairs * height * pitch
    first = triton.cdiv((KH - 1) * pitch + KW - 1, 8) * 8
    length = triton.cdiv(first + positions, 8) * 8
    shared = (SLABS * rows + STAGES * KW * 64) * channels * 2 + 1024
    largest = max(math.prod(x_shape), math.prod(y_shape), 4 * length * channels)
    if C2 > C1 or shared > SHARED or largest >= 2**31 - 2**20:
        return None
    co_tiles, taps = triton.cdiv(y_shape[1], 64), KH * KW
    all_taps, weights = co_tiles * 4 * taps, x_shape[1] * y_shape[1] * 3 * taps
    blocks, pads = x_shape[0] * pairs * triton.cdiv(IH * IW, 128), triton.cdiv(length, 512)
    menders, tiles = min(blocks, 1024), triton.cdiv(positions, POSITIONS) * co_tiles
    programs = min(tiles, torch.cuda.get_device_properties(device).multi_processor_count)
    pack = dict(IC=x_shape[1], ID=ID, IH=IH, IW=IW, PAIRS=pairs, HEIGHT=height, WIDTH=pitch, CHANNELS=channels,
                BLOCK=128, num_warps=4)
    sizes = dict(C1=C1, C2=C2, OC=y_shape[1], OD=OD, OH=OH, OW=OW, PD=PD, PH=PH, PW=PW, PAIRS=pairs,
                 PLANE=height * pitch, PITCH=pitch, KH=KH, KW=KW, CO_TILES=co_tiles, BN=POSITIONS, SLABS=SLABS,
                 STAGES=STAGES, ROWS=rows, BOX=box, HAS_BIAS=has_bias, num_warps=4)
    return dict(
        pack=pack, weigh=dict(pack, OC=y_shape[1], TAPS=taps, PADDED=triton.next_power_of_2(channels)), sizes=sizes,
        x_packed=(4 * length, channels), w_packed=(all_taps * 64, channels),
        pack_grid=(blocks + 4 * pads + triton.cdiv(weights, 4096),), pack_sizes=(blocks, pads, first, length, weights),
        weigh_grid=(all_taps + menders,), weigh_sizes=(all_taps, blocks, menders, first, length),
        grid=(programs,), arguments=(first, length, tiles, programs, positions))


def described(rows, box, channels):
    """`rows` of which TMA copies boxes of `channels`."""
    layout = gl.NVMMASharedLayout(channels * 2, 16, 2)
    return TensorDescriptor(rows, list(rows.shape), [rows.shape[1], 1], [box, channels], layout)


def launch(x, w, bias, y, m):
    """Pack, then one persistent launch; geometries that do not fit go to the direct kernel."""
    call = call_of(x, w, bias, y, m)
    v = launches(*call[0], x.device)
    if v is None:
        launch_direct(x, w, bias, y, m)
        return
    xp = torch.empty(v["x_packed"], device=x.device, dtype=torch.float16)
    wp = torch.empty(v["w_packed"], device=x.device, dtype=torch.float16)
    bits = torch.zeros(2, device=x.device, dtype=torch.int32)
    launched(pack_input, call, v["pack_grid"], (x, w, xp, bits), v["pack_sizes"], v["pack"])
    launched(pack_weights, call, v["weigh_grid"], (x, w, xp, wp, bits), v["weigh_sizes"], v["weigh"])
    z = v["sizes"]
    xd, wd = described(xp, z["BOX"], z["C1"]), described(wp, 64, z["C1"])
    xd2, wd2 = (described(xp, z["BOX"], z["C2"]), described(wp, 64, z["C2"])) if z["C2"] else (xd, wd)
    tensors = xd, xd2, wd, wd2, y, w if bias is None else bias, bits
    launched(slab_winograd, call, v["grid"], tensors, v["arguments"], z)


def lead(values, fill):
    """(depth, height, width) from one, two or three values."""
    return (fill,) * (3 - len(values)) + tuple(values)


def conv_transpose(x, m):
    """The transposed convolution `m` of x, for every legal argument of `m`."""
    rank = len(m.kernel_size)
    if x.dim() not in (rank + 1, rank + 2) or x.shape[-rank - 1] != m.in_channels:
        raise ValueError(f"expected (N, {m.in_channels}, ...) with {rank} spatial dimensions, got {tuple(x.shape)}")
    if x.dtype != m.weight.dtype or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"expected fp32, fp16 or bf16 and one type throughout, got {x.dtype} and {m.weight.dtype}")
    if 0 in x.shape[-rank:]:
        raise ValueError(f"no positions in an input of {tuple(x.shape)}")
    batched = x if x.dim() == rank + 2 else x.unsqueeze(0)
    size = [(i - 1) * s - 2 * p + d * (k - 1) + q + 1 for i, s, p, d, k, q in zip(
        batched.shape[2:], m.stride, m.padding, m.dilation, m.kernel_size, m.output_padding)]
    if max(math.prod(size), math.prod(x.shape[-rank:]), m.weight.numel()) >= 2**31:
        raise ValueError("more than 2**31 - 1 positions in one channel, or as many weights: offsets there are 32-bit")
    y = torch.empty((batched.shape[0], m.out_channels, *size), device=x.device, dtype=x.dtype)
    if y.numel():
        launch(batched.contiguous(), m.weight.contiguous(), m.bias, y, m)
    return y if x.dim() == rank + 2 else y.squeeze(0)


class ModelNew(nn.Module):
    """The reference's parameters under their own names, computed by the kernels above."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
        padding: tuple[int, int, int] = (0, 0, 0),
        output_padding: tuple[int, int, int] = (0, 0, 0),
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
        )

    def forward(self, x):
        return conv_transpose(x, self.conv_transpose3d)
