"""What the calls on one model are asked with."""

from random import Random

import pytest
import torch

from evaluators.judge.sequence import steps_of
from evaluators.problem import Tolerance


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_scaled_inputs_are_large_and_finite_in_every_type(kind):
    """1e5 in fp16 is infinity: a right kernel that multiplies it by a zero of its own was refused for that."""
    steps = steps_of(Tolerance(), Random(0), [torch.ones(4, dtype=kind)])
    scaled = [
        step.change([torch.ones(1000, dtype=kind)], Random(0))[0] for step in steps if step.check == "scaled_inputs"
    ]
    assert all(value.isfinite().all() for value in scaled)
    assert sorted(bool(value.max() > 100) for value in scaled) == [False, True]
