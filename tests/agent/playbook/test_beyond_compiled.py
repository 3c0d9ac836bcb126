"""Emitted files for formulas and convolutions through the judge: compiled for the target, a few judged to the end.

Limits: one file for each kernel and each way its text can differ; their numbers are test_formulas.py.
"""

from pathlib import Path

import pytest

from agent.proposers.playbook.configuration import read_configuration
from agent.proposers.playbook.family import Situation, family_of
from agent.proposers.playbook.recognition import recognise
from agent.proposers.playbook.search import best_guess
from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.judge.reference import Reference
from evaluators.ladder import climb
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Task, build, screen

DATA = Path(__file__).parent / "data"
GEMM = "BLOCK_M=64 BLOCK_N=32 BLOCK_K=16 GROUP_M=1 PRECISION=tf32 NUM_WARPS=4 NUM_STAGES=3"
SPLIT_PRODUCT = "matrix_product BLOCK_M=128 BLOCK_N=64 BLOCK_K=16 GROUP_M=8 PRECISION=tf32x3 NUM_WARPS=8 NUM_STAGES=2"


def task_for(zygotes, name, gpu, configuration=""):
    problem, target = load_problem(str(DATA / f"{name}.py")), load_gpu(gpu)
    subject = recognise(problem, facts_of(problem))
    chosen = read_configuration(configuration)
    chosen = chosen or best_guess(Situation(subject.shape, target, 6e-4 if subject.is_tf32 else 1e-6)).configuration
    candidate = candidate_from(subject.write(chosen, family_of(chosen)))
    return Task(problem, candidate, target, Reference(problem), zygotes)


@pytest.mark.parametrize(
    ("name", "gpu", "configuration"),
    [
        ("rms_norm", "4090", ""),  # rows side by side
        pytest.param("log_softmax", "4090", "", marks=pytest.mark.slow),  # a loop
        pytest.param("layer_norm", "h100-sxm", "", marks=pytest.mark.slow),  # parts of a row
        ("transposed_bmm", "h100-sxm", f"{SPLIT_PRODUCT} SPLIT_K=1"),
        ("conv1d_dilated_strided", "4090", f"gather_gemm {GEMM}"),
        ("conv2d", "4090", f"phase_window {GEMM} JOIN=width LEFT=weights PROMOTE=4 LOADS=pointers"),
    ],
)
def test_the_emitted_file_passes_the_screen_and_compiles_without_spills(zygotes, name, gpu, configuration):
    task = task_for(zygotes, name, gpu, configuration)
    screened = screen.check(task)
    assert screened.failure is None, screened.failure
    found = build.check(task)
    assert found.failure is None, found.failure
    assert not found.unverified
    assert {kernel.name: kernel.spills for kernel in found.kernels if kernel.spills} == {}


@pytest.mark.parametrize("name", ["activation_chain", "linear_relu", "conv1d_dilated_strided"])
def test_the_judge_passes_it(zygotes, name):
    evaluation = climb(task_for(zygotes, name, "4090"))
    assert evaluation.verdict == "passed", evaluation.message
    assert evaluation.estimate is not None
