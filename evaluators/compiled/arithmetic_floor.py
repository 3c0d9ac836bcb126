"""Compiled kernels that calculate far less than the problem takes, or an autotune configuration that is idle.

What is checked for its numbers is the interpreted kernel; what would run on a card is the compiled one. A candidate
that tells them apart shows here: the operations counted in the IR cannot all but vanish.
Limits: only where the reference's FLOP are known and every loop could be counted; no fast algorithm saves a factor
of 64.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from evaluators.compiled.ttir import work_per_program
from evaluators.rungs import CapturedLaunch, Failure

LEAST_SHARE = 1 / 64


def too_little_work(launches: Sequence[CapturedLaunch], flop: int | None) -> Failure | None:
    """Why these launches cannot be all the work; None where they can or where it cannot be counted."""
    if not all(launch.ttir for launch in launches):
        return None  # a Gluon kernel has no IR to count in
    counted = [(launch, flop_of(launch)) for launch in launches]
    if not counted or any(done is None for _, done in counted):
        return None
    groups: defaultdict[object, list[tuple[CapturedLaunch, float]]] = defaultdict(list)
    for number, (launch, done) in enumerate(counted):
        key = number if launch.tuned_group is None else ("tuned", launch.tuned_group)
        groups[key].append((launch, done or 0.0))
    if idle := next((found for group in groups.values() if (found := _idle(group))), None):
        return idle
    total = sum(max(done for _, done in group) for group in groups.values())
    if flop and total < LEAST_SHARE * flop:
        said = f"the compiled kernels calculate {total:.3g} FLOP of the {flop:.3g} that the problem takes"
        return Failure("rejected", f"{said}: what is compiled must be what is checked")
    return None


def flop_of(launch: CapturedLaunch) -> float | None:
    """Floating-point operations of all executions of one launch; None where they cannot be counted."""
    work = work_per_program(launch.ttir, launch.arguments, launch.grid)
    if any("averaged" not in note for note in work.unknown):
        return None
    done = work.multiplies + work.adds + work.other_float + sum(work.dot_flop.values())
    return done * math.prod(launch.grid) * launch.launches


def _idle(group: Sequence[tuple[CapturedLaunch, float]]) -> Failure | None:
    most = max(done for _, done in group)
    for launch, done in group:
        if done < LEAST_SHARE * most:
            config = ", ".join(f"{name}={value}" for name, value in launch.config.items())
            said = f"autotune configuration ({config}) of kernel {launch.name} calculates next to nothing"
            return Failure("rejected", f"{said}: every configuration must compute the whole result")
    return None
