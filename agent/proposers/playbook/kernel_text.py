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

# Without the factor low parts of values below 2**-13 of the largest are subnormal: an element a million times larger
# put the rest of a plane off by 1e-5 in the interpreter.
LOW_PART = '''
@triton.jit
def low_part(v, high):
    """What fp16 left of v, times 2**11: about as large as `high`, so that small values are split as exactly."""
    return ((v - high.to(tl.float32)) * 2048.0).to(tl.float16)
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

LAUNCH = '''
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
'''

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
'''
