"""Which sizes a candidate is tried on, and references that cannot be tried at all."""

import pytest
import torch

from evaluators.errors import BadProblem
from evaluators.judge import host_memory
from evaluators.judge.conversation import CandidateFault
from evaluators.judge.full_size import full_size_of
from evaluators.judge.geometry import geometries_of
from evaluators.judge.reference import Reference
from evaluators.judge.sampling import _after_fault
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Findings
from sandbox import Limits

CONV2D = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x):
        return self.conv(x)

batch_size = 16
in_channels, out_channels = 32, 64
kernel_size = 3
width = height = 128

def get_inputs():
    return [torch.rand(batch_size, in_channels, 128, 128)]

def get_init_inputs():
    return [in_channels, out_channels, kernel_size]
"""
MISPLACED = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1):
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, out_channels, kernel_size, stride, padding, output_padding, groups)

    def forward(self, x):
        return self.conv(x)

groups = 4

def get_inputs():
    return [torch.rand(2, 32, 8, 8, 8)]

def get_init_inputs():
    return [32, 32, 3, 2, 1, groups]
"""


def reference(source):
    return Reference(Problem(key="problem", title="a problem", source=source))


def shapes(geometry):
    return [tuple(v.shape) for v in geometry.draw(0)]


def test_the_small_versions_keep_the_hyperparameters(small):
    found = geometries_of(reference(small))
    assert found.reduced.init == (4, 6, (3, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 1), 2)
    assert shapes(found.reduced) == [(2, 4, 2, 3, 4)]
    assert shapes(found.smallest) == [(2, 4, 1, 2, 3)]


@pytest.mark.parametrize("key", ["58", "61", "68", "70", "72", "73", "77"])
def test_every_built_in_problem_has_small_and_general_geometries(key):
    problem = load_problem(f"convt3d-{key}")
    found = geometries_of(Reference(problem))
    assert found.unshrunk is not None
    assert 5 <= len(found.general) <= 7
    channels = {geometry.init[:2] for geometry in found.general}
    assert all(a != b for a, b in channels - {(2, 2)})
    for geometry in (found.reduced, found.smallest, *found.general):
        (shape,) = shapes(geometry)
        output = geometry.outputs()[0]
        assert len(set(shape[2:])) >= 2, "equal extents hide exchanged axes"
        assert 0 < output.numel() < 6000


def test_an_argument_that_the_reference_ignores_keeps_its_value():
    found = geometries_of(Reference(load_problem("convt3d-73")))
    assert {geometry.init[5] for geometry in found.general if len(geometry.init) > 5} == {4}
    assert "the reference ignores output_padding" in found.reduced.description


def test_general_geometries_vary_what_the_problem_leaves_at_its_default(stride_one):
    general = geometries_of(reference(stride_one)).general
    text = " ".join(geometry.description for geometry in general)
    for part in (
        "groups=2",
        "bias=True",
        "stride=(2, 1, 3)",
        "output_padding=(1, 0, 2)",
        "kernel_size=(1, 2, 3)",
        "padding=(1, 1, 0)",
    ):
        assert part in text


def test_a_plain_convolution_gets_general_geometries_too():
    found = geometries_of(reference(CONV2D))
    assert len(found.general) >= 3
    assert all(len(shapes(geometry)[0]) == 4 for geometry in found.general)


def test_a_reference_that_cannot_run_is_the_problems_fault():
    with pytest.raises(BadProblem, match=r"reference not runnable on CPU: .*output padding must be smaller"):
        geometries_of(reference(MISPLACED))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("class Model: pass\n", "lacks get_inputs, get_init_inputs"),
        ("import torch\n1 / 0\n", "does not load: ZeroDivisionError"),
        ("def broken(:\n", "does not load: SyntaxError"),
    ],
)
def test_a_reference_that_does_not_load_is_the_problems_fault(source, said):
    with pytest.raises(BadProblem, match=said):
        reference(source)


def test_facts_come_without_allocating_the_published_size():
    known = Reference(load_problem("convt3d-68"))
    assert [f.shape for f in known.input_facts] == [(16, 32, 64, 64, 64)]
    assert [f.name for f in known.input_facts] == ["x"]
    assert [f.shape for f in known.output_facts] == [(16, 64, 66, 68, 68)]
    assert [(f.name, f.dtype) for f in known.parameter_facts] == [("conv_transpose3d.weight", "float32")]
    assert known.init_literal == "(32, 64, (3, 5, 5))"


def test_secret_inputs_differ_by_seed_and_leave_the_global_generator_alone(small):
    geometry = geometries_of(reference(small)).reduced
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert not torch.equal(geometry.draw(1)[0], geometry.draw(2)[0])
    assert torch.equal(geometry.draw(1)[0], geometry.draw(1)[0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_sizes_written_as_literals_are_made_small_too():
    source = MISPLACED.replace("return [32, 32, 3, 2, 1, groups]", "return [32, 48, 3, 2, 1, 1]").replace(
        "8, 8, 8", "64, 64, 64"
    )
    found = geometries_of(reference(source))
    assert shapes(found.reduced) == [(2, 2, 2, 3, 4)]
    assert found.reduced.init[:3] == (2, 3, 3)


def test_equal_literals_stay_equal_where_the_reference_needs_it():
    source = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, a, b):
        return a * b

def get_inputs():
    return [torch.rand(128, 4096), torch.rand(128, 4096)]

def get_init_inputs():
    return []
"""
    first, second = shapes(geometries_of(reference(source)).reduced)
    assert first == second
    assert first[0] != first[1]


def test_sizes_written_as_arithmetic_chains_or_annotations_are_reduced_too():
    from evaluators.judge.constants import module_constants, plain_sizes

    source = "width = height = 64\nn: int = 1 << 20\nm = 4 * 25 + 8\nname = 'a' * 3\nhuge = 2 ** 10 ** 9\n"
    constants = module_constants(plain_sizes(source))
    assert constants == {"width": 64, "height": 64, "n": 1 << 20, "m": 108}


SQUARE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, A, B):
        return torch.matmul(A, B)

N = 4096

def get_inputs():
    return [torch.rand(N, N), torch.rand(N, N)]

def get_init_inputs():
    return []
"""
FAR_TAPS = CONV2D.replace("dilation=1", "dilation=4").replace("kernel_size = 3", "kernel_size = 5")


def test_square_matrices_have_no_batch_although_all_first_dimensions_agree():
    plan = full_size_of(Reference(Problem(key="square", title="", source=SQUARE)))
    assert plan is not None and not plan.items and not plan.valued


def test_an_input_grows_until_far_taps_fit_it():
    reduced = geometries_of(Reference(Problem(key="far", title="", source=FAR_TAPS))).reduced
    assert reduced.draw(0)[0].shape[-1] >= 17


def test_a_host_too_small_for_the_published_size_is_no_fault_of_the_candidate(monkeypatch):
    problem = load_problem("convt3d-58")  # 110 MB
    full = CandidateFault("runtime_error", "RuntimeError: DefaultCPUAllocator: can't allocate memory")
    for memory_mb, held_back in ((200, ""), (8192, "at the published size on this machine: ")):
        monkeypatch.setattr(host_memory, "Limits", lambda memory_mb=memory_mb: Limits(memory_mb=memory_mb))
        found = _after_fault(problem, Findings(), full)
        assert found.failure is None and found.checks[0].status == "not_checked"
        assert found.unverified.startswith(held_back) and bool(found.unverified) == bool(held_back)
    assert _after_fault(problem, Findings(), CandidateFault("runtime_error", "ValueError: no")).failure is not None
