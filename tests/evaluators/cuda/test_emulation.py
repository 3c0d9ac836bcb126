"""The CPU emulation itself: what a kernel computes there must be what CUDA defines."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from evaluators.cuda.device import compile_for
from evaluators.cuda.extension import Extension
from evaluators.cuda.host import emulated

TEXT = (Path(__file__).parent / "data" / "features.cu").read_text()
DECLARED = re.findall(r"^(?:torch::Tensor|void|int64_t) (?:\w+)\(torch::Tensor[^)]*\)", TEXT, re.MULTILINE)
FEATURES = Extension(
    name="features",
    cpp_sources=("\n".join(f"{line};" for line in DECLARED),),
    cuda_sources=(TEXT,),
    functions=tuple(re.search(r" (\w+)\(", line)[1] for line in DECLARED),
)


@pytest.fixture(scope="module")
def features(cuda_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    build = emulated(FEATURES, TEXT)
    if build.unverified:
        pytest.skip(build.unverified)
    assert build.failure is None
    path = tmp_path_factory.mktemp("module") / f"{FEATURES.module_name}.so"
    path.write_bytes(build.module)
    spec = importlib.util.spec_from_file_location(FEATURES.module_name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_text_compiles_for_the_card(nvcc: None) -> None:
    build = compile_for("sm_89", FEATURES, TEXT)
    assert build.failure is None, build.failure
    assert build.cubin.startswith(b"\x7fELF")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_reduction_over_barriers_sums_every_row(features: ModuleType, dtype: torch.dtype) -> None:
    x = torch.randn(5, 1000, dtype=dtype)
    torch.testing.assert_close(features.sums(x), x.sum(1))
    (launch,) = features.__take_launches__()
    assert launch[0] == "row_sum"
    assert launch[1].startswith("_Z7row_sumI")
    assert launch[2:] == ((5, 1, 1), (96, 1, 1), 0, 1, False)


def test_shuffles_atomics_and_dynamic_shared_memory(features: ModuleType) -> None:
    x = torch.randn(7, 333)
    torch.testing.assert_close(features.warp_sums(x), x.sum(1))
    assert features.__take_launches__()[0][2:] == ((7, 1, 1), (128, 1, 1), 16, 1, False)


def test_blocks_in_reverse_order_give_the_same(features: ModuleType) -> None:
    x = torch.randn(7, 333)
    forward = features.warp_sums(x)
    features.__reverse_blocks__(True)
    assert torch.equal(forward, features.warp_sums(x))
    features.__reverse_blocks__(False)


def test_vector_types_half_accessors_and_votes(features: ModuleType) -> None:
    x = torch.randn(4, 64)
    expected = x.reshape(-1, 4).clone()
    expected[:, 2].clamp_(min=0)
    expected[:, 3].clamp_(max=1)
    assert torch.equal(features.copied(x), expected.reshape(4, 64))
    h = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 65504.0, 1e-7, 3e-5, float("inf")])]).half()
    assert torch.equal(features.halves(h), 2 * h)
    a, b = torch.randn(9, 13), torch.randn(6, 13).t()
    torch.testing.assert_close(features.multiplied(a, b), a @ b)
    assert features.counted(x[:, ::2]).item() == (x[:, ::2] > 0).sum()


def test_arguments_are_taken_as_pybind11_takes_them(features: ModuleType) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        features.sums(3)
    with pytest.raises(RuntimeError, match="x must have 2 dimensions, not 1"):
        features.sums(torch.randn(3))
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        features.copied(torch.randn(4, dtype=torch.float64))


def test_a_barrier_that_not_all_threads_reach_is_said(features: ModuleType) -> None:
    x = torch.zeros(2048)
    with pytest.raises(RuntimeError, match="half_of_the_block_waits hangs: 16 threads wait at __syncthreads"):
        features.hangs(x)
    assert features.too_many_threads(x) == 9  # cudaErrorInvalidConfiguration
    assert not x[17:].any()
