"""Why a result is wrong: the candidate's output is compared with what typical mistakes would have given.

For a reference that is one convolution, the mistake is recomputed on the same inputs; only a match is reported.
Limits: one mistake at a time; for other operators only the pattern of wrong elements is described.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.modules.conv import _ConvNd

MATCH = 1e-3  # relative distance below which an output is explained by a mistake; half precision would still match


@dataclass(frozen=True)
class Setup:
    """A convolution as somebody might have understood it."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool
    shift: tuple[int, ...] = ()  # subtracted from the output position
    tests_stride: bool = True
    truncates_negative: bool = False  # -1 // 2 == 0, as in C
    offsets_input_group: bool = True


def hint_for(model: torch.nn.Module, inputs: Sequence[Any], got: torch.Tensor, expected: torch.Tensor) -> str:
    """The mistake that explains this output, or an empty text."""
    convolution = only_convolution(model)
    if convolution is None or len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor):
        return ""
    x, setup = inputs[0].double(), setup_of(convolution)
    size = tuple(expected.shape[2:])
    if _distance(_convolve(x, setup, size), expected) > MATCH:
        return ""  # the reference does more than this convolution
    for hint, mistaken in _mistakes(setup, convolution):
        result = _convolve(x, mistaken, size)
        if _distance(result, expected) > MATCH and _distance(got, result) < MATCH:
            return hint
    return ""


def only_convolution(model: torch.nn.Module) -> _ConvNd | None:
    """The one convolution of a model; None where there are several, or with padding that is not zeros."""
    found = [m for m in model.modules() if isinstance(m, _ConvNd)]
    plain = len(found) == 1 and found[0].padding_mode == "zeros" and not isinstance(found[0].padding, str)
    return found[0] if plain else None


def setup_of(c: _ConvNd) -> Setup:
    """What a convolution module computes, in float64."""
    bias = None if c.bias is None else c.bias.detach().double()
    weight = c.weight.detach().double()
    padding = tuple(int(p) for p in c.padding)
    return Setup(weight, bias, c.stride, padding, c.dilation, c.groups, c.transposed)


def _mistakes(s: Setup, c: _ConvNd) -> Iterator[tuple[str, Setup]]:
    ones, zeros = (1,) * len(s.stride), (0,) * len(s.stride)
    name = type(c).__name__
    layout = (
        "(in_channels, out_channels/groups, *kernel)" if s.transposed else "(out_channels, in_channels/groups, *kernel)"
    )
    yield f"the weight is read in another layout; that of nn.{name} is {layout}", replace(s, weight=_other_layout(s))
    if s.transposed:
        untested = (
            "wrong where the stride is above 1: a tap counts only if (output + padding - tap*dilation) % stride == 0"
        )
        yield untested, replace(s, tests_stride=False)
        yield untested, replace(s, tests_stride=False, truncates_negative=True)
        yield (
            "output_padding must only enlarge the output, it does not shift positions",
            replace(s, shift=tuple(int(p) for p in c.output_padding)),
        )
    yield "the bias is not added", replace(s, bias=None)
    yield "the stride is ignored", replace(s, stride=ones)
    yield "the padding is ignored", replace(s, padding=zeros)
    yield "the dilation is ignored", replace(s, dilation=ones)
    yield (
        "groups are ignored: every group reads the first group's input channels",
        replace(s, offsets_input_group=False),
    )
    yield "the kernel is flipped", replace(s, weight=s.weight.flip(tuple(range(2, s.weight.dim()))))
    for a, b in itertools.combinations(range(2, s.weight.dim()), 2):
        yield f"kernel dimensions {a - 2} and {b - 2} are swapped", replace(s, weight=_swapped(s.weight, a, b))


def _other_layout(s: Setup) -> torch.Tensor:
    """The same memory read with input and output channels exchanged."""
    first, second, *kernel = s.weight.shape
    other = s.weight.reshape(s.groups, second, first // s.groups, *kernel)
    return other.transpose(1, 2).reshape(s.weight.shape)


def _swapped(weight: torch.Tensor, a: int, b: int) -> torch.Tensor:
    """The same memory read with two kernel dimensions exchanged."""
    shape = list(weight.shape)
    shape[a], shape[b] = shape[b], shape[a]
    return weight.reshape(shape).transpose(a, b)


def _convolve(x: torch.Tensor, s: Setup, size: tuple[int, ...]) -> torch.Tensor:
    """The convolution tap by tap, so that every detail of it can be got wrong on purpose."""
    group_in = x.shape[1] // s.groups
    group_out = s.weight.shape[1] if s.transposed else s.weight.shape[0] // s.groups
    result = x.new_zeros((x.shape[0], s.groups * group_out, *size))
    for tap in itertools.product(*(range(k) for k in s.weight.shape[2:])):
        seen = _gathered(x, s, size, tap)
        w = s.weight.flatten(2)[:, :, _flat(tap, s.weight.shape[2:])]
        for g in range(s.groups):
            source = g if s.offsets_input_group else 0
            channels = seen[:, source * group_in : (source + 1) * group_in]
            outs = slice(g * group_out, (g + 1) * group_out)
            part = w[g * group_in : (g + 1) * group_in] if s.transposed else w[outs].T
            result[:, outs] += torch.einsum("nc...,co->no...", channels, part)
    if s.bias is not None:
        result += s.bias.reshape(1, -1, *[1] * len(size))
    return result


def _flat(tap: tuple[int, ...], kernel: Sequence[int]) -> int:
    position = 0
    for index, extent in zip(tap, kernel, strict=True):
        position = position * extent + index
    return position


def _gathered(x: torch.Tensor, s: Setup, size: tuple[int, ...], tap: tuple[int, ...]) -> torch.Tensor:
    for d, extent in enumerate(size):
        out = torch.arange(extent) - (s.shift[d] if s.shift else 0)
        if s.transposed:
            position = out + s.padding[d] - tap[d] * s.dilation[d]
            index = torch.div(position, s.stride[d], rounding_mode="trunc")
            valid = (position % s.stride[d] == 0) if s.tests_stride else torch.ones_like(position, dtype=torch.bool)
            valid = valid & ((position >= 0) | s.truncates_negative)
        else:
            index = out * s.stride[d] - s.padding[d] + tap[d] * s.dilation[d]
            valid = torch.ones_like(index, dtype=torch.bool)
        valid = valid & (index >= 0) & (index < x.shape[d + 2])
        taken = x.index_select(d + 2, index.clamp(0, x.shape[d + 2] - 1))
        x = taken * valid.reshape([-1 if i == d + 2 else 1 for i in range(x.dim())])
    return x


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a.double(), b.double()
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-30))
