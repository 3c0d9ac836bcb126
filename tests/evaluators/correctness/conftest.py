"""The correctness rung to drive: a real fork server, real kernels in Triton's interpreter, real references."""

import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.judge import sampling
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Findings, Task, correctness

DATA = Path(__file__).parent / "data"
HONEST = Path(__file__).parents[1] / "data" / "candidates"
Check = Callable[..., Findings]

SCALED = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(width))

    def forward(self, x):
        return x * self.scale

rows = 3000
width = 1024

def get_inputs():
    return [torch.randn(rows, width)]

def get_init_inputs():
    return [width]
"""

CANDIDATE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl
from triton.language.extra import libdevice

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


@pytest.fixture
def scaled() -> Callable[..., str]:
    """`scaled(kernel=..., forward=..., init=...)`: a candidate for the problem SCALED, correct where nothing is given."""

    def written(kernel: str = KERNEL, forward: str = FORWARD, init: str = "pass") -> str:
        return CANDIDATE.format(
            kernel=textwrap.dedent(kernel).strip(),
            init=textwrap.indent(textwrap.dedent(init).strip(), " " * 8),
            forward=textwrap.indent(textwrap.dedent(forward).strip(), " " * 8),
        )

    return written


@pytest.fixture
def scaled_problem() -> str:
    """The problem that `scaled` writes candidates for."""
    return SCALED


@pytest.fixture(scope="session")
def small() -> str:
    return (DATA / "reference_small.py").read_text()


@pytest.fixture(scope="session")
def stride_one() -> str:
    """A published problem whose own hyperparameters hide stride, padding, groups and bias, with fewer taps and channels.

    Half as long each way a batch item takes a seventh of the time; a program of its kernels takes a thirtieth; the
    output has still 40 million elements.
    """
    source = load_problem("convt3d-68").source
    sides = {f"{side} = 64": f"{side} = 32" for side in ("depth", "height", "width")}
    for old, new in {
        "in_channels = 32": "in_channels = 4",
        "kernel_size = (3, 5, 5)": "kernel_size = (2, 3, 3)",
        **sides,
    }.items():
        assert f"\n{old}\n" in source
        source = source.replace(f"\n{old}\n", f"\n{new}\n")
    return source


@pytest.fixture(autouse=True)
def shorter_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of these small programs as the judge samples of large ones."""
    monkeypatch.setattr(sampling, "BUDGET_S", sampling.BUDGET_S / 4)


@pytest.fixture(scope="session")
def honest() -> Callable[[str], str]:
    return lambda name: (HONEST / f"{name}.py").read_text()


@pytest.fixture(scope="session")
def beyond() -> Callable[[str], str]:
    """Kernels to be tried beyond the published sizes, and their problems."""
    return lambda name: (HONEST.parent / "larger" / f"{name}.py").read_text()


@pytest.fixture(scope="session")
def check(zygotes: Zygotes) -> Check:
    """`check(candidate_source, problem_source)` climbs the correctness rung alone."""
    references: dict[str, Reference] = {}

    def run(source: str, problem: str = SCALED) -> Findings:
        known = Problem(key="problem", title="a problem", source=problem)
        if problem not in references:
            references[problem] = Reference(known)
        candidate = candidate_from(source)
        gpu = load_gpu("4090")
        return correctness.check(
            Task(problem=known, candidate=candidate, gpu=gpu, reference=references[problem], zygotes=zygotes)
        )

    return run


@pytest.fixture(scope="session")
def seed() -> Callable[[str], str]:
    """Code of a recorded reply, by its number; skips where the recorded replies are not on this machine."""
    folder = Path(os.environ.get("AGENT_SEEDS_DIR", Path(__file__).parents[4] / "shared" / "seeds"))

    def read(number: str) -> str:
        found = sorted(folder.glob(f"{number}_*.txt"))
        if not found:
            pytest.skip(f"no recorded replies in {folder}; set AGENT_SEEDS_DIR")
        return re.findall(r"^```python[ \t]*\n(.*?)^```[ \t]*$", found[0].read_text(), re.DOTALL | re.MULTILINE)[0]

    return read


@pytest.fixture
def replaced() -> Callable[..., str]:
    """`replaced(text, old, new, ...)`: each old text must be there, so that a mutation cannot silently do nothing."""

    def change(text: str, *pairs: str) -> str:
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert old in text, old
            text = text.replace(old, new)
        return text

    return change
