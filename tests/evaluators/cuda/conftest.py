"""What the tests of CUDA candidates share: a small problem, a GPU, a cache of their own."""

import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evaluators.candidate import candidate_from
from evaluators.gpu import DensePeaks, GpuSpec
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.problem import Problem
from evaluators.rungs import Task

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def cuda_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all workers of a run: our own sources are compiled once, and what two files build, too."""
    folder = tmp_path_factory.getbasetemp()
    path = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "cuda-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path))
        yield path


@pytest.fixture
def gxx(cuda_cache: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not on this machine")


@pytest.fixture
def nvcc(gxx: None) -> None:
    from evaluators.cuda.toolchain import without_nvcc

    if reason := without_nvcc():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def ada() -> GpuSpec:
    return GpuSpec(
        key="4090",
        name="GeForce RTX 4090",
        architecture="Ada",
        compute_capability="8.9",
        sm_count=128,
        memory_gb=24,
        memory_type="GDDR6X",
        memory_bandwidth_gb_s=1008,
        l2_mb=72,
        boost_clock_mhz=2520,
        max_threads_per_sm=1536,
        max_blocks_per_sm=24,
        shared_memory_per_sm_kb=100,
        shared_memory_per_block_kb=99,
        dense_peak_tflops=DensePeaks(fp32=82.6),
        source="NVIDIA Ada GPU architecture whitepaper",
    )


MakeTask = Callable[..., Task]


@pytest.fixture
def task_of(zygotes: Zygotes, ada: GpuSpec, cuda_cache: Path) -> MakeTask:
    def make(candidate: str, problem: str = "transposed.py") -> Task:
        reference = Problem(key="small", title="small", source=(DATA / problem).read_text())
        return Task(
            problem=reference,
            candidate=candidate_from(candidate),
            gpu=ada,
            reference=Reference(reference),
            zygotes=zygotes,
        )

    return make


@pytest.fixture
def doubled_with() -> Callable[..., str]:
    return candidate_with


def candidate_with(kernel_and_wrapper: str, *, forward: str = "return extension.run(x)", declared: str = "") -> str:
    """A candidate for data/doubled.py whose CUDA text is given."""
    declared = declared or "torch::Tensor run(torch::Tensor x);"
    text = textwrap.dedent(kernel_and_wrapper).strip()
    return f'''import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
{text}
"""

extension = load_inline(name="doubled", cpp_sources="{declared}", cuda_sources=CUDA, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        {forward}
'''
