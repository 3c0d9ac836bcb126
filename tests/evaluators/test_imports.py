"""What neither a judge nor a candidate's process imports: torch's compiler, which takes 0.9 s and compiles nothing here."""

import subprocess
import sys

PROGRAM = """
import sys
import evaluators.judge.server
from evaluators.inside.capture_operators import OperatorCount
from evaluators.judge.meta_run import run_on_meta
from evaluators.judge.reference import Reference
from evaluators.problem_catalog import problem_from
import torch

problem = problem_from('''
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x * x + 0.5, dim=1).sum()


def get_inputs():
    return [torch.randn(4, 5)]


def get_init_inputs():
    return []
''', key="elementwise")
assert run_on_meta(problem).failure == ""
assert Reference(problem).output_facts[0].shape == ()
with OperatorCount() as counted:
    x = torch.empty_like(torch.empty(4, 5, device="meta"))
    (x * x + 1).relu().sum()
assert {"mul", "add", "relu", "sum"} <= set(counted.calls), counted.calls
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def test_a_reference_and_a_capture_on_meta_tensors_load_no_compiler():
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr
