"""Challenger against incumbent: both processes are open, batches alternate A B B A, every one is verified.

What is compared is the judge's view of each pair, so that a clock that drifts or a card that warms up hits both alike.
Limits: 95 % bootstrap interval of the median ratio; a challenger that is slower by more than `CLEAR_RATIO` is not sent
into a duel, since one measurement each has told them apart.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from evaluators.candidate import Candidate
from evaluators.judge.conversation import CandidateFault
from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.protocol import protocol_of
from evaluators.judge.device.sampling import Samples, calls_for, one
from evaluators.judge.verdicts import Wrong
from evaluators.measurement import Duel


class IncumbentFailed(Exception):
    """The best so far is wrong or ends when it is run again, for which its challenger is not to blame."""


CLEAR_RATIO = 1.3
ROUNDS = 6  # of A B B A: twelve pairs
CLEAR_ROUNDS = 2  # where one measurement each says that the challenger wins clearly
_RESAMPLED = 2000
Clock = Callable[[Samples], float]  # of the last batch, ms a call
_FEWEST = 4  # pairs before a duel is given up; one that may be won is fought to its end


def fight(
    bench: Bench, challenger: tuple[Seat, Samples], incumbent: tuple[Seat, Samples], incumbent_id: str, *, rounds: int
) -> Duel:
    """The ratio of their times, from `rounds` of A B B A. Raises Wrong (of the challenger), IncumbentFailed."""
    clock = _events if challenger[1].is_corroborated else _slower_clock  # the same for both
    ratios: list[float] = []
    for _ in range(rounds):
        first, second, third, fourth = (
            _once(bench, *challenger, clock),
            _of_incumbent(bench, *incumbent, clock),
            _of_incumbent(bench, *incumbent, clock),
            _once(bench, *challenger, clock),
        )
        ratios += [first / second, fourth / third]
        if is_lost(ratios):
            break
    return duel_of(ratios, incumbent_id)


def is_lost(ratios: Sequence[float]) -> bool:
    """Whether the pairs so far say that the challenger is slower: then the rest would only cost time."""
    return len(ratios) >= _FEWEST and duel_of(ratios, "").low > 1


def duel_of(ratios: Sequence[float], incumbent_id: str) -> Duel:
    """Median ratio of the pairs with its 95 % bootstrap interval."""
    logs = np.log(np.array(ratios))
    draws = np.median(np.random.default_rng().choice(logs, (_RESAMPLED, len(logs))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Duel(
        incumbent_id=incumbent_id,
        ratio=math.exp(median(logs.tolist())),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        pairs=len(ratios),
    )


def seated(bench: Bench, candidate: Candidate, latency_ms: float) -> tuple[Seat, Samples]:
    """The incumbent, compiled and warm. Raises IncumbentFailed."""
    calls = calls_for(bench, latency_ms)
    theirs = Samples(protocol_of(bench, calls), calls)
    try:
        seat = bench.seat(candidate)
        seat.sit()
        for _ in range(2):  # compilation, then one warm call
            seat.timed([bench.published.draw() for _ in range(calls)])
    except (CandidateFault, Wrong) as fault:
        raise IncumbentFailed(str(fault)) from fault
    return seat, theirs


def _of_incumbent(bench: Bench, seat: Seat, samples: Samples, clock: Clock) -> float:
    try:
        return _once(bench, seat, samples, clock)
    except (CandidateFault, Wrong) as fault:
        raise IncumbentFailed(str(fault)) from fault


def _once(bench: Bench, seat: Seat, samples: Samples, clock: Clock) -> float:
    """One verified batch, ms a call."""
    one(bench, seat, samples, [bench.published.draw() for _ in range(samples.calls)])
    return clock(samples)


def _events(samples: Samples) -> float:
    return samples.inside_ms[-1]


def _slower_clock(samples: Samples) -> float:
    return max(samples.inside_ms[-1], samples.outside_ms[-1])
