"""Which torch operators ran during a call, below Python: whatever an operator is called through, it is dispatched here.

Composite operators appear as what they are made of (an einsum as bmm). Limits: of one thread, in the candidate's own
process; which operators are lawful is the judge's business (evaluators/judge/own_arithmetic.py).
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

RECORDED_MAX = 200


class OperatorRecord(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the name of every dispatched operator; `names` is cleared by `forget`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: dict[str, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True imports torch._dynamo at the first operator, 1.2 s in every process

    def forget(self) -> None:
        """A new call begins."""
        self.names = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and count it, apart where its result is a single number."""
        result = func(*args, **(kwargs or {}))
        is_scalar = isinstance(result, torch.Tensor) and result.dim() == 0
        name = f"{func.namespace}.{func.overloadpacket.__name__}{':scalar' if is_scalar else ''}"
        self.note(name)
        return result

    def note(self, name: str) -> None:
        """Count one operator."""
        if name in self.names or len(self.names) < RECORDED_MAX:
            self.names[name] = self.names.get(name, 0) + 1
