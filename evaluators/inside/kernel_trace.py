"""Durations of kernels, from CUPTI's activity records through torch's profiler, in the process that launches them.

Limits: durations and counts only; counters need Nsight Compute. Written beside untrusted code: a claim.
"""

from types import TracebackType
from typing import Any, Self

import torch
from torch.profiler import ProfilerActivity, profile

_MOST_KERNELS = 64
_NAME_CHARS = 200


class KernelTrace:
    """Records what runs on the device while it is entered; the caller waits for the device before it is left."""

    def __init__(self) -> None:
        self._profile: Any = profile(activities=[ProfilerActivity.CUDA])

    def __enter__(self) -> Self:
        self._profile.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.__exit__(kind, error, trace)

    def kernels(self) -> list[tuple[str, float, int]]:
        """Name, time of all launches in ns, launches."""
        averages, on_device = self._profile.key_averages(), torch.autograd.DeviceType.CUDA  # type: ignore[attr-defined]
        seen = [each for each in averages if each.device_type == on_device]
        listed = [(each.key[:_NAME_CHARS], 1e3 * each.self_device_time_total, each.count) for each in seen]
        return sorted(listed, key=lambda kernel: -kernel[1])[:_MOST_KERNELS]
