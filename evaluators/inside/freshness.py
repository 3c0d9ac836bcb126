"""Is a returned tensor in memory of its own, and are the inputs the tensors that were handed over?

What the module still holds when forward has returned is counted by references: a ring of buffers gives a fresh-looking
result at every call until it comes round. Limits: counts made beside the candidate's code, so they reject and never
acquit; memory behind raw pointers has no references. Only of tensors in host memory, where the interpreter's are.
"""

import gc
import sys
from typing import Any

import torch


def is_kept(outputs: list[Any]) -> list[bool]:
    """For each output whether anything but this list still refers to it or its memory; False for what is no tensor."""
    kept = _counted_more(outputs)
    if any(kept):
        gc.collect()  # a cycle of frames or closures that is garbage already
        kept = _counted_more(outputs)
    return kept


def _counted_more(outputs: list[Any]) -> list[bool]:
    """Counted against a new tensor in a list of its own, since the counting itself refers to what it counts."""
    (fresh,), (fresh_view,) = _references([torch.empty(1)]), _references([torch.empty(2)[:1]])
    return [
        any(more > own for more, own in zip(counts, fresh_view if counts[2] else fresh, strict=True))
        for counts in _references(outputs)
    ]


def _references(tensors: list[Any]) -> list[tuple[int, int, int]]:
    return [_counts(one) if type(one) is torch.Tensor and one.is_cpu else (0, 0, 0) for one in tensors]


def _counts(tensor: torch.Tensor) -> tuple[int, int, int]:
    """References to the object, to its storage, and to the tensor it is a view of (0: it is no view)."""
    base = tensor._base
    storages = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return sys.getrefcount(tensor), storages, 0 if base is None else sys.getrefcount(base)


def form_of(value: Any) -> tuple[Any, ...] | None:
    """What of a tensor can be changed without writing a byte: shape, strides, memory, gradient; None for no tensor."""
    if not isinstance(value, torch.Tensor):
        return None
    return type(value), value.shape, value.stride(), value.data_ptr(), value.dtype, value.requires_grad
