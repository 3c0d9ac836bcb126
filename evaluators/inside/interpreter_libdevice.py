"""`libdevice` in the interpreter: the common functions through numpy, the others refused by name.

Left alone the interpreter returns None from them.
Limits: float32 only; results are numpy's, not libdevice's bits; every rounding mode rounds to nearest.
"""

import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

from evaluators.inside.interpreter_fast import tensor_of

_ONE = (
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
)
_TWO = {"pow": np.power, "fmod": np.fmod, "atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign}
_OTHERS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "floor": np.floor,
    "trunc": np.trunc,
    "rint": np.rint,
    "rsqrt": lambda x: (1 / np.sqrt(x)).astype(x.dtype),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "fma": lambda x, y, z: x * y + z,
    "fast_expf": np.exp,
    "fast_logf": np.log,
    "fast_tanhf": np.tanh,
    "fast_dividef": np.divide,
    "fast_powf": np.power,
    "fast_exp10f": lambda x: np.power(np.float32(10), x),
    "fast_sinf": np.sin,
    "fast_cosf": np.cos,
    "fast_log2f": np.log2,
    "saturatef": lambda x: np.clip(x, 0, 1),
    "exp10": lambda x: np.power(np.float32(10), x),
    "round": lambda x: np.trunc(x + np.copysign(np.float32(0.5), x)),
    "nearbyint": np.rint,
    "fdim": lambda x, y: np.maximum(x - y, 0),
}
_ROUNDED: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": _OTHERS["fma"],
    "sqrt": np.sqrt,
    "rcp": np.reciprocal,
}
KNOWN: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in _ONE},
    **_TWO,
    **_OTHERS,
    **{f"{name}_{mode}": function for name, function in _ROUNDED.items() for mode in ("rn", "rz", "ru", "rd")},
}
_MODULES = ("triton.language.extra.libdevice", "triton.language.extra.cuda.libdevice")


def install() -> None:
    """Replace the functions of every libdevice module of this process."""
    for name in _MODULES:
        module = importlib.import_module(name)
        for function_name, function in inspect.getmembers(module, callable):
            if not function_name.startswith("_") and getattr(function, "__module__", "") == name:
                setattr(module, function_name, _stand_in(function_name))


def _stand_in(name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        tensors = [interpreter.interpreter_semantic.to_tensor(argument) for argument in arguments]
        dtypes = {tensor.dtype.name for tensor in tensors}
        if name not in KNOWN or not dtypes <= {"fp32"}:
            raise NotImplementedError(f"libdevice.{name} on {sorted(dtypes)} is not supported in interpreter mode")
        data = KNOWN[name](*(tensor.handle.data for tensor in tensors)).astype(np.float32)
        return tensor_of(data, tl.float32, is_block=any(tensor.shape for tensor in tensors))

    call.__name__ = name
    return call
