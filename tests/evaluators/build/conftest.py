"""A build rung to drive: real zygote, real Triton, real ptxas, candidates written as a kernel and a forward."""

import functools
import os
import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Findings, Task, estimate
from evaluators.rungs.build import check_triton
from sandbox import Limits

SCALED = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(width))

    def forward(self, x):
        return x * self.scale

def get_inputs():
    return [torch.randn(4096, 1024)]

def get_init_inputs():
    return [1024]
"""

CANDIDATE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl

{kernel}


class ModelNew(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(width))
{init}

    def forward(self, x):
{forward}
"""

KERNEL = """
@triton.jit
def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < n
    x = tl.load(x_ptr + at, mask=live)
    tl.store(y_ptr + at, x * tl.load(s_ptr + at % width, mask=live), mask=live)
"""

FORWARD = """
y = torch.empty_like(x)
scaled[(triton.cdiv(x.numel(), 1024),)](x, self.scale, y, x.numel(), x.shape[1], BLOCK=1024)
return y
"""


class Writer:
    """Writes candidates for the problem `SCALED`; `kernel` and `forward` are the correct ones to change."""

    kernel = KERNEL
    forward = FORWARD

    def __call__(self, kernel: str = KERNEL, forward: str = FORWARD, init: str = "") -> str:
        """Source of one candidate; its kernel begins at line 6."""
        block = "        "
        return CANDIDATE.format(
            kernel=textwrap.dedent(kernel).strip(),
            init=textwrap.indent(textwrap.dedent(init), block),
            forward=textwrap.indent(textwrap.dedent(forward).strip(), block),
        )


@pytest.fixture(scope="session")
def candidate() -> Writer:
    """`candidate(kernel=..., forward=..., init=...)` is the source of one candidate."""
    return Writer()


@pytest.fixture(scope="session")
def build(zygotes: Zygotes) -> Callable[..., Findings]:
    """`build(source, problem=..., gpu=..., wall_s=...)` runs the Triton side of the build rung, equal calls once."""
    references: dict[str, Reference] = {}

    @functools.cache
    def run(source: str, *, problem: str = SCALED, gpu: str = "4090", wall_s: float = 60.0) -> Findings:
        known = Problem(key="problem", title="a problem", source=problem)
        if problem not in references:
            references[problem] = Reference(known)
        chosen = candidate_from(source)
        task = Task(problem=known, candidate=chosen, gpu=load_gpu(gpu), reference=references[problem], zygotes=zygotes)
        found = check_triton(task, limits=Limits(wall_s=wall_s))
        return replace(found, estimate=estimate.check(task.having(found)).estimate)

    return run


@pytest.fixture(scope="session")
def convt3d() -> str:
    """The published problem that the honest candidates are for."""
    return load_problem("convt3d-68").source


@pytest.fixture(scope="session")
def seed() -> Callable[[str], str]:
    """Code of a recorded reply, by its number; skips where the recorded replies are not on this machine."""
    folder = Path(os.environ.get("AGENT_SEEDS_DIR", Path(__file__).parents[4] / "shared" / "seeds"))

    def read(number: str) -> str:
        found = sorted(folder.glob(f"{number}_*.txt"))
        if not found:
            pytest.skip(f"no recorded replies in {folder}; set AGENT_SEEDS_DIR")
        blocks = re.findall(r"^```python[ \t]*\n(.*?)^```[ \t]*$", found[0].read_text(), re.DOTALL | re.MULTILINE)
        return blocks[0]

    return read
