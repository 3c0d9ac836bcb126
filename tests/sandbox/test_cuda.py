"""CUDA behind every layer; only where there is a GPU."""

import sys
from pathlib import Path

import pytest

from sandbox import Limits, Zygote


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("without", [(), ("own_root",), ("namespaces",)], ids=["all", "no own root", "no namespaces"])
def test_a_program_uses_the_gpu(without):
    programs = str(Path(__file__).parent / "programs")
    with (
        Zygote(("torch", "triton"), search_path=(programs,), without=without) as zygote,
        zygote.start("sandbox_cuda:main", {}, Limits(wall_s=100, memory_mb=32768)) as child,
    ):
        answer, _ = child.receive(100)
    assert all(answer[name] for name in ("triton", "product", "pinned", "graph")), (answer, sys.version)
