"""Parameters and buffers: what a call may leave in them, and weights that are taken before they are given."""

import pytest

COUNTED = "self.scale = nn.Parameter(torch.randn(width))\n        self.register_buffer('seen', torch.full((1,), 2.0))"
WRITES = "y = torch.empty_like(x)\nscaled[(1,)](self.{name}, self.{name}, self.{name}, 1, 1, BLOCK=16)\n"


@pytest.fixture
def stateful(scaled_problem, replaced):
    """A reference with a buffer; its forward is `forward`."""
    scale = "self.scale = nn.Parameter(torch.randn(width))"
    return lambda forward: replaced(scaled_problem, scale, COUNTED, "return x * self.scale", forward)


@pytest.fixture
def writing(scaled):
    """A right answer by a module that squares one of its own tensors on the way."""
    forward = "scaled[(triton.cdiv(x.numel(), 1024),)](x, self.scale, y, x.numel(), x.shape[1], BLOCK=1024)\nreturn y"
    init = "self.register_buffer('seen', torch.full((1,), 2.0))"
    return lambda name: scaled(
        init=init, forward=WRITES.format(name=name) * bool(name) + "y = torch.empty_like(x)\n" + forward
    )


KEEPS, LEAVES = "self.seen += 1\n        return x * self.scale", "return x * self.scale + 0 * self.seen"


@pytest.mark.parametrize(("reference", "written"), [(KEEPS, ""), (KEEPS, "seen"), (LEAVES, "")])
def test_a_buffer_may_change_where_the_reference_changes_it(check, stateful, writing, reference, written):
    found = check(writing(written), stateful(reference))
    assert (found.failure, found.unverified) == (None, "")


def test_a_buffer_that_the_reference_leaves_alone_is_read_only(check, stateful, writing):
    found = check(writing("seen"), stateful(LEAVES))
    assert (found.failure.kind, found.failure.message) == (
        "rejected",
        "forward changes seen; parameters are read-only",
    )


def test_weights_taken_when_the_module_is_built_are_named_as_the_cause(check, scaled, scaled_problem, replaced):
    forward = "y = torch.empty_like(x)\nn = x.numel()\nscaled[(triton.cdiv(n, 1024),)](x, WEIGHT, y, n, x.shape[1], BLOCK=1024)\nreturn y"
    kept = scaled(init="self.kept = self.scale.detach().clone()", forward=replaced(forward, "WEIGHT", "self.kept"))
    assert "rearrange weights in forward" in check(kept, scaled_problem).failure.message
    wrong = scaled(forward=replaced(forward, "WEIGHT", "self.scale.flip(0)"))
    assert "rearrange weights in forward" not in check(wrong, scaled_problem).failure.message
