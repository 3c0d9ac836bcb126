"""Inputs that are published with one sign: what is wrong for the other one or for zero, and references without."""

import pytest

UNIFORM = ("torch.rand(16, 1000) * 2 - 1", "torch.rand(16, 1000)")
NEGATED = "negated_inputs"


@pytest.fixture
def uniform(beyond, replaced):
    """`uniform(expression)`: a problem of it on inputs between zero and one."""
    return lambda expression: replaced(beyond("relu_problem"), *UNIFORM, "torch.relu(x)", expression)


@pytest.fixture
def computing(beyond, replaced):
    """`computing(expression)`: a kernel of it."""
    return lambda expression: replaced(beyond("relu"), "tl.maximum(x, 0.0)", expression)


@pytest.mark.parametrize("expression", ["x", "tl.abs(x)"])
def test_what_is_right_for_published_signs_only_is_wrong(check, uniform, computing, expression):
    found = check(computing(expression), uniform("torch.relu(x)"))
    assert found.failure.kind == "incorrect_numerical"
    assert next(c for c in found.checks if c.name == NEGATED).status == "failed"


def test_an_honest_kernel_is_right_for_both_signs(check, uniform, computing):
    found = check(computing("tl.maximum(x, 0.0)"), uniform("torch.relu(x)"))
    assert (found.failure, found.unverified) == (None, "")
    assert next(c for c in found.checks if c.name == NEGATED).status == "passed"


@pytest.mark.parametrize("expression", ["x * x / tl.abs(x)", "tl.exp(tl.log(x))"])
def test_what_is_no_number_at_zero_is_wrong(check, uniform, computing, expression):
    found = check(computing(expression), uniform("torch.abs(x)"))
    assert found.failure.kind == "incorrect_numerical"
    assert {c.name for c in found.checks if c.status == "failed"} <= {"zero_element", NEGATED}


REFUSED = "torch.sqrt(x if bool((x >= 0).all()) else x.view(-7))"


@pytest.mark.parametrize("expression", ["torch.sqrt(x)", REFUSED])
def test_signs_that_the_reference_does_not_take_are_not_asked(check, uniform, computing, expression):
    found = check(computing("tl.sqrt(x)"), uniform(expression))
    assert (found.failure, found.unverified) == (None, "")
    assert NEGATED not in {c.name for c in found.checks}
