"""First configurations compiled ahead of time for the targets by the judge's own build rung: nothing spills, all fits.

Limits: compiled, not run.
"""

import re

import pytest

from agent.proposers.playbook.emission import candidate_source
from agent.proposers.playbook.family import Situation, known_families
from agent.proposers.playbook.reference import read_reference
from agent.proposers.playbook.shape import shape_from
from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.judge.reference import Reference
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Task, build, screen

WORKLOADS = ("convt3d-58", "convt3d-68", "convt3d-72", "convt3d-73", "convt3d-77")


@pytest.fixture(scope="module")
def workloads():
    problems = {key: load_problem(key) for key in WORKLOADS}
    return {key: (problem, Reference(problem), facts_of(problem)) for key, problem in problems.items()}


@pytest.mark.parametrize(
    ("family", "problem", "gpu"),
    [
        *(("phase_window", "convt3d-68", gpu) for gpu in ("t4", "5090")),
        pytest.param("phase_window", "convt3d-68", "4090", marks=pytest.mark.slow),
        ("phase_window", "convt3d-72", "4090"),
        ("phase_window", "convt3d-73", "h200"),  # its left operand once lay in registers that were given away too early
        ("dilation_lattice", "convt3d-77", "4090"),
        pytest.param("direct", "convt3d-68", "4090", marks=pytest.mark.slow),
        ("slab", "convt3d-58", "h100"),
    ],
)
def test_the_first_configuration_passes_the_screen_and_compiles_without_spills(
    zygotes, workloads, family, problem, gpu
):
    task, text = task_for(zygotes, workloads[problem], family, gpu)
    screened = screen.check(task)
    assert screened.failure is None, screened.failure
    found = build.check(task)
    assert found.failure is None, f"{text}: {found.failure}"
    assert {kernel.name: kernel.spills for kernel in found.kernels if kernel.spills} == {}, text
    assert all(kernel.shared_memory_bytes <= task.gpu.shared_memory_per_block_kb * 1024 for kernel in found.kernels)
    assert family in {kernel.name for kernel in found.kernels}


def task_for(zygotes, workload, name, gpu):
    problem, reference, facts = workload
    text = read_reference(problem.source)
    family = next(family for family in known_families() if family.name == name)
    situation = Situation(shape_from(facts, text.layer), load_gpu(gpu), 6e-4)
    configuration = family.start(situation)
    candidate = candidate_from(candidate_source(configuration, family, text))
    return Task(problem, candidate, situation.gpu, reference, zygotes), str(configuration)


SMALL = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(in_channels, out_channels, kernel_size, bias=False)

    def forward(self, x):
        return self.conv_transpose3d(x)

def get_inputs():
    return [torch.rand(2, 2, 3, 2, 5)]

def get_init_inputs():
    return [2, 3, (1, 2, 3)]
"""


@pytest.mark.parametrize("family", ["phase_window", "dilation_lattice"])
def test_positions_of_a_small_plane_are_not_counted_in_16_bits(zygotes, tmp_path, family):
    """A fault of ptxas 12.8 (window_text.py) stored two of these 63 positions elsewhere."""
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    problem = load_problem(str(path))
    task, text = task_for(zygotes, (problem, Reference(problem), facts_of(problem)), family, "h200")
    found = build.check(task)
    assert found.failure is None, f"{text}: {found.failure}"
    code = next(listing for name, listing in found.listings.items() if name.endswith(".ptx"))
    assert family in code
    assert not re.findall(r"^.*(?:mul|mad|add|sub)[.a-z]*\.[su]16(?:x2)?\b.*$", code, re.MULTILINE)
