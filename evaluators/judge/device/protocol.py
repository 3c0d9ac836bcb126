"""What the way of measuring costs: a trusted null candidate goes through the same protocol, with the same sizes.

It allocates outputs of the right shape and returns them, so that a batch costs what every batch costs: two messages,
the inputs' bookkeeping, the writes that empty the cache, both copies of the outputs.
Limits: taken once per problem and batch size while a judge lives.
"""

from dataclasses import dataclass

import numpy as np
import torch

from evaluators.judge.device.bench import Bench

_SAMPLES = 15
_WARM = 3


@dataclass(frozen=True)
class Protocol:
    """Cost of one batch in ms: the median and half the distance of the outer quintiles."""

    cost_ms: float
    spread_ms: float


class Protocols:
    """The costs found so far, by batch size, for one problem."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._found: dict[int, Protocol] = {}
        self._seat = bench.trusted(_null(bench.published.outputs))
        self._seat.sit(is_null=True)

    def of(self, calls: int) -> Protocol:
        """The cost of a batch of so many calls."""
        if calls not in self._found:
            published = self._bench.published
            sets = [published.draw() for _ in range(calls)]
            taken = [1e3 * self._seat.timed(sets).seconds for _ in range(_WARM + _SAMPLES)][_WARM:]
            low, middle, high = np.percentile(taken, [20, 50, 80])
            self._found[calls] = Protocol(float(middle), float(high - low) / 2)
        return self._found[calls]


def _null(outputs: list[torch.Tensor]) -> str:
    made = ", ".join(f'torch.empty({tuple(o.shape)}, dtype={o.dtype}, device="cuda")' for o in outputs)
    return (
        "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    def __init__(self, *arguments):\n"
        f"        super().__init__()\n\n    def forward(self, *inputs):\n        return ({made},)\n"
    )
