"""Facts are exact (checked against a real convolution of ones) and the linter sees what is odd about a reference."""

import ast
import json
import random
import subprocess
import sys
import time
from functools import cache

import pytest
import torch

from evaluators.errors import BadProblem
from evaluators.judge.facts import facts_of, main
from evaluators.problem_catalog import all_problems, load_problem, problem_from

PROBLEMS = {problem.key: problem for problem in all_problems()}


@cache
def built_in(key):
    return facts_of(PROBLEMS[key])


def reference(body, *, inputs="torch.rand(2, 4, 3, 4, 5)", init="[]", before=""):
    return (
        f"import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n{before}\n"
        f"class Model(nn.Module):\n{body}\n"
        f"def get_inputs():\n    return [{inputs}]\n\ndef get_init_inputs():\n    return {init}\n"
    )


def layer(expression):
    return (
        f"    def __init__(self):\n        super().__init__()\n        self.op = {expression}\n"
        "    def forward(self, x):\n        return self.op(x)\n"
    )


def facts(source):
    return facts_of(problem_from(source, key="p"))


# geometry, GFLOP, share of zeros: worked out by hand from the published sizes
@pytest.mark.parametrize(
    ("number", "weight", "output", "gflop"),
    [
        (58, (32, 16, 3, 5, 7), (16, 16, 18, 36, 70), 56.371),
        (61, (48, 48, 3, 3, 3), (8, 48, 66, 66, 66), 260.919),
        (68, (32, 64, 3, 5, 5), (16, 64, 66, 68, 68), 1288.490),
        (70, (48, 24, 3, 3, 3), (8, 24, 98, 98, 98), 440.301),
        (72, (32, 8, 3, 5, 7), (8, 32, 24, 48, 96), 5.535),
        (73, (32, 32, 3, 3, 3), (4, 32, 63, 127, 255), 55.890),
        (77, (32, 64, 3, 3, 3), (16, 64, 33, 65, 65), 26.638),
    ],
)
def test_built_in_problems_have_the_published_geometry(number, weight, output, gflop):
    found = built_in(f"convt3d-{number}")
    assert found.operator == "conv_transpose3d"
    assert [(fact.name, fact.shape) for fact in found.parameters] == [("conv_transpose3d.weight", weight)]
    assert [fact.shape for fact in found.outputs] == [output]
    assert found.flop / 1e9 == pytest.approx(gflop, abs=5e-4)
    elements = sum(torch.Size(fact.shape).numel() for fact in (*found.inputs, *found.parameters, *found.outputs))
    assert found.bytes_moved == 4 * elements


def test_facts_of_a_built_in_problem_take_less_than_a_second():
    for problem in PROBLEMS.values():
        start = time.process_time()
        facts_of(problem)
        assert time.process_time() - start < 1.0


def test_only_73_and_77_have_warnings():
    assert {key for key in PROBLEMS if built_in(key).warnings} == {"convt3d-73", "convt3d-77"}
    ignored = "\n".join(built_in("convt3d-73").warnings)
    assert "passes `groups` in the place of `output_padding`" in ignored
    assert "output_padding=4, which Model.__init__ never uses" in ignored
    assert "defines groups=4, but conv_transpose3d runs with groups=1" in ignored
    assert built_in("convt3d-73").hyperparameters["groups"] == "1"
    (zeros,) = built_in("convt3d-77").warnings
    assert zeros.startswith("88.2% of the output")


def test_flop_and_zeros_equal_a_convolution_of_ones():
    choose = random.Random(5)
    for _ in range(25):
        groups = choose.choice([1, 2])
        kernel, stride, dilation, padding = ([choose.randint(1, 3) for _ in range(3)] for _ in range(4))
        extra = [choose.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
        space = [choose.randint(3, 5) for _ in range(3)]
        pad = [min(p, (k - 1) * d) for p, k, d in zip(padding, kernel, dilation, strict=True)]
        arguments = f"4, 6, {kernel}, {stride}, {pad}, {extra}, {groups}, False, {dilation}"
        source = reference(layer(f"nn.ConvTranspose3d({arguments})"), inputs=f"torch.rand(2, 4, *{space})")
        x, weight = torch.ones(2, 4, *space), torch.ones(4, 6 // groups, *kernel)
        out = torch.nn.functional.conv_transpose3d(x, weight, None, stride, pad, extra, groups, dilation)
        found = facts(source)
        assert found.outputs[0].shape == tuple(out.shape)
        assert found.flop == 2 * int(out.sum()), arguments
        zeros = (out == 0).double().mean().item()
        said = [warning for warning in found.warnings if "always 0" in warning]
        assert bool(said) == (zeros > 0.01), arguments
        assert not said or said[0].startswith(f"{zeros:.1%}"), arguments


def test_other_operators():
    found = facts(reference(layer("nn.Linear(8, 16)"), inputs="torch.rand(4, 8)"))
    assert (found.operator, found.flop) == ("matmul", 2 * 4 * 8 * 16)
    assert found.arithmetic_intensity == pytest.approx(found.flop / found.bytes_moved)
    found = facts(
        reference(layer("nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())"), inputs="torch.rand(1, 3, 6, 7)")
    )
    assert found.operator == "conv2d"
    assert found.operators == ("conv2d", "relu")
    assert found.hyperparameters["padding"] == "(1, 1)"
    assert found.hyperparameters["bias"] == "True"
    views = facts(
        reference("    def forward(self, x):\n        return x.reshape(8, 4).t() + 1\n", inputs="torch.rand(4, 8)")
    )
    assert (views.operator, views.operators) == ("add", ("add",))
    softmax = facts(
        reference("    def forward(self, x):\n        return torch.softmax(x, 1)\n", inputs="torch.rand(4, 8)")
    )
    assert (softmax.operator, softmax.flop, softmax.arithmetic_intensity) == ("softmax", None, None)


def test_functional_convolutions_are_seen_as_they_run():
    body = "    def forward(self, x):\n        return F.conv_transpose1d(x, torch.ones(4, 3, 2), stride=2)\n"
    found = facts(reference(body, inputs="torch.rand(1, 4, 5)"))
    assert found.operator == "conv_transpose1d"
    assert found.hyperparameters["stride"] == "(2,)"


POSITIONAL_GROUPS = """
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1):
        super().__init__()
        self.op = nn.ConvTranspose3d(in_channels, out_channels, kernel_size, stride, padding, output_padding, groups)
    def forward(self, x):
        return self.op(x)
"""


def test_a_reference_that_only_meta_tensors_accept():
    source = reference(
        POSITIONAL_GROUPS, init="[4, 4, 3, stride, padding, groups]", before="stride, padding, groups = 2, 1, 4\n"
    )
    with pytest.raises(BadProblem) as caught:
        facts(source)
    warnings = str(caught.value)
    assert "does not run: output_padding=4 must be smaller than stride=2 or dilation=1" in warnings
    assert "passes `groups` in the place of `output_padding`" in warnings
    assert "does not run on this machine's CPU" in warnings


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (layer("nn.Dropout(0.5)"), "draws random numbers ("),
        ("    def forward(self, x):\n        return x + torch.randn_like(x)\n", "draws random numbers"),
        (layer("nn.BatchNorm3d(4)"), "changes op.num_batches_tracked"),
        ("    def forward(self, x):\n        return x.mul_(2)\n", "changes input0 (mul_)"),
        ("    def forward(self, x):\n        return x * 1e-3\n", "every element of output0 is below 0.01"),
        ("    def forward(self, x):\n        return torch.full_like(x, 3.0)\n", "output0 is the constant 3"),
        ("    def forward(self, x):\n        return x + 1, torch.log(x - 5)\n", "every element of output1 is NaN"),
        ("    def forward(self, x):\n        return x[:, :int(x.sum())]\n", "needs real values"),
        ("    def forward(self, x):\n        return x.new_tensor(x.numpy()) * 2\n", "needs real values"),
    ],
)
def test_the_linter(body, said):
    warnings = facts(reference(body)).warnings
    assert any(said in warning for warning in warnings), warnings
    assert all("\n" not in warning for warning in warnings)


def test_a_sound_reference_has_no_warning():
    assert facts(reference(layer("nn.ConvTranspose3d(4, 6, (1, 2, 3), bias=True)"))).warnings == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            reference(layer("nn.Linear(8, 16)"), before="raise RuntimeError('no')"),
            "does not load: RuntimeError: no (line 4)",
        ),
        (reference(layer("nn.Linear(8)")), "Model(*get_init_inputs()) failed: TypeError"),
        (reference(layer("nn.Linear(8, 16)"), init="[1, 2]"), "Model(*get_init_inputs()) failed: TypeError"),
        (reference(layer("nn.Linear(8, 16)"), inputs="undefined"), "get_inputs() failed: NameError"),
        (reference(layer("nn.Linear(8, 16)"), inputs="undefined"), "is not defined (line 13)"),
        (
            reference(layer("nn.ReLU()")).replace("[torch.rand(2, 4, 3, 4, 5)]", "torch.rand(2)"),
            "returns a tensor; return",
        ),
        (
            reference("    def forward(self, x):\n        return x @ x\n"),
            "p: the reference does not run: RuntimeError",
        ),
        (
            reference("    def forward(self, x):\n        return torch.log(x - 5)\n"),
            "every element of output0 is NaN, so nothing can be compared: change get_inputs",
        ),
        (reference("    def forward(self, x):\n        return torch.rellu(x)\n"), "no attribute 'rellu' (line 7)"),
        ("Model = int\ndef get_inputs(): return []\ndef get_init_inputs(): return []\n", "not a torch.nn.Module"),
    ],
)
def test_what_does_not_load_is_a_bad_problem(source, said):
    with pytest.raises(BadProblem) as caught:
        facts(source)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hyperparameters_are_literals_and_keys_resolve():
    for found in map(built_in, PROBLEMS):
        values = [ast.literal_eval(text) for text in found.hyperparameters.values()]
        assert len(values) == 9
    assert all(load_problem(key).id == problem.id for key, problem in PROBLEMS.items())
    assert len({problem.id for problem in PROBLEMS.values()}) == 7


def test_the_command_prints_json_and_fails_in_one_line(monkeypatch):
    command = [sys.executable, "-m", "evaluators.judge.facts", "convt3d-72"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    assert json.loads(printed)["flop"] == built_in("convt3d-72").flop
    monkeypatch.setattr(sys, "argv", ["facts", "nothing-like-it"])
    with pytest.raises(SystemExit, match=r"^error: unknown problem [^\n]*$"):
        main()
