"""Read executed ATen operators: the field's name for them, their FLOP, and the hyperparameters they really ran with.

Limits: convolutions in full; other operators by name and torch's own FLOP formula only.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from evaluators.judge.meta_run import OperatorCall
from evaluators.judge.transposed import Axis, TransposedConvolution

_MATMULS = {"mm", "addmm", "bmm", "baddbmm"}


@dataclass(frozen=True)
class _Convolution:
    """aten::convolution's positional arguments, named. Sizes given once stand for every axis."""

    input: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    @property
    def rank(self) -> int:
        """Spatial axes."""
        return self.input.dim() - 2


def operator_name(call: OperatorCall) -> str:
    """`conv_transpose3d`, `conv2d`, `matmul`, or ATen's own name."""
    convolution = _convolution(call)
    if convolution:
        return f"conv_transpose{convolution.rank}d" if convolution.transposed else f"conv{convolution.rank}d"
    if call.name in _MATMULS:
        return "matmul"
    return "attention" if "scaled_dot_product" in call.name else call.name.strip("_")


def transposed_convolution(call: OperatorCall) -> TransposedConvolution | None:
    """The exact sizes of a transposed convolution; None for any other operator."""
    convolution = _convolution(call)
    if convolution is None or not convolution.transposed:
        return None
    sizes = zip(
        convolution.input.shape[2:],
        call.result.shape[2:],
        convolution.weight.shape[2:],
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        strict=True,
    )
    return TransposedConvolution(
        batch=convolution.input.shape[0],
        in_channels=convolution.input.shape[1],
        out_channels_per_group=convolution.weight.shape[1],
        axes=tuple(Axis(*size) for size in sizes),
    )


def flop_of(call: OperatorCall) -> int | None:
    """FLOP of one executed operator; None where no formula is known."""
    convolution = transposed_convolution(call)
    if convolution:
        return convolution.flop
    formula = flop_registry.get(call.operator.overloadpacket)
    return int(formula(*call.arguments, **call.keywords, out_val=call.result)) if formula else None


def convolution_hyperparameters(call: OperatorCall) -> dict[str, str]:
    """What a convolution ran with, as Python literals; empty for any other operator."""
    convolution = _convolution(call)
    if convolution is None:
        return {}
    values: dict[str, Any] = {
        "in_channels": convolution.input.shape[1],
        "out_channels": call.result.shape[1],
        "kernel_size": tuple(convolution.weight.shape[2:]),
        "stride": convolution.stride,
        "padding": convolution.padding,
        "output_padding": convolution.output_padding if convolution.transposed else None,
        "dilation": convolution.dilation,
        "groups": convolution.groups,
        "bias": convolution.bias is not None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _convolution(call: OperatorCall) -> _Convolution | None:
    if call.name != "convolution":
        return None
    source, weight, bias, stride, padding, dilation, transposed, output_padding, groups = call.arguments
    rank = source.dim() - 2
    stride, padding, dilation, output_padding = (
        tuple(sizes) * (rank if len(sizes) == 1 else 1) for sizes in (stride, padding, dilation, output_padding)
    )
    return _Convolution(source, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
