"""Legal geometries of convolutions that a problem did not publish, from the names of its Model's parameters.

Each case separates mistakes that the others hide: distinct kernel dimensions, strides that do not divide, strides
larger than the kernel, paddings, groups, a bias. An argument that the reference ignores keeps its published value.
Limits: one tensor input of shape (N, C, *space); other operators get none of these.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """One setting for three dimensions; with fewer the last entries count, for int parameters the largest."""

    channels: tuple[int, int]
    space: tuple[int, int, int]
    kernel_size: tuple[int, int, int]
    stride: tuple[int, int, int] = (1, 1, 1)
    padding: tuple[int, int, int] = (0, 0, 0)
    output_padding: tuple[int, int, int] = (0, 0, 0)
    dilation: tuple[int, int, int] = (1, 1, 1)
    groups: int = 1
    bias: bool = False


CASES = (
    Case((2, 3), (3, 2, 5), (1, 2, 3)),
    Case((3, 2), (2, 3, 3), (3, 2, 1), stride=(2, 2, 2), padding=(1, 1, 0), output_padding=(1, 1, 1), bias=True),
    Case((4, 6), (3, 3, 2), (1, 2, 3), (2, 1, 3), (0, 0, 1), (1, 0, 2), groups=2, bias=True),
    Case((2, 2), (3, 2, 4), (2, 3, 2), stride=(1, 2, 2), padding=(1, 1, 0)),
    Case((4, 2), (2, 3, 3), (2, 1, 2), padding=(0, 0, 1), groups=2),
    Case((1, 3), (3, 2, 3), (1, 1, 2), stride=(3, 2, 3), bias=True),
    Case((2, 3), (4, 3, 5), (2, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1), dilation=(2, 1, 2)),
)


@dataclass(frozen=True)
class Variation:
    """Init arguments of the reference with the shape of its input."""

    init: tuple[Any, ...]
    shape: tuple[int, ...]
    description: str


def legal_geometries(
    signature: inspect.Signature, published: tuple[Any, ...], inputs: list[Any], ignored: frozenset[str]
) -> Iterator[Variation]:
    """Variations of a convolution-like Model; none when the names or the inputs are of another kind."""
    try:
        bound = signature.bind(None, *published)
    except TypeError:
        return
    given = list(bound.arguments)
    bound.apply_defaults()
    names = list(bound.arguments)[1:]
    dimensions = inputs[0].dim() - 2 if len(inputs) == 1 and isinstance(inputs[0], torch.Tensor) else 0
    if not ({"in_channels", "out_channels", "kernel_size"} <= set(names) and 1 <= dimensions <= 3):
        return
    if any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in signature.parameters.values()):
        return
    for case in CASES:
        values = {
            n: bound.arguments[n] if n in ignored else _value(case, n, bound.arguments[n], dimensions) for n in names
        }
        kept = _trimmed(names, values, signature, len(given) - 1)
        shape = (2, values["in_channels"], *case.space[-dimensions:])
        named = ", ".join(f"{n}={values[n]!r}" for n in names[:kept])
        yield Variation(tuple(values[n] for n in names[:kept]), shape, f"Model({named}), input {shape}")


def _value(case: Case, name: str, published: Any, dimensions: int) -> Any:
    """What this case gives a parameter, in the form (int or tuple) the problem uses; unknown names keep their value."""
    if name in ("in_channels", "out_channels"):
        return case.channels[name == "out_channels"]
    if name in ("groups", "bias"):
        return getattr(case, name)
    if name not in ("kernel_size", "stride", "padding", "output_padding", "dilation"):
        return published
    values: tuple[int, int, int] = getattr(case, name)
    return tuple(values[-dimensions:]) if isinstance(published, tuple | list) else max(values[-dimensions:])


def _trimmed(names: list[str], values: dict[str, Any], signature: inspect.Signature, published: int) -> int:
    """How many arguments to pass: at least the published ones, none after the last that differs from its default."""
    kept = len(names)
    while kept > published and values[names[kept - 1]] == signature.parameters[names[kept - 1]].default:
        kept -= 1
    return kept
