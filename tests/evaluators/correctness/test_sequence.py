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


@pytest.mark.parametrize("said", ["two values of every parameter swapped", "values of every parameter shuffled"])
@pytest.mark.parametrize("count", [4, 28, 324, 2000])
def test_rearranged_weights_differ_and_have_the_same_rounded_sum(said, count):
    """A cache by the sum of its weights must find no new key, however the sum is rounded."""
    (step,) = (step for step in steps_of(Tolerance(), Random(0), [torch.ones(4)]) if step.said == said)
    rng, same = Random(1), 0
    for seed in range(40):
        weights = torch.randn(count, generator=torch.Generator().manual_seed(seed)).view(2, -1)
        changed = step.reweigh({"weight": weights}, rng)["weight"]
        assert changed.shape == weights.shape and not torch.equal(changed, weights)
        assert torch.equal(changed.flatten().sort().values, weights.flatten().sort().values)
        same += bool(changed.sum() == weights.sum())
    assert same >= 30  # of four values some have only a few orders


def test_parameters_of_one_value_and_counters_stay_as_they_are():
    for step in steps_of(Tolerance(), Random(0), [torch.ones(4)]):
        if step.reweigh and "values" in step.said:
            weights = {"bias": torch.ones(1), "count": torch.arange(8)}
            changed = step.reweigh(weights, Random(0))
            assert all(torch.equal(changed[name], value) for name, value in weights.items())
