"""PyTorch operators that forward executes besides its kernels: how often, and how many bytes they must move.

Limits: operators as PyTorch dispatches them on meta tensors; views and uninitialised allocations move nothing and
are left out.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_MOVE_NOTHING = frozenset(
    ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "detach", "lift_fresh")
)


class OperatorCount(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate it
    """Counts every operator that reads or writes tensor data while it is entered."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[str, tuple[int, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True imports torch._dynamo at the first operator: 0.65 s for every candidate

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and count the bytes of its distinct tensors."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not _is_view(func) and name not in _MOVE_NOTHING:
            tensors = {id(tensor): tensor for tensor in _tensors((args, kwargs, result))}
            moved = sum(_bytes(tensor) for tensor in tensors.values())
            calls, total = self.calls.get(name, (0, 0))
            self.calls[name] = (calls + 1, total + moved)
        return result


def _is_view(func: Any) -> bool:
    """True where a result shares an argument's memory and nothing is written."""
    aliases = [value.alias_info for value in func._schema.returns if value.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _bytes(tensor: torch.Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
