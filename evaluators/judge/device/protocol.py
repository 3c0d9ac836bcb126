"""What the way of measuring costs: two trusted candidates go through the same protocol, with the same sizes.

The reference itself does real work behind the same messages, the same writes that empty the cache and the same copies
of outputs; its own device events can be believed, so what the judge's clock says beyond them is the protocol's cost. A
null candidate, which only allocates its outputs, shows how much of that is there without any work.

Limits: once per problem and number of calls while a judge lives. On one H100 the two differed by 0.2 to 0.7 ms a batch.
"""

from dataclasses import dataclass

import numpy as np
import torch

from evaluators.judge.device.bench import Bench, Seat

_SAMPLES = 9
_WARM = 2


@dataclass(frozen=True)
class Protocol:
    """Cost of one batch in ms: the median, half the distance of the outer quintiles, and that of the null candidate."""

    cost_ms: float
    spread_ms: float
    null_ms: float


def protocol_of(bench: Bench, calls: int) -> Protocol:
    """The cost of a batch of so many calls."""
    known = bench.published.protocols
    if calls not in known:
        with bench.trusted(_reference(bench)) as seat:
            seat.sit()
            low, cost, high = np.percentile(_costs(bench, seat, calls), [20, 50, 80])
        with bench.trusted(_null(bench.published.outputs)) as seat:
            seat.sit(is_null=True)
            null = np.median(_costs(bench, seat, calls))
        known[calls] = Protocol(float(cost), float(high - low) / 2, float(null))
    return known[calls]


def _costs(bench: Bench, seat: Seat, calls: int) -> list[float]:
    """What the judge's clock says beyond the device events of the calls, ms a batch."""
    sets = [bench.published.draw() for _ in range(calls)]
    fired = [seat.timed(sets) for _ in range(_WARM + _SAMPLES)][_WARM:]
    return [1e3 * batch.seconds - sum(batch.inside_ms) for batch in fired]


def _reference(bench: Bench) -> str:
    return f"{bench.reference_source}\n\n\nclass ModelNew(Model):\n    pass\n"


def _null(outputs: list[torch.Tensor]) -> str:
    made = ", ".join(f'torch.empty({tuple(o.shape)}, dtype={o.dtype}, device="cuda")' for o in outputs)
    return (
        "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    def __init__(self, *arguments):\n"
        f"        super().__init__()\n\n    def forward(self, *inputs):\n        return ({made},)\n"
    )
