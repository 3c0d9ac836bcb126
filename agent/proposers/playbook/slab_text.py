"""Pieces of kernel text that the Hopper families share: Gluon's imports, slabs in shared memory, packing, scales.

Conventions beside those of kernel_text.py: a position is PIXELS output pixels along the width; SPAN, PLANE, PITCH are
positions of a batch item, a plane, a row, zero pads included. A row of the packed input holds the channels of a
position.

Limits: stride 1, dilation 1, one group, fp32 in and out, sm_90. Text only.
"""

GLUON_IMPORTS = """\
from functools import lru_cache

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared, mbarrier, tma, warpgroup_mma, warpgroup_mma_wait)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor
"""

# What the direct kernel, which serves all other geometries, needs.
ELSEWHERE = """
BLOCK_M, BLOCK_N, GROUP_M, NUM_WARPS = 256, 8, 1, 4  # of the direct kernel, for geometries the slab does not serve
SHARED = 232448  # bytes of shared memory that one block of sm_90 may use
"""

# fp16 has the 10-bit mantissa of TF32: with a common power-of-two scale the error of a sum is that of TF32 (2.8e-4
# against 2.9e-4 measured on an H200). Inf and NaN stay out of the scale.
SCALE = '''
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
'''

CHUNKS = '''
def channel_chunks(channels):
    """Channels of an input row in one or two chunks, each as wide as a swizzle: 16, 32 or 64 (tf32: at most 32)."""
    widest = 32 if PRECISION == "tf32" else 64
    channels = triton.cdiv(channels, 16) * 16
    first = min(widest, 1 << channels.bit_length() - 1)
    return first, triton.next_power_of_2(channels - first) if channels > first else 0
'''

ROW_VIEW = '''
@gluon.jit
def row_view(buffer, row, ROWS: gl.constexpr, CHANNELS: gl.constexpr, COUNT: gl.constexpr, BITS: gl.constexpr):
    """COUNT rows of a slab from any row on: the swizzle follows the address, so moving the base is all it takes."""
    flat = buffer._reinterpret(buffer.dtype, [ROWS, 1, CHANNELS], gl.SwizzledSharedLayout(1, 1, 1, [1, 0]))
    return flat.index(row)._reinterpret(
        buffer.dtype, [COUNT, CHANNELS], gl.NVMMASharedLayout(CHANNELS * BITS // 8, BITS, 2))
'''

PACK_BLOCK = '''
@triton.jit
def pack_block(x_ptr, xp_ptr, block, factor, FIRST, IC: tl.constexpr, ID: tl.constexpr, IH: tl.constexpr,
               IW: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, SPAN: tl.constexpr,
               CHANNELS: tl.constexpr, PRECISION: tl.constexpr, BLOCK: tl.constexpr):
    """One block of pixels of one batch item as rows of channels; returns the largest finite magnitude."""
    S: tl.constexpr = ID * IH * IW
    BLOCKS: tl.constexpr = (S + BLOCK - 1) // BLOCK
    COPIES: tl.constexpr = 2 if PRECISION == "split" else 1
    STEP: tl.constexpr = 32 if CHANNELS % 32 == 0 else 16
    n = block // BLOCKS
    s = block % BLOCKS * BLOCK + tl.arange(0, BLOCK)
    row = FIRST + n * SPAN + (s // (IH * IW) * HEIGHT + s // IW % IH) * WIDTH + s % IW
    top = 0.0
    for c0 in tl.static_range(0, CHANNELS, STEP):
        c = c0 + tl.arange(0, STEP)
        source = x_ptr + (n * IC + c)[:, None] * S + s[None, :]
        target = xp_ptr + row[:, None] * (COPIES * CHANNELS) + c[None, :]
        if S % BLOCK == 0 and IC == CHANNELS:
            v = tl.load(source)
        else:
            v = tl.load(source, mask=(c < IC)[:, None] & (s < S)[None, :], other=0.0)
        if PRECISION == "tf32":
            tl.store(target, tl.trans(round_tf32(v)), mask=(s < S)[:, None])
        else:
            top = tl.maximum(top, tl.max(finite_magnitude(v)))
            high = (v * factor).to(tl.float16)
            tl.store(target, tl.trans(high), mask=(s < S)[:, None])
            if PRECISION == "split":
                tl.store(target + CHANNELS, tl.trans(low_part(v * factor, high)), mask=(s < S)[:, None])
    return top
'''

CLEAR_PADS = '''
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
'''

PACK_INPUT = '''
@triton.jit
def pack_input(x_ptr, w_ptr, xp_ptr, bits_ptr, BLOCKS, PADS, FIRST, ROWS, WEIGHTS, IC: tl.constexpr, ID: tl.constexpr,
               IH: tl.constexpr, IW: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, SPAN: tl.constexpr,
               CHANNELS: tl.constexpr, PRECISION: tl.constexpr, BLOCK: tl.constexpr):
    """The packed input with the scales guessed as 2**8, its zero pads, and the ranges: of the weights, of each item."""
    pid = tl.program_id(0)
    if pid < BLOCKS:
        top = pack_block(x_ptr, xp_ptr, pid, 256.0, FIRST, IC, ID, IH, IW, HEIGHT, WIDTH, SPAN, CHANNELS, PRECISION,
                         BLOCK)
        if PRECISION != "tf32":
            item = pid // tl.cdiv(ID * IH * IW, BLOCK)
            tl.atomic_max(bits_ptr + 1 + item, top.to(tl.int32, bitcast=True), sem="relaxed")
    elif pid < BLOCKS + PADS:
        clear_pads(xp_ptr, pid - BLOCKS, FIRST, ROWS, ID, IH, IW, HEIGHT, WIDTH, SPAN,
                   CHANNELS * 2 if PRECISION == "split" else CHANNELS)
    else:
        at = (pid - BLOCKS - PADS) * 4096 + tl.arange(0, 4096)
        top = tl.max(finite_magnitude(tl.load(w_ptr + at, mask=at < WEIGHTS, other=0.0)))
        tl.atomic_max(bits_ptr, top.to(tl.int32, bitcast=True), sem="relaxed")


@triton.jit
def pack_weights(x_ptr, w_ptr, xp_ptr, wp_ptr, bits_ptr, TAPS, BLOCKS, MENDERS, FIRST, IC: tl.constexpr,
                 ID: tl.constexpr, IH: tl.constexpr, IW: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
                 SPAN: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr, BLOCK: tl.constexpr,
                 OC: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, PIXELS: tl.constexpr,
                 SHIFTS: tl.constexpr, PADDED: tl.constexpr):
    """The weights of this call as rows of channels; batch items whose scale was guessed wrong are packed again."""
    pid = tl.program_id(0)
    if pid < TAPS:
        pack_tap(w_ptr, wp_ptr, bits_ptr, pid, IC, CHANNELS, PRECISION, OC, KD, KH, KW, PIXELS, SHIFTS, PADDED)
    else:
        for block in range(pid - TAPS, BLOCKS, MENDERS):
            exponent = half_exponent(bits_ptr + 1 + block // tl.cdiv(ID * IH * IW, BLOCK))
            if exponent != 8:
                pack_block(x_ptr, xp_ptr, block, power_of_two(exponent), FIRST, IC, ID, IH, IW, HEIGHT, WIDTH, SPAN,
                           CHANNELS, PRECISION, BLOCK)
'''
