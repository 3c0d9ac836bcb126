"""Transposed convolutions drawn at random: problem files like the built-in ones, and the families' verdicts on them.

    python tests/random_geometries.py --count 10 --seed 0 --directory /tmp/random     # the files, for `agent evaluate`
    python tests/random_geometries.py --count 10 --seed 0 --judge 4090    # every family's first kernel, no GPU needed
    python3 tests/gpu_playbook_bench.py --random 10 --seconds 100         # on a GPU: errors, times, eager beside

Channels 8 to 128, kernels 1 to 7, strides 1 to 3, dilations 1 and 2, groups, odd sizes; equal seeds give equal
problems, and the first of a longer list are those of a shorter one.

Limits: legal geometries of three dimensions in fp32; sizes are held to what eager computes in well under a second.
"""

import argparse
import math
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import checkout  # noqa: F401 - the packages below are found by it

from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.search import fitting
from agent.proposers.playbook.shape import shape_from
from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.evaluation import Evaluation
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem
from evaluators.problem_catalog import problem_from

Axes = tuple[int, int, int]
MOST_MULTIPLY_ADDS = 2e11
MOST_VALUES = 1.5e8  # of the output
CHANNELS = (8, 12, 16, 24, 32, 40, 48, 64, 96, 128)

TEXT = '''# /// problem
# title = "{title}"
# ///

import torch
from torch import nn


class Model(nn.Module):
    """Transposed 3D convolution."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1,
                 bias=False, dilation=1):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, output_padding=output_padding,
            groups=groups, bias=bias, dilation=dilation)

    def forward(self, x):
        return self.conv_transpose3d(x)


batch_size = {batch}
in_channels = {in_channels}
out_channels = {out_channels}
kernel_size = {kernel}
stride = {stride}
padding = {padding}
output_padding = {output_padding}
groups = {groups}
bias = {bias}
dilation = {dilation}
depth = {depth}
height = {height}
width = {width}


def get_inputs():
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation]
'''


@dataclass(frozen=True)
class Geometry:
    """One drawn layer with its input; axes are (depth, height, width)."""

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    bias: bool
    kernel: Axes
    stride: Axes
    padding: Axes
    output_padding: Axes
    dilation: Axes
    size: Axes

    @property
    def output(self) -> Axes:
        """Sizes of the output; of an illegal draw one of them is below 1."""
        axes = zip(self.size, self.stride, self.padding, self.dilation, self.kernel, self.output_padding, strict=True)
        depth, height, width = ((i - 1) * s - 2 * p + d * (k - 1) + q + 1 for i, s, p, d, k, q in axes)
        return depth, height, width

    @property
    def is_wanted(self) -> bool:
        """Whether it is legal, neither trivial nor longer than a bench should take."""
        values = self.batch * self.out_channels * math.prod(self.output)
        multiply_adds = (
            self.batch * self.in_channels * math.prod(self.size) * self.out_channels // self.groups
        ) * math.prod(self.kernel)
        return min(self.output) > 0 and 2**20 < values < MOST_VALUES and multiply_adds < MOST_MULTIPLY_ADDS

    def problem(self, name: str) -> Problem:
        """The KernelBench file of it."""
        depth, height, width = self.size
        text = TEXT.format(title=self, **asdict(self), depth=depth, height=height, width=width)
        return problem_from(text, key=name)

    def __str__(self) -> str:
        said = f"x{self.batch}x{self.in_channels}x{'x'.join(map(str, self.size))} -> {self.out_channels} channels"
        knobs = ("kernel", "stride", "padding", "output_padding", "dilation")
        said += "".join(f" {name} {''.join(map(str, getattr(self, name)))}" for name in knobs)
        return f"{said} groups {self.groups}{' bias' if self.bias else ''}"


def drawn(count: int, seed: int) -> list[Problem]:
    """The first `count` problems of a seed."""
    source = random.Random(seed)
    found: list[Problem] = []
    while len(found) < count:
        geometry = _draw(source)
        if geometry.is_wanted:
            found.append(geometry.problem(f"random-{seed}-{len(found)}"))
    return found


def _draw(source: random.Random) -> Geometry:
    in_channels, out_channels = source.choice(CHANNELS), source.choice(CHANNELS)
    kernel, stride = _axes(source, 1, 7), _axes(source, 1, 3)
    dilation = _axes(source, 1, 2)
    padding = tuple(source.randint(0, d * (k - 1)) // 2 for k, d in zip(kernel, dilation, strict=True))
    ahead = tuple(source.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    common = [g for g in (1, 1, 1, 2, 4, 8) if in_channels % g == 0 == out_channels % g]
    return Geometry(
        batch=source.randint(1, 8),
        in_channels=in_channels,
        out_channels=out_channels,
        groups=source.choice(common),
        bias=source.random() < 0.5,
        kernel=kernel,
        stride=stride,
        padding=(padding[0], padding[1], padding[2]),
        output_padding=(ahead[0], ahead[1], ahead[2]),
        dilation=dilation,
        size=_axes(source, 5, 40),
    )


def _axes(source: random.Random, low: int, high: int) -> Axes:
    """Three sizes; half of the draws are cubes, as layers mostly are."""
    first = source.randint(low, high)
    if source.random() < 0.5:
        return first, first, first
    return first, source.randint(low, high), source.randint(low, high)


def main() -> int:
    """Write the files, or judge the families on them; 1 where a kernel is wrong."""
    options = _arguments()
    problems = drawn(options.count, options.seed)
    if options.directory:
        options.directory.mkdir(parents=True, exist_ok=True)
        for problem in problems:
            (options.directory / f"{problem.key}.py").write_text(problem.source)
    if not options.judge:
        print("\n".join(f"{problem.key}: {problem.title}" for problem in problems))
        return 0
    with JudgeClient() as judge:
        verdicts = [_judge(judge, problem, options.judge) for problem in problems]
    return 1 if any("failed" in verdict for verdict in verdicts) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10, help="problems to draw; default: 10")
    parser.add_argument("--seed", type=int, default=0, help="of the draws; default: 0")
    parser.add_argument("--directory", type=Path, help="where the problem files go")
    parser.add_argument("--judge", metavar="GPU", help="judge the families' first kernels for this GPU")
    return parser.parse_args()


def _judge(judge: JudgeClient, problem: Problem, key: str) -> set[str]:
    """A row per family; the verdicts."""
    text, gpu = read_reference(problem.source), load_gpu(key)
    tolerance = problem.tolerance
    shape = shape_from(judge.facts(problem), text.layer)
    situation = Situation(shape, gpu, tolerance.error_multiple * tolerance.tf32_floor)
    print(f"{problem.key}: {problem.title}", flush=True)
    verdicts = set()
    for family in fitting(situation):
        configuration, begun = family.start(situation), time.monotonic()
        candidate = candidate_from(candidate_source(configuration, family, text))
        evaluation = judge.evaluate(problem, candidate, gpu)
        print(f"  {_row(evaluation)} | {time.monotonic() - begun:.0f} s | {configuration}", flush=True)
        verdicts.add(evaluation.verdict)
    return verdicts


def _row(evaluation: Evaluation) -> str:
    error = evaluation.numeric_error
    figures = f"error {error.worst:.3g} of {error.allowed:.3g} ({error.precision})" if error else "no error figure"
    bound = f"bound {evaluation.estimate.value_ms:.3g} ms" if evaluation.estimate else "no bound"
    spills = sum(kernel.spills for kernel in evaluation.kernels)
    said = "" if evaluation.verdict == "passed" else f" | {evaluation.message}"
    return f"{evaluation.verdict} | {figures} | {bound} | {spills} bytes spilled{said}"


if __name__ == "__main__":
    sys.exit(main())
