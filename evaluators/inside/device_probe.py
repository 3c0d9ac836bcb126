"""Entry of a trusted process that uses the GPU a little: allocate, compute, copy back.

Limits: says what it saw; what that means is evaluators/judge/device/health.py.
"""

from typing import Any

import torch

from evaluators.inside.serving import Channel

_COUNT = 1 << 20


def main(channel: Channel, arguments: dict[str, Any], shared: tuple[int, ...]) -> None:
    """Send the sum of a small range and what it must be."""
    values = torch.arange(_COUNT, device="cuda", dtype=torch.int64)
    channel.send({"sum": int(values.sum()), "expected": _COUNT * (_COUNT - 1) // 2})
