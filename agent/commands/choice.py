"""The problem and the GPU that a user named; where several things share the name, the choice is said first.

Limits: looks them up in the catalogs and announces; what they are is evaluators/problem.py and evaluators/gpu.py.
"""

import sys

from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem


def chosen(problem: str, gpu: str) -> tuple[Problem, GpuSpec]:
    """Both by name. Raises UnknownProblem, BadProblem or UnknownGpu."""
    subject, target = load_problem(problem), load_gpu(gpu)
    for line in filter(None, (*subject.notes, target.choice)):
        print(line, file=sys.stderr)
    return subject, target
