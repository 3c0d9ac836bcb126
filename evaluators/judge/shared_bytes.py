"""Memory that the judge owns and a candidate process sees: on the host a memfd, on a GPU the driver's virtual memory.

Limits: one flat tensor of bytes; what lies where in it is evaluators/judge/conversation.py.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sandbox import device_memory, map_shared, shared_memory

LEAST_BYTES = 1 << 16


@dataclass
class SharedBytes:
    """`flat`: uint8, this process's view. `descriptor`: what the candidate's process maps.

    `settle` waits until what was written to `flat` is there for the other process.
    """

    flat: torch.Tensor
    descriptor: int
    release: Callable[[], None]
    settle: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Give both up; views of `flat` must be gone where the memory is a GPU's."""
        os.close(self.descriptor)
        self.flat = torch.empty(0, dtype=torch.uint8)
        self.release()


def on_host(size_bytes: int) -> SharedBytes:
    """Host memory of at least this size."""
    descriptor = shared_memory(max(size_bytes, LEAST_BYTES))
    memory = map_shared(descriptor)

    def release() -> None:
        with contextlib.suppress(BufferError):  # a view that outlives us keeps the mapping until it is collected
            memory.close()

    return SharedBytes(torch.frombuffer(memory, dtype=torch.uint8), descriptor, release)


def on_device(size_bytes: int) -> SharedBytes:
    """Memory of the first GPU; raises sandbox.device_memory.DriverError."""
    torch.zeros(1, device="cuda")  # the driver's calls need a current context
    memory, descriptor = device_memory.create(max(size_bytes, LEAST_BYTES))
    return SharedBytes(torch.as_tensor(memory, device="cuda"), descriptor, memory.close, torch.cuda.synchronize)


def same_bytes(view: torch.Tensor, value: Any) -> bool:
    """Bitwise equality, NaNs included, wherever the two lie."""
    if not view.numel():
        return True
    given = value.to(view.device).contiguous().reshape(-1).view(torch.uint8)
    return torch.equal(view.reshape(-1).view(torch.uint8), given)
