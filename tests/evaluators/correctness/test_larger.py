"""Kernels that are right up to the published sizes and wrong beyond them."""

import pytest

from evaluators.evaluation import Check
from evaluators.judge import examination
from evaluators.judge.constants import hoisted, module_constants
from evaluators.judge.geometry import geometries_of
from evaluators.judge.larger import INTERPRETED, LITTLE, ONE_AXIS, Cost, affordable, larger_of, parts_of
from evaluators.judge.reference import Reference
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import Findings, correctness, interpreted

GRID = "grid = (triton.cdiv(M, 16),)"
LOOP = "range(0, K, BLOCK_K)"
WRONG = {
    "grid of ReLU": ("relu", "(triton.cdiv(x.numel(), 1024),)", "(16,)"),
    "grid": ("linear_softmax", GRID, "grid = (4,)"),
    "loop": ("linear_softmax", LOOP, "range(0, 256, BLOCK_K)"),
}
PROBLEMS = {"relu": "relu_problem", "linear_softmax": "linear_softmax_problem"}


def larger_sizes(found):
    return next(check for check in found.checks if check.name == "larger_sizes")


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_honest_kernel_is_right_beyond_the_published_sizes(check, beyond, name):
    found = check(beyond(name), beyond(PROBLEMS[name]))
    assert (found.failure, found.unverified, found.scope) == (None, "", ())
    assert larger_sizes(found).status == "passed"
    assert larger_sizes(found).detail.startswith("interpreted: right on")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_fixed_to_a_published_size_is_wrong(check, beyond, replaced, name):
    kernel, right, wrong = WRONG[name]
    found = check(replaced(beyond(kernel), right, wrong), beyond(PROBLEMS[kernel]))
    assert found.failure.kind == "incorrect_numerical"
    assert larger_sizes(found).status == "failed"


def test_who_refuses_larger_sizes_passes_and_it_is_said(check, beyond, replaced):
    refusing = "M, K = x.shape\n        assert M <= 64"
    found = check(replaced(beyond("linear_softmax"), "M, K = x.shape", refusing), beyond("linear_softmax_problem"))
    assert (found.failure, found.unverified) == (None, "")
    assert larger_sizes(found).status == "not_checked" and "refused by raising" in larger_sizes(found).detail
    assert "larger geometry" in found.scope[0]


@pytest.fixture
def nothing_at_once(monkeypatch):
    """All sizes at once cost too much, and there is time for every single one."""
    monkeypatch.setattr(interpreted, "INTERPRETED", Cost(10, 10))
    monkeypatch.setattr(examination, "LARGER_S", 60.0)


@pytest.mark.usefixtures("nothing_at_once")
def test_one_size_at_a_time_leaves_larger_sizes_open(check, beyond):
    held = larger_sizes(check(beyond("linear_softmax"), beyond("linear_softmax_problem")))
    assert held.status == "not_checked" and "too much here" in held.detail
    assert all(name in held.detail.partition("right: ")[2] for name in ("batch_size", "in_features", "out_features"))


@pytest.mark.usefixtures("nothing_at_once")
@pytest.mark.parametrize("name", ["grid", "loop"])
def test_one_size_at_a_time_shows_what_is_fixed_to_it(check, beyond, replaced, name):
    kernel, right, wrong = WRONG[name]
    found = check(replaced(beyond(kernel), right, wrong), beyond(PROBLEMS[kernel]))
    assert found.failure.kind == "incorrect_numerical"
    assert "larger in" in found.failure.message


@pytest.mark.parametrize("key", ["convt3d-68", "convt3d-73"])
def test_every_axis_exceeds_its_published_size_in_some_geometry(key):
    reference = Reference(load_problem(key))
    larger = larger_of(reference, INTERPRETED)
    assert set(larger.axes) == {"batch_size", "in_channels", "out_channels", "depth", "height", "width"}
    published = reference.input_facts[0].shape
    tried = {axis: geometry for axis in larger.axes if (geometry := larger.in_one(axis))}
    assert {"batch_size", "in_channels"} <= set(tried)
    for position, axis in enumerate(("batch_size", "in_channels", "depth", "height", "width")):
        if axis in tried:
            (x,) = tried[axis].draw(0)
            assert x.shape[position] > published[position]
            assert x.numel() <= ONE_AXIS.elements


FRINGE_CUT_OFF = """
import torch


class Model(torch.nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.layer = torch.nn.ConvTranspose2d(in_channels, out_channels, 3, padding=2)

    def forward(self, x):
        return self.layer(x)


def get_inputs():
    return [torch.rand(6, 24, 17, 11)]


def get_init_inputs():
    return [24, 40]
"""


def test_sizes_are_those_that_the_reference_takes():
    """Meta tensors accept a convolution without outputs, and the run ended with an error of the reference."""
    larger = larger_of(Reference(Problem(key="t", title="", source=FRINGE_CUT_OFF)), INTERPRETED)
    tried = [geometry for axis in larger.axes if (geometry := larger.in_one(axis))]
    assert tried and all(output.numel() for geometry in tried for output in geometry.outputs())


def test_sizes_that_stand_in_the_model_stay():
    """`nn.Conv2d(24, 40, 3)` inside Model takes 24 channels; the run ended with an error of the reference."""
    own = FRINGE_CUT_OFF.replace("(in_channels, out_channels, 3", "(24, 40, 3").replace("[24, 40]", "[9, 10]")
    reference = Reference(Problem(key="t", title="", source=own))
    larger = larger_of(reference, INTERPRETED)
    # of the drawn sizes some are small enough for all at once
    tried = [geometry for axis in larger.axes if (geometry := larger.in_one(axis))] or [larger.whole]
    shapes = [geometry.draw(0)[0].shape for geometry in (*tried, geometries_of(reference).reduced)]
    assert all(shape[1] == 24 for shape in shapes)


@pytest.mark.timeout(60)
def test_a_geometry_that_is_too_large_is_never_run():
    """33 to 39 positions on four axes of this convolution are 40 TFLOP on the CPU; the first attempt never ended."""
    own = FRINGE_CUT_OFF.replace("ConvTranspose2d(in_channels, out_channels, 3", "ConvTranspose3d(24, 40, 3, stride=2")
    own = own.replace("torch.rand(6, 24, 17, 11)", "torch.rand(16, 24, 16, 32, 32)").replace("[24, 40]", "[9, 10]")
    geometries = geometries_of(Reference(Problem(key="t", title="", source=own)))
    assert geometries.general == () and geometries.reduced.draw(0)[0].numel() < 10_000


def test_sizes_are_drawn_anew(beyond):
    reference = Reference(Problem(key="relu", title="", source=beyond("relu_problem")))
    shapes = {tuple(larger_of(reference, INTERPRETED).whole.draw(0)[0].shape) for _ in range(10)}
    assert len(shapes) > 5
    assert all(rows > 16 and width > 1000 and rows % 2 and width % 2 for rows, width in shapes)


PUBLISHED = {"batch_size": 16, "in_channels": 32, "depth": 64, "height": 64, "width": 64}  # of problem 68
ELEMENTS = 574_000_000  # of its inputs, weights and outputs


def sizes_of(part):
    (fact,) = Reference(part.problem).input_facts
    return dict(zip(PUBLISHED, fact.shape, strict=True))


@pytest.mark.parametrize("room", [10 * ELEMENTS, 2 * ELEMENTS])
def test_a_device_with_room_is_asked_for_every_axis_at_once(room):
    (part,) = parts_of(Reference(load_problem("convt3d-68")), room)
    assert set(part.axes) == {*PUBLISHED, "out_channels"}
    sizes = sizes_of(part)
    assert all(sizes[axis] > size for axis, size in PUBLISHED.items())
    (output,) = Reference(part.problem).output_facts
    assert output.shape[1] > 64
    assert output.shape[0] * output.shape[1] * output.shape[2] * output.shape[3] * output.shape[4] < room


def test_where_all_at_once_do_not_fit_every_axis_is_larger_in_one_part():
    parts = parts_of(Reference(load_problem("convt3d-68")), ELEMENTS // 4)
    assert len(parts) > 1
    assert sorted(axis for part in parts for axis in part.axes) == sorted((*PUBLISHED, "out_channels"))
    for part in parts:
        sizes = sizes_of(part)
        assert all((sizes[axis] > size) == (axis in part.axes) for axis, size in PUBLISHED.items())
        assert "batch_size" in part.axes or sizes["batch_size"] == 1


def test_what_no_device_has_room_for_is_named(beyond):
    problem = Problem(key="softmax", title="", source=beyond("linear_softmax_problem"))
    parts = parts_of(Reference(problem), 10)
    assert [part.problem for part in parts] == [None] * 3
    assert {axis for part in parts for axis in part.axes} == {"batch_size", "in_features", "out_features"}


def test_a_model_of_many_parameters_is_made_small(beyond):
    wide = beyond("linear_softmax_problem").replace("in_features = 256", "in_features = 1 << 20")
    parts = parts_of(Reference(Problem(key="softmax", title="", source=wide)), 10**12)
    (widened,) = (part for part in parts if "in_features" in part.axes)
    weight = Reference(widened.problem).parameter_facts[0].shape
    assert weight[1] > 1 << 20 and weight[0] * weight[1] < 16_000_000
    assert all(part.problem for part in parts)


def test_a_size_without_a_name_is_called_by_its_value_and_place():
    file = "def get_inputs():\n    return [f(256, 4096, 256)]\n\ndef get_init_inputs():\n    return [4096]\n"
    found = module_constants(hoisted(file, apart=True))
    assert found == {"_size_256_of_get_inputs": 256, "_size_4096": 4096, "_size_256_of_get_inputs_2": 256}


def test_work_that_nobody_counted_is_not_called_none():
    assert str(Cost(3_500_000, 0)) == "3.5e+06 elements"
    assert str(Cost(10, 20)) == "10 elements, 20 FLOP"


def test_a_call_beyond_costs_little_or_a_few_published_ones():
    assert affordable(Cost(1, 1), room=10**12) == LITTLE
    large = Cost(10**9, 10**12)
    assert affordable(large, room=10**12) == Cost(3 * 10**9, 3 * 10**12)
    assert affordable(large, room=10**9) == Cost(10**9, 3 * 10**12)


def test_it_is_enough_that_the_device_tried_every_axis():
    interpreted = Findings(checks=(Check(name="larger_sizes", status="not_checked", detail="interpreted: one axis"),))
    called = Findings(checks=(Check(name="larger_sizes", status="passed", detail="on the device: all"),))
    both = larger_sizes(correctness._both(interpreted, called))
    assert (both.status, both.detail) == ("passed", "interpreted: one axis; on the device: all")
    refused = Check(name="larger_sizes", status="not_checked", detail="on the device: refused")
    neither = larger_sizes(correctness._both(interpreted, Findings(checks=(refused,))))
    assert (neither.status, neither.detail) == ("not_checked", "interpreted: one axis; on the device: refused")


def test_what_was_not_interpreted_is_settled_by_the_device():
    open_ = Check(name="general", status="not_checked", detail="1 unpublished geometry right, 4 cannot be run here")
    done = tuple(Check(name=name, status="passed", detail="on the device") for name in ("general", "larger_sizes"))
    device = Findings(checks=done, scope=("stride 3: refused",))
    found = correctness._both(Findings(checks=(open_,), unverified="Gluon"), device)
    assert found.scope == ("stride 3: refused",)
    status = {check.name: check.status for check in found.checks}
    assert status == {"interpreted": "not_checked", "general": "passed", "larger_sizes": "passed"}
    assert len(found.checks) == len(status)
