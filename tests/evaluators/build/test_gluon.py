"""Gluon kernels and host-side TMA descriptors are captured and compiled like any other launch."""

import pytest

from evaluators.rungs import Findings, Task, estimate

GLUON = """
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor


@gluon.jit
def copy_in(source, tiles, full, empty, STEPS: gl.constexpr):
    for i in range(STEPS):
        mbarrier.wait(empty, (i & 1) ^ 1)
        mbarrier.expect(full, 64 * 64 * 4)
        tma.async_copy_global_to_shared(source, [(gl.program_id(0) * STEPS + i) * 64, 0], full, tiles)


@gluon.jit
def scale_out(s_ptr, y_ptr, tiles, full, empty, STEPS: gl.constexpr, WIDTH: gl.constexpr):
    layout: gl.constexpr = gl.BlockedLayout([1, 4], [2, 16], [4, 1], [1, 0])
    rows = gl.arange(0, 64, gl.SliceLayout(1, layout))
    columns = gl.arange(0, 64, gl.SliceLayout(0, layout))
    for i in range(STEPS):
        mbarrier.wait(full, i & 1)
        tile = tiles.load(layout)
        mbarrier.arrive(empty)
        at = ((gl.program_id(0) * STEPS + i) * 64 + rows)[:, None] * WIDTH + columns[None, :]
        gl.store(y_ptr + at, tile * gl.load(s_ptr + columns)[None, :])


@gluon.jit
def scaled(source, s_ptr, y_ptr, STEPS: gl.constexpr, WIDTH: gl.constexpr, SHARED: gl.constexpr):
    tiles = gl.allocate_shared_memory(gl.float32, [64, 64], SHARED)
    full = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    mbarrier.init(full, count=1)
    mbarrier.init(empty, count=1)
    gl.warp_specialize([
        (scale_out, (s_ptr, y_ptr, tiles, full, empty, STEPS, WIDTH)),
        (copy_in, (source, tiles, full, empty, STEPS)),
    ], [1], [24])
"""
LAUNCH = """
y = torch.empty_like(x)
layout = gl.NVMMASharedLayout.get_default_for([64, 64], gl.float32)
source = TensorDescriptor(x, list(x.shape), [x.shape[1], 1], [64, 64], layout)
scaled[(32,)](source, self.scale, y, STEPS=2, WIDTH=x.shape[1], SHARED=layout, num_warps=4)
return y
"""
DESCRIBED = """
from triton.tools.tensor_descriptor import TensorDescriptor

@triton.jit
def scaled(source, s_ptr, target, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK
    scale = tl.load(s_ptr + tl.arange(0, BLOCK))
    target.store([at, 0], source.load([at, 0]) * scale[None, :])
"""
DESCRIBE = """
y = torch.empty_like(x)
source, target = (TensorDescriptor.from_tensor(t, [64, 64]) for t in (x, y))
scaled[(x.shape[0] // 64,)](source, self.scale, target, BLOCK=64)
return y
"""


def test_a_warp_specialised_gluon_kernel_is_compiled_for_the_target(build, candidate):
    found = build(candidate(kernel=GLUON, forward=LAUNCH), gpu="h200")
    assert (found.failure, found.unverified) == (None, "")
    (kernel,) = found.kernels
    assert kernel.grid == (32, 1, 1)
    assert kernel.num_warps == 8  # four that store, one that copies, rounded up to whole warpgroups
    assert 16 <= kernel.registers <= 255 and kernel.spills == 0
    assert 64 * 64 * 4 < kernel.shared_memory_bytes < 64 * 64 * 4 + 2048
    assert kernel.theoretical_occupancy_pct > 0 and kernel.sass_mix_pct
    assert found.launches[0].pointer_bytes["source"] == 4096 * 1024 * 4
    assert found.launches[0].cubin.startswith(b"\x7fELF")


def test_nobody_counts_the_work_of_a_gluon_kernel(build, candidate):
    found = build(candidate(kernel=GLUON, forward=LAUNCH), gpu="h200")
    task = Task(None, None, None, None, None, found=Findings(launches=found.launches))
    (check,) = estimate.check(task).checks
    assert check.status == "not_checked" and "no Triton IR of scaled (Gluon" in check.detail


def test_a_gluon_kernel_that_another_architecture_lacks_the_parts_for_ends_there(build, candidate):
    found = build(candidate(kernel=GLUON, forward=LAUNCH), gpu="4090")
    assert found.failure.kind == "crashed"  # LLVM ends the process
    assert "compiling scaled" in found.failure.message and "setmaxnreg" in found.failure.message


@pytest.mark.parametrize("gpu", ["h200", "4090"])
def test_a_triton_kernel_may_take_host_descriptors(build, candidate, gpu):
    found = build(candidate(kernel=DESCRIBED, forward=DESCRIBE), gpu=gpu)
    assert found.failure is None
    (kernel,) = found.kernels
    assert kernel.grid == (64, 1, 1) and kernel.registers > 0
    assert found.launches[0].pointer_bytes["source"] == 4096 * 1024 * 4
    assert "tt.func" in found.launches[0].ttir
