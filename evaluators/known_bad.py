"""Versions known to spoil figures together: what a baseline or a profile is worth on such a machine.

Limits: what was reported and confirmed in public, each with its source; a pair that is not listed is not thereby good.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class _Pair:
    """From `low` on and below `high`, of torch and of cuDNN (9.13.1 counts as 91301)."""

    torch: tuple[Version, Version]
    cudnn: tuple[int, int]
    spoils: str
    source: str


_ALL_TORCH: tuple[Version, Version] = ((0,), (999,))
_PAIRS = (
    _Pair(
        ((2, 9, 0), (2, 9, 1)),
        (0, 10**9),
        "torch 2.9.0 does 3-D convolutions in half precision without cuDNN: such a baseline is up to 4 times too slow",
        "https://github.com/pytorch/pytorch/issues/166122",
    ),
    _Pair(
        ((2, 9, 1), (2, 10)),
        (0, 91500),
        "torch 2.9.1 does 3-D convolutions in half precision without cuDNN below 9.15: such a baseline is too slow",
        "https://github.com/pytorch/pytorch/issues/168167",
    ),
    _Pair(
        _ALL_TORCH,
        (90800, 91100),
        "cuDNN 9.8 to 9.10 gives wrong results for some 3-D convolutions in bfloat16",
        "https://github.com/pytorch/pytorch/issues/163539",
    ),
)


def warnings_for(environment: Mapping[str, str]) -> list[str]:
    """What is known against these versions of `torch` and `cudnn`, with the source; nothing where one is unknown."""
    torch, cudnn = _numbers(environment.get("torch", "")), environment.get("cudnn", "")
    if not torch or not cudnn.isdigit():
        return []
    return [
        f"{pair.spoils} ({pair.source})"
        for pair in _PAIRS
        if pair.torch[0] <= torch < pair.torch[1] and pair.cudnn[0] <= int(cudnn) < pair.cudnn[1]
    ]


def _numbers(version: str) -> Version:
    """`2.9.1+cu128` -> (2, 9, 1)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
