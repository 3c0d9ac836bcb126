"""Short cuts through Triton's interpreter for the operations that kernels are made of.

The interpreter sends every `a + b` through type promotion, broadcasting and IR-like handles (25 us); numpy needs 1 us.
The common cases (integers, float32, booleans, pointers plus offsets, new axes, plain loads) go straight to numpy with
the same result; anything else takes the original path: a direct kernel of 6 programs went from 1.6 s to 0.22 s.
Limits: values only, no overflow guards; tests/evaluators/correctness compares both paths.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

Array = np.ndarray[Any, Any]
INT32, INT64, FP32, BOOL = "int32", "int64", "fp32", "int1"
_INT32_MAX = 2**31 - 1
_INTEGERS: dict[str, Any] = {INT32: np.int32, INT64: np.int64}
_LOADED = {FP32: np.dtype(np.float32), INT32: np.dtype(np.int32), BOOL: np.dtype(bool)}
_Tensor, _Block, _Constant, _Handle = tl.tensor, tl.block_type, tl.constexpr, interpreter.TensorHandle
_new: Callable[[Any], Any] = object.__new__
_known: dict[tuple[str, tuple[int, ...] | None], dict[str, Any]] = {}


def install() -> None:
    """Put the short cuts in front of the already patched operators of `tl.tensor`, `tl.load` and `.to`."""
    integers = frozenset((INT32, INT64))
    numbers, bits = integers | {FP32}, integers | {BOOL}
    for name, ufunc in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply)):
        _install(f"__{name}__", ufunc, numbers)
        _install(f"__r{name}__", _reversed(ufunc), numbers)
    for name, bitwise in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor)):
        _install(f"__{name}__", bitwise, bits)
    for name, comparison in _COMPARISONS.items():
        _install(f"__{name}__", comparison, numbers, result=tl.int1)
    _install("__floordiv__", _truncated_quotient, integers)
    _install("__mod__", np.fmod, integers)  # the sign of the dividend, as in C
    _install("__truediv__", np.divide, frozenset((FP32,)))
    _install_pointer_offsets()
    _install_new_axes()
    _install_load()
    _install_cast()


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}


def _truncated_quotient(a: Array, b: Any) -> Any:
    return (a - np.fmod(a, b)) // b


def _reversed(ufunc: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: ufunc(b, a)


def tensor_of(data: Array, dtype: Any, *, is_block: bool) -> Any:
    """A `tl.tensor` around numpy values, without building its type anew."""
    key = (dtype.name, data.shape if is_block else None)
    known = _known.get(key) or _remembered(key, dtype)
    handle = _new(_Handle)
    handle.data, handle.dtype, handle.attr = data, dtype, {}
    tensor = _new(_Tensor)
    tensor.__dict__.update(known)
    tensor.handle = handle
    return tensor


def _remembered(key: tuple[str, tuple[int, ...] | None], dtype: Any) -> dict[str, Any]:
    kind = dtype if key[1] is None else tl.block_type(dtype, list(key[1]))
    _known[key] = {k: v for k, v in vars(tl.tensor(None, kind)).items() if k != "handle"}
    return _known[key]


def _is_block(value: Any) -> bool:
    return type(value) is _Tensor and type(value.type) is _Block


def _operand(kind: str, self: Any, other: Any) -> Any:
    """The other operand as numpy sees it, or None where promotion or broadcasting has to be thought about."""
    if type(other) is _Tensor:
        if other.dtype.name != kind:
            return None
        theirs, ours = other.handle.data, self.handle.data
        return theirs if theirs.ndim == ours.ndim or not (_is_block(other) and _is_block(self)) else None
    if kind in _INTEGERS:
        return _INTEGERS[kind](other) if type(other) is int and -_INT32_MAX <= other <= _INT32_MAX else None
    if kind == FP32:
        return np.float32(other) if type(other) in (int, float) else None
    return None


def _install(name: str, ufunc: Callable[[Any, Any], Any], kinds: frozenset[str], result: Any = None) -> None:
    slow = getattr(tl.tensor, name)

    def fast(self: Any, other: Any) -> Any:
        if type(other) is _Constant:
            other = other.value
        kind = self.dtype.name
        operand = _operand(kind, self, other) if kind in kinds else None
        if operand is None:
            return slow(self, other)
        try:
            data = ufunc(self.handle.data, operand)
        except ValueError:  # shapes that do not broadcast: the original path has the better message
            return slow(self, other)
        return tensor_of(data, result or self.dtype, is_block=_is_block(self) or _is_block(other))

    setattr(tl.tensor, name, fast)


def _install_pointer_offsets() -> None:
    slow = tl.tensor.__add__

    def add(self: Any, other: Any) -> Any:
        if not isinstance(self.dtype, tl.pointer_type) or getattr(self.dtype.element_ty, "primitive_bitwidth", 0) < 8:
            return slow(self, other)
        kind = INT64 if type(other) is _Tensor and other.dtype.name == INT64 else INT32
        offset = _operand(kind, self, other.value if type(other) is _Constant else other)
        if offset is None:
            return slow(self, other)
        size = self.dtype.element_ty.primitive_bitwidth // 8
        data = self.handle.data + size * np.asarray(offset).astype(np.uint64)
        return tensor_of(data, self.dtype, is_block=_is_block(self) or _is_block(other))

    tl.tensor.__add__ = add


def _install_new_axes() -> None:
    slow, whole = tl.tensor.__getitem__, slice(None)

    def indexed(self: Any, at: Any) -> Any:
        rank = len(self.shape)
        if not rank or type(at) is not tuple or any(each is not None and type(each) is not slice for each in at):
            return slow(self, at)
        if at.count(whole) != rank or len(at) - at.count(None) != rank:
            return slow(self, at)
        return tensor_of(self.handle.data[at], self.dtype, is_block=True)

    tl.tensor.__getitem__ = indexed


def _install_load() -> None:
    slow = tl.load
    filled: dict[tuple[tuple[int, ...], str, Any], Array] = {}

    def constant(shape: tuple[int, ...], kind: str, value: Any) -> Array:
        key = (shape, kind, None if math.isnan(value) else value)  # each NaN would be a key of its own
        if key not in filled:
            filled[key] = np.full(shape, value, _LOADED[kind])
        return filled[key]

    def load(pointer: Any, mask: Any = None, other: Any = None, **options: Any) -> Any:
        otherwise = 0 if other is None else other.value if type(other) is _Constant else other
        if not _is_plain(pointer, mask, otherwise) or options.get("boundary_check") or options.get("padding_option"):
            return slow(pointer, mask=mask, other=other, **options)
        element, data = pointer.dtype.element_ty, pointer.handle.data
        kind, shape = element.name, data.shape
        active = constant(shape, BOOL, True) if mask is None else mask.handle.data
        if active.shape != shape:
            active = np.broadcast_to(active, shape)
        others = constant(shape, kind, otherwise or 0)  # to Triton, too, -0.0 is 0.0
        read = interpreter._interpreter.load(data, active, others, _LOADED[kind])
        return tensor_of(read, element, is_block=_is_block(pointer))

    tl.load = tl.core.load = load


def _is_plain(pointer: Any, mask: Any, otherwise: Any) -> bool:
    """A tensor of float32 or int32 pointers, with a mask that fits it and a number for the rest."""
    if type(pointer) is not _Tensor or not isinstance(pointer.dtype, tl.pointer_type):
        return False
    if pointer.dtype.element_ty.name not in (FP32, INT32) or type(otherwise) not in (int, float):
        return False
    if type(otherwise) is int and not -_INT32_MAX <= otherwise <= _INT32_MAX:
        return False
    if mask is None:
        return True
    if type(mask) is not _Tensor or mask.dtype.name != BOOL:
        return False
    theirs, ours = mask.handle.data.shape, pointer.handle.data.shape
    return theirs == ours or (len(theirs) == len(ours) and all(m in (1, p) for m, p in zip(theirs, ours, strict=True)))


def _install_cast() -> None:
    slow = tl.tensor.to

    def to(self: Any, dtype: Any, *args: Any, **options: Any) -> Any:
        wanted = dtype.value if type(dtype) is tl.constexpr else dtype
        if type(wanted) is tl.dtype and wanted.name == self.dtype.name and not args and not options:
            return self
        return slow(self, dtype, *args, **options)

    tl.tensor.to = to
