"""Kernels that are right up to the published sizes and wrong beyond them."""

import pytest

from evaluators.judge import examination
from evaluators.judge.larger import INTERPRETED, ONE_AXIS, Cost, larger_of
from evaluators.judge.reference import Reference
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from evaluators.rungs import correctness

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
    monkeypatch.setattr(correctness, "INTERPRETED", Cost(10, 10))
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


def test_sizes_are_drawn_anew(beyond):
    reference = Reference(Problem(key="relu", title="", source=beyond("relu_problem")))
    shapes = {tuple(larger_of(reference, INTERPRETED).whole.draw(0)[0].shape) for _ in range(10)}
    assert len(shapes) > 5
    assert all(rows > 16 and width > 1000 and rows % 2 and width % 2 for rows, width in shapes)
