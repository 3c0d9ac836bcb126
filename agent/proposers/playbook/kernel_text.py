"""Pieces of Triton and Python text that several kernel families share. Text only: nothing here is imported by a kernel.

Conventions of the emitted code: sizes and hyperparameters are ordered (depth, height, width), a problem of fewer
dimensions gets leading ones; o* are outputs, i* inputs; a tap is one kernel position. Offsets of a batch item or a
channel block are 64-bit scalars, offsets inside a tile are 32-bit unless WIDE.

Limits: transposed convolution without an activation. Every family adds its own kernels and `launch`.
"""

IMPORTS = """\
import math

import torch
import torch.nn as nn
import triton
import triton.language as tl
"""

# Tensor cores truncate fp32 operands to TF32: on an H100 (68's workload) the error against float64 was 7.3e-4,
# rounded first 3.0e-4, cuDNN's own 3.0e-4. Rounding inside the loop doubled the time (112 ms against 51 ms), so it
# is done beforehand.
ROUND_TF32 = '''
@triton.jit
def round_tf32(v):
    """Round fp32 to the nearest TF32 value: tensor cores only truncate. NaN stays NaN."""
    bits = (v.to(tl.int32, bitcast=True) + 0x1000) & -8192
    return tl.where(v == v, bits.to(tl.float32, bitcast=True), v)
'''

ROUND_INPUT = '''
@triton.jit
def round_input(x_ptr, r_ptr, TOTAL, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(r_ptr + at, round_tf32(tl.load(x_ptr + at, mask=at < TOTAL, other=0.0)), mask=at < TOTAL)


def rounded_input(x):
    """x with every value rounded to TF32, so that the products lose no more than they must."""
    r = torch.empty_like(x)
    round_input[(triton.cdiv(x.numel(), 4096),)](x, r, x.numel(), BLOCK=4096, num_warps=8)
    return r
'''

PLACE = '''
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
'''

FIRST_TAP = '''
@triton.jit
def first_tap(phase, K: tl.constexpr, S: tl.constexpr, D: tl.constexpr):
    """Smallest tap k with k * D congruent to phase modulo the stride S; K where no tap reaches this phase."""
    first = phase * 0
    if S > 1:
        first += K
        for i in tl.static_range(S):
            first = tl.where((S - 1 - i) * D % S == phase, min(S - 1 - i, K), first)
    return first
'''

PACK_WEIGHTS = '''
@triton.jit
def pack_weights(w_ptr, wp_ptr, ICG, OCG, OCP, TAPS, CHANNELS: tl.constexpr, ROUND: tl.constexpr, BLOCK_O: tl.constexpr,
                 BLOCK_C: tl.constexpr):
    """[in channel, out channel, tap] -> [group, tap, out channel, in channel], zero-padded to whole tiles."""
    tap = tl.program_id(0) % TAPS
    g = tl.program_id(0) // TAPS
    o = tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    source = w_ptr + tap + g.to(tl.int64) * ICG * OCG * TAPS
    target = wp_ptr + (g * TAPS + tap).to(tl.int64) * OCP * CHANNELS
    for c0 in range(0, CHANNELS, BLOCK_C):
        c = c0 + tl.arange(0, BLOCK_C)
        live = (c < ICG)[None, :] & (o < OCG)[:, None]
        v = tl.load(source + (c[None, :] * OCG + o[:, None]) * TAPS, mask=live, other=0.0)
        if ROUND:
            v = round_tf32(v)
        tl.store(target + o[:, None] * CHANNELS + c[None, :], v, mask=(c < CHANNELS)[None, :] & (o < OCP)[:, None])


def packed_weights(w, groups, OCP, CHANNELS, ROUND):
    """The weights of this call, repacked: never cached, so they follow every change of the parameter."""
    ICG, OCG, TAPS = w.shape[0] // groups, w.shape[1], w[0, 0].numel()
    wp = torch.empty((groups, TAPS, OCP, CHANNELS), device=w.device, dtype=w.dtype)
    pack_weights[(groups * TAPS, triton.cdiv(OCP, 16))](
        w, wp, ICG, OCG, OCP, TAPS, CHANNELS=CHANNELS, ROUND=ROUND, BLOCK_O=16, BLOCK_C=16, num_warps=1)
    return wp
'''

# fp16 has the 10-bit mantissa of TF32: with a common power-of-two scale the error of a sum is that of TF32 (2.8e-4
# against 2.9e-4 measured on an H200), at half the bytes and twice the tensor rate. Inf and NaN stay out of the scale.
HALF_SCALE = '''
@triton.jit
def largest_finite(v_ptr, bits_ptr, TOTAL, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    """Bit pattern of the largest finite magnitude; patterns of positive floats compare like the floats."""
    at = tl.program_id(0).to(tl.int64) * (BLOCK * ROUNDS) + tl.arange(0, BLOCK)
    top = tl.zeros((BLOCK,), tl.float32)
    for i in range(ROUNDS):
        v = tl.abs(tl.load(v_ptr + at + i * BLOCK, mask=at + i * BLOCK < TOTAL, other=0.0))
        top = tl.maximum(top, tl.where(v < float("inf"), v, 0.0))
    tl.atomic_max(bits_ptr, tl.max(top, axis=0).to(tl.int32, bitcast=True))


@triton.jit
def half_exponent(bits_ptr):
    """The scale's exponent: 8 while the largest magnitude is in [2**-5, 2**7), else it is brought to 2**14."""
    e = ((tl.load(bits_ptr) >> 23) & 255) - 127
    return tl.where((e >= -5) & (e <= 6), 8, tl.minimum(tl.maximum(14 - e, -120), 120))


@triton.jit
def power_of_two(e):
    return ((e + 127) << 23).to(tl.float32, bitcast=True)


def magnitude_bits(v):
    bits = torch.zeros(1, device=v.device, dtype=torch.int32)
    largest_finite[(triton.cdiv(v.numel(), 16384),)](v, bits, v.numel(), ROUNDS=8, BLOCK=2048, num_warps=8)
    return bits
'''

PACK_SCALED_WEIGHTS = (
    PACK_WEIGHTS.replace("wp_ptr, ICG", "wp_ptr, bits_ptr, ICG")
    .replace("ROUND: tl.constexpr, BLOCK_O: tl.constexpr,", "ROUND: tl.constexpr, SCALE: tl.constexpr,")
    .replace(
        "                 BLOCK_C: tl.constexpr):", "                 BLOCK_O: tl.constexpr, BLOCK_C: tl.constexpr):"
    )
    .replace(
        "            v = round_tf32(v)\n",
        "            v = round_tf32(v)\n        if SCALE:\n            v = v * power_of_two(half_exponent(bits_ptr))\n",
    )
    .replace("CHANNELS, ROUND):", "CHANNELS, ROUND, bits=None):")
    .replace("dtype=w.dtype)", "dtype=w.dtype if bits is None else torch.float16)")
    .replace("w, wp, ICG", "w, wp, w if bits is None else bits, ICG")
    .replace("ROUND=ROUND, BLOCK_O=16", "ROUND=ROUND, SCALE=bits is not None, BLOCK_O=16")
)

WRAPPER = '''
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
    batched = x if x.dim() == rank + 2 else x.unsqueeze(0)
    size = [(i - 1) * s - 2 * p + d * (k - 1) + q + 1 for i, s, p, d, k, q in zip(
        batched.shape[2:], m.stride, m.padding, m.dilation, m.kernel_size, m.output_padding)]
    if max(math.prod(size), batched[0, 0].numel()) >= 2**31:
        raise ValueError("more than 2**31 - 1 positions in one channel")
    y = torch.empty((batched.shape[0], m.out_channels, *size), device=x.device, dtype=x.dtype)
    if y.numel():
        launch(batched.contiguous(), m.weight.contiguous(), m.bias, y, m)
    return y if x.dim() == rank + 2 else y.squeeze(0)
'''
