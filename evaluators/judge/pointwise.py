"""Single outputs of a convolution in float64, without computing the others.

A full-size reference output costs 80 GFLOP and more; the sampled programs of a candidate wrote a few thousand elements
of it. Limits: references that are one plain or transposed convolution, which is proven on a small geometry before use.
"""

import itertools

import torch

from evaluators.judge.diagnosis import Setup, only_convolution, setup_of
from evaluators.judge.expectation import run
from evaluators.judge.geometry import Geometry


def is_one_convolution(small: Geometry) -> bool:
    """Whether `outputs_at` gives what this reference gives, tried on all outputs of a small geometry."""
    model, inputs = small.build(0), small.draw(0)
    convolution = only_convolution(model)
    if convolution is None or len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        return False
    (exact,) = run(model.double(), [inputs[0].double()], small.name)
    positions = torch.cartesian_prod(*(torch.arange(n) for n in exact.shape[1:]))
    setup = setup_of(convolution)
    return all(
        torch.allclose(outputs_at(item, setup, positions), exact[i].reshape(-1), rtol=1e-9, atol=1e-12)
        for i, item in enumerate(inputs[0])
    )


def outputs_at(item: torch.Tensor, s: Setup, positions: torch.Tensor) -> torch.Tensor:
    """Outputs of one batch item (channels, *space) at positions (channel, *space), one per row."""
    group_in = item.shape[0] // s.groups
    group_out = s.weight.shape[1] if s.transposed else s.weight.shape[0] // s.groups
    out_channel = positions[:, 0]
    channels = (out_channel // group_out * group_in)[:, None] + torch.arange(group_in)
    flat, weight = item.reshape(item.shape[0], -1), s.weight.flatten(2)
    total = torch.zeros(len(positions), dtype=torch.float64) if s.bias is None else s.bias[out_channel].clone()
    for number, tap in enumerate(itertools.product(*(range(k) for k in s.weight.shape[2:]))):
        where, reaches = _source(item, s, positions, tap)
        seen = flat[channels[reaches], where[reaches, None]].double()
        if s.transposed:
            factor = weight[channels[reaches], (out_channel[reaches] % group_out)[:, None], number]
        else:
            factor = weight[out_channel[reaches], :, number]
        total[reaches] += (seen * factor).sum(1)
    return total


def _source(
    item: torch.Tensor, s: Setup, positions: torch.Tensor, tap: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat input index that this tap reads for every position, and whether it reads one at all."""
    where = torch.zeros(len(positions), dtype=torch.int64)
    reaches = torch.ones(len(positions), dtype=torch.bool)
    for d, extent in enumerate(item.shape[1:]):
        if s.transposed:
            index = positions[:, d + 1] + s.padding[d] - tap[d] * s.dilation[d]
            reaches &= (index >= 0) & (index % s.stride[d] == 0)
            index = index // s.stride[d]
        else:
            index = positions[:, d + 1] * s.stride[d] - s.padding[d] + tap[d] * s.dilation[d]
        reaches &= (index >= 0) & (index < extent)
        where = where * extent + index.clamp(0, extent - 1)
    return where, reaches
