"""Convolutions and matrix products of the library refused in the dispatcher itself, for every thread of the process.

The operator record (operator_record.py) is a mode that code can step out of; a kernel registered for the CPU cannot be
stepped out of. Honest candidates need none of these, not even to initialise their parameters.
Limits: the operators listed here; elementwise operators are left to the record.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch

from evaluators.inside.process_audit import ForbiddenAction

_ATEN = """convolution _convolution convolution_overrideable convolution_backward _slow_conv2d_forward
    slow_conv3d_forward slow_conv3d slow_conv_transpose2d slow_conv_transpose3d slow_conv_dilated2d
    slow_conv_dilated3d mkldnn_convolution _conv_depthwise2d mkldnn_linear mm bmm addmm baddbmm addbmm addmv
    mv dot vdot addr _cdist_forward _addmm_activation _int_mm nnpack_spatial_convolution
    _nnpack_spatial_convolution"""
_CUDA = """cudnn_convolution cudnn_convolution_transpose cudnn_convolution_relu cudnn_convolution_add_relu
    conv_depthwise3d _scaled_mm _fft_c2c _fft_r2c _fft_c2r _scaled_dot_product_flash_attention
    _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"""
_MKLDNN = "_convolution_pointwise _convolution_transpose_pointwise _linear_pointwise"


def install(note: Callable[[str], object], *, keys: tuple[str, ...] = ("CPU",)) -> None:
    """Refuse them from now on; `note` is told of each attempt, so that one that is caught is found as well.

    keys: the devices they are refused on, by the dispatcher's names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that a kernel is overridden, which is the point
        for namespace, names in (("aten", _ATEN), ("mkldnn", _MKLDNN), ("aten", _CUDA if "CUDA" in keys else "")):
            # torch does not annotate it
            library: Any = torch.library.Library(namespace, "IMPL")  # type: ignore[no-untyped-call]
            _kept.append(library)
            for name in names.split():
                if hasattr(getattr(torch.ops, namespace), name):
                    refusal = _refusal(f"{namespace}.{name}", note)
                    for key in keys:
                        library.impl(name, refusal, key)


_kept: list[Any] = []  # a library that is collected takes its kernels with it


def _refusal(name: str, note: Callable[[str], object]) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        note(name)
        raise ForbiddenAction(f"{name} is a library call: compute it in your own kernel")

    return refused
