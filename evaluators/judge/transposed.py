"""Exact counts for transposed convolutions: which (input element, tap) pairs land inside the cropped output.

Along one axis input i and tap k meet at output i * stride + k * dilation - padding. Axes are independent: counts
multiply.

Limits: arithmetic on sizes; nothing is computed with tensors.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a transposed convolution."""

    inputs: int
    outputs: int
    taps: int
    stride: int
    padding: int
    dilation: int

    @property
    def pairs(self) -> int:
        """(input element, tap) pairs whose product is part of the output."""
        return sum(len(self._landing(tap)) for tap in range(self.taps))

    @property
    def reached(self) -> int:
        """Output positions that receive at least one product; the others are 0 (or the bias)."""
        seen = bytearray(self.outputs)
        for tap in range(self.taps):
            landing = self._landing(tap)
            seen[landing.start : landing.stop : self.stride] = b"\1" * len(landing)
        return sum(seen)

    def _landing(self, tap: int) -> range:
        """Output positions that tap reaches, cropped to the output."""
        offset = tap * self.dilation - self.padding
        first = offset if offset >= 0 else offset % self.stride
        end = min(offset + (self.inputs - 1) * self.stride + 1, self.outputs)
        return range(first, max(first, end), self.stride)


@dataclass(frozen=True)
class TransposedConvolution:
    """A transposed convolution as it runs."""

    batch: int
    in_channels: int
    out_channels_per_group: int
    axes: tuple[Axis, ...]

    @property
    def flop(self) -> int:
        """Useful multiply-adds, counted as 2."""
        return (
            2
            * self.batch
            * self.in_channels
            * self.out_channels_per_group
            * math.prod(axis.pairs for axis in self.axes)
        )

    @property
    def zero_fraction(self) -> float:
        """Share of the output no product reaches."""
        return 1.0 - math.prod(axis.reached / axis.outputs for axis in self.axes)
