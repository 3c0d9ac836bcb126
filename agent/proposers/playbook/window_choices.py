"""What only a window product can change: which phases are rows, which operand is on the left, how products are rounded.

Limits: one change at a time; tile sizes, warps and stages are moves of every family (moves.py).
"""

import math

from agent.proposers.playbook.family import Choice
from agent.proposers.playbook.windows import has_dead_phases, phase_rows

_HAS_DESCRIPTORS = 90  # the first capability with a tensor memory accelerator

CHOICES = (
    *(
        Choice(
            "tuning",
            lambda configuration, value=value: configuration.having(PROMOTE=value),  # type: ignore[misc]
            when=lambda configuration, situation: configuration.word("PRECISION") == "split",
            reason=f"sums of {value} steps on the tensor cores: fewer additions outside of them, a larger error",
        )
        for value in (4, 16)
    ),
    Choice(
        "tiling",
        lambda configuration: configuration.having(LEFT="pixels"),
        when=lambda configuration, situation: (
            configuration.word("LEFT") == "weights" and situation.gpu.capability == 90
        ),
        reason="pixels as the left operand: its rows fill a warp group's instruction where channels are few",
    ),
    Choice(
        "tiling",
        lambda configuration: configuration.having(LEFT="weights"),
        when=lambda configuration, situation: configuration.word("LEFT") == "pixels",
        reason="weights as the left operand: the sums lie as they are stored",
    ),
    Choice(
        "tiling",
        lambda configuration: configuration.having(JOIN="width"),
        when=lambda configuration, situation: configuration.word("JOIN") == "all",
        reason="phases of depth and height as programs of their own: no products of taps that a phase lacks",
    ),
    Choice(
        "tiling",
        lambda configuration: configuration.having(JOIN="all", BLOCK_N=128, BLOCK_M=64),
        when=lambda configuration, situation: (
            configuration.word("JOIN") == "width"
            and not has_dead_phases(situation.shape)
            and math.prod(situation.shape.stride[:2]) > 1
            and math.prod(phase_rows(situation.shape)) * situation.shape.out_channels <= 128
        ),
        reason="all phases as rows of one product: x is read once for all of them",
    ),
    Choice(
        "memory",
        lambda configuration: configuration.having(LOADS="descriptors"),
        when=lambda configuration, situation: (
            configuration.word("LOADS") == "pointers" and situation.gpu.capability >= _HAS_DESCRIPTORS
        ),
        reason="one thread asks for a whole tile by its descriptor: no addresses in registers, fewer instructions",
    ),
    Choice(
        "memory",
        lambda configuration: configuration.having(LOADS="pointers"),
        when=lambda configuration, situation: configuration.word("LOADS") == "descriptors",
        reason="pointers: short rows waste less of a copy than a descriptor's box",
    ),
    Choice(
        "algorithm",
        lambda configuration: configuration.having(PRECISION="tf32"),
        when=lambda configuration, situation: (
            configuration.word("PRECISION") == "half" and situation.precision == "tf32"
        ),
        reason="operands rounded to TF32 need no common scale: one pass less over x",
    ),
    Choice(
        "algorithm",
        lambda configuration: configuration.having(PRECISION="tf32x3"),
        when=lambda configuration, situation: configuration.word("PRECISION") == "split",
        reason="three TF32 products of unscaled operands: half the launches of the packing",
    ),
)
