"""Run one kernel in Triton's own interpreter, then with the short cuts and the judge's memory; print every bit of both."""

import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton
import triton.language as tl

from evaluators.inside import interpreter_language, interpreter_launches


@triton.jit
def everything(f_ptr, i_ptr, h_ptr, out_ptr, flags_ptr, n, m, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = (at < n) & (at >= 0)
    f = tl.load(f_ptr + at, mask=live, other=-1.5)
    i = tl.load(i_ptr + at, mask=live, other=7)
    scalar = tl.load(f_ptr + 3)
    wide, far = i.to(tl.int64) * 3000000001, (n * 1000003).to(tl.int64)
    reached = tl.load(f_ptr + (at.to(tl.int64) - 5 * far + far * 5), mask=live, other=0.5)
    plane = tl.load(f_ptr + (at[:, None] + 0 * at[None, :]).to(tl.int64), mask=live[:, None] & live[None, :], other=0.25)
    bits = f_ptr.to(tl.pointer_type(tl.float16), bitcast=True) + 1  # every other half of an element
    halves = tl.load(bits + 2 * at, mask=at < n - 1, other=-0.0).to(tl.float32)
    narrow = tl.load(h_ptr + at, mask=live, other=0.5) + tl.load(h_ptr + at, mask=at < 0, other=0.125)
    column = tl.load(f_ptr + at[:, None] + 0 * at[None, :], mask=live[:, None], other=3)
    counted = tl.load(f_ptr + at, mask=live.to(tl.int32), other=float("nan"))
    unsigned = tl.load(i_ptr + at, mask=at < 9, other=2**31)
    lane = tl.arange(0, BLOCK)
    one, beyond = (lane == BLOCK - 1).to(tl.int32), (BLOCK - 1 - lane) * 1000000  # only the last lane is within the tensor
    tl.atomic_add(out_ptr + 39 * n + beyond, f, mask=one)
    results = (
        counted, unsigned.to(tl.float32), halves, narrow.to(tl.float32), tl.sum(column, axis=1), tl.load(tl.where(at % 2 == 0, f_ptr, i_ptr.to(tl.pointer_type(tl.float32), bitcast=True)) + at, mask=live),
        f + 1, 1 - f, f * scalar, f / 3, f - f * f, 2.5 * f, scalar * 2 + f,
        (i // 3).to(tl.float32), (i % m).to(tl.float32), (i // -m).to(tl.float32), (-i).to(tl.float32), (i * i + 5).to(tl.float32),
        (i & 6).to(tl.float32), (i | 1).to(tl.float32), (i ^ m).to(tl.float32), i + f, i / 2, f.to(tl.float16).to(tl.float32) + f,
        tl.where((f > 0) | (i <= 3), f, 0.0), tl.where((f != scalar) & (i != m), 1.0, f), tl.exp(f) + tl.maximum(f, 0.25),
        tl.sum(f[:, None] * (f[None, :] < scalar), axis=1), (f[:, None] + i[None, :].to(tl.float32)).sum(axis=0),
        (wide // 7).to(tl.float32), (wide % far).to(tl.float32), (wide // -far + 3 * wide - far).to(tl.float32), (wide & 1023).to(tl.float32),
        ((wide ^ far) | 12).to(tl.float32), (5 - wide + i).to(tl.float32), tl.where((wide > far) | (wide == 0), reached, f), reached + f,
        tl.sum(plane[:, None, :] * f[None, :, None] * scalar, axis=2).sum(axis=1), tl.sum((wide[None, :] * at[:, None]).to(tl.float32), axis=1),
    )
    for position in tl.static_range(len(results)):
        tl.store(out_ptr + position * n + at, results[position], mask=live)
    tl.store(flags_ptr + at, (i % 2 == 0) == (f >= 0), mask=live)


def run():
    generator = torch.Generator().manual_seed(1)
    n = 50
    f = torch.randn(n, generator=generator)
    i = torch.randint(-40, 40, (n,), generator=generator, dtype=torch.int32)
    out, flags = torch.full((40, n), -7.0), torch.zeros(n, dtype=torch.bool)
    everything[(4,)](f, i, f.half(), out, flags, n, 5, BLOCK=16)
    return out.view(torch.int32).tolist(), flags.tolist()


print(run())
interpreter_language.install()
interpreter_launches.install(interpreter_launches.Recorder(beat=print))
print(run())
