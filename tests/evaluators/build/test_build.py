"""Honest candidates compile for the target with the resources their cubins declare."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.compiled import listings
from evaluators.gpu_catalog import load_gpu
from evaluators.rungs.estimate import estimate_of

CANDIDATES = Path(__file__).parents[1] / "data" / "candidates"


SHORT = ("autotuned", "permuted_channels_last")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.slow])
        for path in sorted(CANDIDATES.glob("*.py"))
    ],
)
def test_honest_candidates_compile_at_full_size(build, convt3d, path):
    found = build(path.read_text(), problem=convt3d)
    assert (found.failure, found.unverified) == (None, "")
    assert [check.status for check in found.checks] == ["passed"]
    for kernel, launch in zip(found.kernels, found.launches, strict=True):
        assert 16 <= kernel.registers <= 255
        assert 0 < kernel.theoretical_occupancy_pct <= 100
        assert kernel.sass_mix_pct and sum(kernel.sass_mix_pct.values()) == pytest.approx(100, abs=1)
        assert launch.cubin.startswith(b"\x7fELF") and "tt.func" in launch.ttir
    for kernel in found.kernels:
        assert f"// function {kernel.name}: " in found.listings["kernel.sass"]
        assert f".entry {kernel.name}(" in found.listings["kernel.ptx"]
    assert ".target sm_89" in found.listings["kernel.ptx"]
    assert re.search(r"^/\*0000\*/ +\S.*;$", found.listings["kernel.sass"], re.MULTILINE)
    assert "/* 0x" not in found.listings["kernel.sass"], "the encoding says nothing to a reader"
    assert found.environment["target"] == "sm_89"
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.environment["triton"])
    assert "ptxas" in found.environment["ptxas"]


def test_a_listing_is_cut_and_says_so(build, convt3d, monkeypatch):
    monkeypatch.setattr(listings, "MAX_CHARS", 500)
    found = build((CANDIDATES / "autotuned.py").read_text(), problem=convt3d)
    for text in listings.listings_of(found.launches, "sm_89").values():
        assert len(text) < 600 and text.rstrip().endswith("more letters left out")
    broken = replace(found.launches[0], cubin=b"no binary", ptx="")
    (name, text), *rest = listings.listings_of([broken], "sm_89").items()
    assert name == "kernel.sass" and "cannot disassemble" in text and not rest


def test_every_autotune_configuration_is_compiled_and_only_one_is_counted(build, convt3d):
    found = build((CANDIDATES / "autotuned.py").read_text(), problem=convt3d)
    assert [kernel.config["BLOCK"] for kernel in found.kernels] == ["1024", "512", "256", "128"]
    assert {launch.tuned_group for launch in found.launches} == {0}
    each = [estimate_of([launch], load_gpu("4090")).value_ms for launch in found.launches]
    assert found.estimate.value_ms == min(each) < max(each)


def test_a_spilling_kernel_says_how_much(build, convt3d):
    found = build((CANDIDATES / "implicit_gemm_dot.py").read_text(), problem=convt3d)
    assert found.kernels[0].registers == 255
    assert found.kernels[0].spills > 0
    assert f"{found.kernels[0].spills} bytes spilled" in found.build_log


@pytest.mark.parametrize("gpu", ["t4", "h100", "5090"])
def test_other_targets_compile_too(build, candidate, gpu):
    found = build(candidate(), gpu=gpu)
    assert found.failure is None
    assert found.environment["target"].startswith("sm_")
    assert found.estimate.value_ms > 0


def test_the_branch_for_cuda_tensors_is_taken(build, candidate):
    guarded = (
        "if not x.is_cuda or x.device.type != 'cuda' or x.is_cpu:\n    return x * self.scale\n" + candidate.forward
    )
    assert [kernel.name for kernel in build(candidate(forward=guarded)).kernels] == ["scaled"]


def test_the_device_that_is_asked_for_is_the_target(build, candidate):
    forward = """
    assert torch.cuda.is_available() and x.get_device() == 0
    assert torch.cuda.get_device_capability() == (8, 9)
    properties = torch.cuda.get_device_properties(x.device)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.cuda.device(x.device):
        y = torch.empty(x.shape, device="cuda", dtype=x.dtype).copy_(torch.zeros(1, device=torch.device("cuda", 0)))
        programs = properties.multi_processor_count
        scaled[(programs,)](x.cuda(), self.scale.to("cuda:0"), y, x.numel(), x.shape[1], BLOCK=1024)
    torch.cuda.synchronize()
    return y.to(x.device)
    """
    found = build(candidate(forward=forward, init="self.to('cuda')"))
    assert found.failure is None
    assert found.kernels[0].grid == (128, 1, 1)


def test_equal_launches_are_compiled_once_and_counted(build, candidate):
    again = candidate.forward.replace(
        "return y", "for _ in range(3):\n    scaled[(4096,)](x, self.scale, y, x.numel(), 1024, BLOCK=1024)\nreturn y"
    )
    found = build(candidate(forward=again))
    assert [(kernel.grid, kernel.launches) for kernel in found.kernels] == [((4096, 1, 1), 4)]


def test_a_view_with_an_offset_loses_its_alignment(build, candidate):
    forward = """
    y = torch.empty_like(x)
    for source, target in ((x, y), (x.view(-1)[1:], y.view(-1)[1:])):
        scaled[(4095,)](source, self.scale, target, x.numel() - 1024, 1024, BLOCK=1024)
    return y
    """
    aligned, shifted = build(candidate(forward=forward)).kernels
    assert aligned.global_load_bits == {"128": 4}  # x and the scale, two rows of four floats each
    assert shifted.global_load_bits == {"32": 8, "128": 2}  # x starts 4 bytes off, the scale does not


TMA_HOST = """
from triton.tools.tensor_descriptor import TensorDescriptor

@triton.jit
def scaled(x_desc, y_desc, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK
    for column in range(0, 1024, BLOCK):
        y_desc.store([row, column], x_desc.load([row, column]) * 2)
"""
TMA_HOST_FORWARD = """
y = torch.empty_like(x)
source, target = (TensorDescriptor.from_tensor(t, [64, 64]) for t in (x, y))
scaled[(64,)](source, target, BLOCK=64)
return y
"""
TMA_DEVICE = """
@triton.jit
def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
    source = tl.make_tensor_descriptor(x_ptr, [n // width, width], [width, 1], [64, 64])
    target = tl.make_tensor_descriptor(y_ptr, [n // width, width], [width, 1], [64, 64])
    for column in range(0, width, 64):
        target.store([tl.program_id(0) * 64, column], source.load([tl.program_id(0) * 64, column]) * 2)
"""
TMA_DEVICE_FORWARD = """
triton.set_allocator(lambda size, align, stream: torch.empty(size, device="cuda", dtype=torch.int8))
y = torch.empty_like(x)
scaled[(64,)](x, self.scale, y, x.numel(), x.shape[1], BLOCK=64)
return y
"""
BLOCK_POINTERS = """
@triton.jit
def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK
    source = tl.make_block_ptr(x_ptr, (n,), (1,), (at,), (BLOCK,), (0,))
    target = tl.make_block_ptr(y_ptr, (n,), (1,), (at,), (BLOCK,), (0,))
    tl.store(target, tl.load(source, boundary_check=(0,)) * 2, boundary_check=(0,))
"""
GLUON = """
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

@gluon.jit
def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: gl.constexpr):
    layout: gl.constexpr = gl.BlockedLayout([4], [32], [4], [0])
    at = gl.program_id(0) * BLOCK + gl.arange(0, BLOCK, layout)
    gl.store(y_ptr + at, gl.load(x_ptr + at) * 2.0)
"""
HEURISTIC_FORWARD = """
y = torch.empty_like(x)
scaled[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, self.scale, y, x.numel(), x.shape[1])
return y
"""


@pytest.mark.parametrize("gpu", ["4090", "h100"])
@pytest.mark.parametrize(
    ("kernel", "forward"),
    [(TMA_HOST, TMA_HOST_FORWARD), (TMA_DEVICE, TMA_DEVICE_FORWARD), (BLOCK_POINTERS, None), (GLUON, None)],
    ids=["TensorDescriptor", "make_tensor_descriptor", "block_ptr", "gluon"],
)
def test_other_ways_to_reach_memory(build, candidate, gpu, kernel, forward):
    found = build(candidate(kernel=kernel, forward=forward or candidate.forward), gpu=gpu)
    assert found.failure is None
    assert found.kernels[0].registers > 0
    if kernel is GLUON:  # begins below Triton's IR, in which work is counted
        assert found.estimate is None
        return
    # The tensors are 16 MiB each and move once each way, whichever way they are addressed.
    gb_s = {"4090": 1008, "h100": 3350}[gpu]
    assert found.estimate.components_ms["memory"] == pytest.approx(2 * 2**24 / gb_s / 1e6, rel=0.01)


def test_torch_may_allocate_arrange_pad_and_fill(build, candidate):
    forward = """
    y = torch.zeros_like(x).fill_(0.5)
    padded = torch.nn.functional.pad(x, (0, 0, 1, 1))[1:-1].contiguous()
    weight = torch.cat([self.scale[:512], self.scale[512:]]).flip(0).to(torch.float16).float()
    scaled[(4096,)](padded, weight, y, x.numel(), 1024, BLOCK=1024)
    return y.clone()
    """
    found = build(candidate(forward=forward))
    assert found.failure is None
    assert {"constant_pad_nd", "cat", "flip", "_to_copy", "clone"} <= {operator.name for operator in found.operators}


def test_pytorch_operators_around_the_kernel_are_counted_with_their_traffic(build, candidate):
    plain = build(candidate())
    prepared = build(candidate(forward="x = x.t().contiguous().t()\n" + candidate.forward.strip()))
    assert plain.operators == ()
    (copy,) = prepared.operators
    assert (copy.calls, copy.bytes_moved) == (1, 2 * 2**24)
    assert prepared.estimate.value_ms > 1.9 * plain.estimate.value_ms
    assert f"PyTorch operator {copy.name} x1: 33.55 MB" in prepared.build_log


def test_heuristics_and_a_grid_from_meta(build, candidate):
    kernel = (
        '@triton.heuristics({"BLOCK": lambda args: triton.next_power_of_2(args["width"])})\n' + candidate.kernel.strip()
    )
    found = build(candidate(kernel=kernel, forward=HEURISTIC_FORWARD))
    assert found.kernels[0].grid == (4096, 1, 1)


def test_the_recorded_gemm_kernel(build, convt3d, seed):
    """Registers, shared memory and bounds as first established with Triton 3.7 for sm_89."""
    found = build(seed("000"), problem=convt3d)
    if not found.environment["triton"].startswith("3.7."):
        pytest.skip("registers depend on the Triton version; the figures are those of 3.7")
    figures = [(k.num_warps, k.num_stages, k.registers, k.spills, k.shared_memory_bytes) for k in found.kernels]
    assert figures == [(4, 2, 127, 0, 8192), (8, 2, 95, 0, 8192), (8, 3, 95, 0, 16384)]
    assert {kernel.grid for kernel in found.kernels} == {(152592, 2, 1)}
    assert [kernel.theoretical_occupancy_pct for kernel in found.kernels] == [33.33] * 3
    assert found.kernels[0].waves == pytest.approx(596.06, abs=0.01)
    assert found.estimate.components_ms["instruction issue"] == pytest.approx(40.4, abs=0.1)
    assert found.estimate.components_ms["tensor cores"] == pytest.approx(18.2, abs=0.1)
    assert found.estimate.components_ms["memory"] == pytest.approx(1.8, abs=0.1)
    assert found.estimate.value_ms == pytest.approx(44.5, abs=0.5)
    assert found.estimate.limiter.startswith("integer pipe")


def test_the_recorded_direct_kernel_runs_although_it_falls_back_on_the_cpu(build, convt3d, seed):
    found = build(seed("003"), problem=convt3d)
    if not found.environment["triton"].startswith("3.7."):
        pytest.skip("registers depend on the Triton version; the figures are those of 3.7")
    (kernel,) = found.kernels
    assert (kernel.grid, kernel.registers) == ((38148, 64, 1), 40)
    assert 0 < kernel.spills <= 32
    assert kernel.theoretical_occupancy_pct == 100
    assert kernel.global_load_bits == {"32": 320}
    assert found.estimate.components_ms["instruction issue"] == pytest.approx(220.6, abs=0.5)
