"""What the way of measuring costs: two trusted candidates go through the same protocol, with the same sizes.

The reference itself does real work behind the same messages, the same writes that empty the cache and the same copies
of outputs; its own device events can be believed, so what the judge's clock says beyond them is the protocol's cost. A
null candidate, which only allocates its outputs, shows how much of that is there without any work.

Limits: once per problem and number of calls while a judge lives; that the cost drifts with the card is not in its
error. On one H100 the two differed by 0.2 to 0.7 ms a batch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.medians import half_interval_ms

KNOWN_MS = 0.05  # the cost, to either side
LEAST_SAMPLES, MOST_SAMPLES = 9, 60
_BUDGET_S = 6.0  # 68 was known to 0.068 ms after 3 s (one H200)
_WARM = 2


@dataclass(frozen=True)
class Protocol:
    """Cost of one batch in ms: the median, how well it is known, how batches scatter, and that of the null candidate.

    error_ms: half the 95 % interval of the median. spread_ms: half the distance of the outer quintiles; quiet_ms: the
    lower of them.
    """

    cost_ms: float
    error_ms: float
    spread_ms: float
    null_ms: float
    quiet_ms: float


def protocol_of(bench: Bench, calls: int) -> Protocol:
    """The cost of a batch of so many calls."""
    known = bench.published.protocols
    if calls not in known:
        with bench.trusted(_reference(bench)) as seat:
            seat.sit()
            costs = until_known(_costs(bench, seat, calls))
        with bench.trusted(_null(bench.published.outputs)) as seat:
            seat.sit(is_null=True)
            null = np.median(list(islice(_costs(bench, seat, calls), LEAST_SAMPLES)))
        low, cost, high = np.percentile(costs, [20, 50, 80])
        known[calls] = Protocol(float(cost), half_interval_ms(costs), float(high - low) / 2, float(null), float(low))
    return known[calls]


def until_known(costs: Iterator[float]) -> list[float]:
    """As many of them as it takes to know their median to `KNOWN_MS`; fewer where there is no time for more."""
    deadline = time.monotonic() + _BUDGET_S
    taken = list(islice(costs, LEAST_SAMPLES))
    while half_interval_ms(taken) > KNOWN_MS and len(taken) < MOST_SAMPLES and time.monotonic() < deadline:
        taken.append(next(costs))
    return taken


def _costs(bench: Bench, seat: Seat, calls: int) -> Iterator[float]:
    """What the judge's clock says beyond the device events of the calls, ms a batch, without end."""
    sets = [bench.published.draw() for _ in range(calls)]
    for _ in range(_WARM):
        seat.timed(sets)
    while True:
        batch = seat.timed(sets)
        yield 1e3 * batch.seconds - sum(batch.inside_ms)


def _reference(bench: Bench) -> str:
    return f"{bench.reference_source}\n\n\nclass ModelNew(Model):\n    pass\n"


def _null(outputs: list[torch.Tensor]) -> str:
    made = ", ".join(f'torch.empty({tuple(o.shape)}, dtype={o.dtype}, device="cuda")' for o in outputs)
    return (
        "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    def __init__(self, *arguments):\n"
        f"        super().__init__()\n\n    def forward(self, *inputs):\n        return ({made},)\n"
    )
