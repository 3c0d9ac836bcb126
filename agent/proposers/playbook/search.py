"""Which configuration comes next: first families, by what they promise after the plainest; then the stage's moves.

Where candidates are measured the clock decides: a family is left when its first kernel is slower than the best by more
than a rival may be, and the search ends when `_PATIENCE` measured neighbours in a row gained nothing.

A kernel that this machine cannot verify is none to be beaten: every family is tried until one passes.

Limits: one proposal from one context, no state. It stops when every neighbour of the best configuration was tried.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.evidence import Evidence
from agent.proposers.playbook.family import Family, Move, Situation, family_of, known_families
from agent.proposers.playbook.moves import NOISE, ORDER, PAIRS, Standing, moves
from agent.proposers.playbook.record import Record

# The algorithm stage's own rule: expect 20 % of a new algorithm, or leave it. A family whose bound is at most so
# much worse is a rival: bounds hide latency (77 on an H100: bounds within 10 %, 5.6 ms by phases, 3.1 ms packed).
_WORTH_A_FAMILY = 1.2
_SURE_OF = 90  # the capability whose expectations were held against a clock: there the most promising comes first
_PATIENCE = 12  # a sweep of one tile, one place in the order, one depth and one number of warps


@dataclass(frozen=True)
class Known:
    """What a kernel takes, and where that figure comes from."""

    ms: float
    origin: str

    def __str__(self) -> str:
        return f"{self.ms:.4g} ms ({self.origin})"


def next_move(
    stage: str, current: Configuration | None, situation: Situation, record: Record, evidence: Evidence
) -> Move:
    """The next configuration worth an attempt. Raises NothingToPropose when there is none."""
    incumbent = None if record.is_unproved else _known(current, situation, evidence)
    untried = [family for family in fitting(situation) if family.name not in record.families]
    better = _promising(untried, situation, incumbent, _WORTH_A_FAMILY)
    if better is not None:
        return better
    family = family_of(current) if current else None
    if current is None or family is None:
        raise NothingToPropose(
            "no kernel that the playbook has for this problem held"
            if incumbent is None
            else "the playbook expects none of its kernels to beat the code the run starts from"
        )
    if record.fruitless >= _PATIENCE:
        raise NothingToPropose(
            f"{record.fruitless} measured neighbours of {current} in a row gained nothing on {incumbent}"
        )
    rival = _promising(untried, situation, incumbent, 1 / _WORTH_A_FAMILY)
    if stage == "algorithm" and rival is not None:
        return rival
    ours = _hopeful_first(_stage_moves(stage, Standing(current, family, situation, evidence)), current, situation)
    others = (*([rival] if rival else []), *_second_line(current, situation, record))
    for move in (*ours, *others):
        if move.configuration not in record.tried:
            return move
    raise NothingToPropose(
        f"every neighbour of {current} was tried; the playbook knows no further kernel for this problem"
    )


def _hopeful_first(found: Iterable[Move], current: Configuration, situation: Situation) -> list[Move]:
    """The same order, but those whose own bound says that they are slower come last: only a clock speaks for them."""
    family = family_of(current)
    assert family is not None, "the current code is ours"
    limit_ms = family.cost(current, situation).bound_ms * NOISE
    return sorted(found, key=lambda move: family.cost(move.configuration, situation).bound_ms > limit_ms)


def _second_line(current: Configuration, situation: Situation, record: Record) -> Iterator[Move]:
    """Neighbours of the fastest kernels of families that were measured nearly as fast as the best."""
    best_ms = min(record.fastest_ms.values(), default=0.0)
    for name, fastest_ms in sorted(record.fastest_ms.items(), key=lambda pair: pair[1]):
        start = record.fastest_of(name)
        family = family_of(start) if start else None
        if name == current.family or start is None or family is None or fastest_ms > best_ms * _WORTH_A_FAMILY:
            continue
        said = f"{name} was measured at {fastest_ms:.4g} ms, the best takes {best_ms:.4g} ms"
        standing = Standing(start, family, situation, Evidence(measured_ms=fastest_ms))
        for stage in ORDER:
            yield from (Move(move.configuration, f"{said}: {move.reason}") for move in moves(stage, standing))


def _promising(families: list[Family], situation: Situation, incumbent: Known | None, gain: float) -> Move | None:
    """The family with the least expected time, if it is so much less than the current code's; where nothing is known of
    that, for transposed convolutions the plainest, for the rest, where all are plain, still the one with the least."""
    if not families:
        return None
    if incumbent is None and not situation.shape.kind and situation.gpu.capability != _SURE_OF:
        return Move(families[0].start(situation), f"{families[0].idea}; pays with {families[0].pays_when}")
    move, expected_ms = _quickest(families, situation)
    if incumbent is None:
        return move
    if expected_ms * gain > incumbent.ms:
        return None
    return Move(move.configuration, f"{move.reason}; the current code takes {incumbent}")


def best_guess(situation: Situation) -> Move:
    """The first configuration of the family expected to take least; of equals the plainest."""
    return _quickest(fitting(situation), situation)[0]


def _quickest(families: list[Family], situation: Situation) -> tuple[Move, float]:
    starts = [(family, family.start(situation)) for family in families]
    family, start = min(starts, key=lambda pair: pair[0].expected_ms(pair[1], situation))
    expected_ms, limiter = family.expected_ms(start, situation), family.cost(start, situation).limiter
    return Move(start, f"{family.idea}; by the playbook's model {expected_ms:.3g} ms ({limiter})"), expected_ms


def fitting(situation: Situation) -> list[Family]:
    """The families with a use for this workload, from the plainest on."""
    return [family for family in known_families(situation.shape.kind) if not family.misfit(situation)]


def _known(current: Configuration | None, situation: Situation, evidence: Evidence) -> Known | None:
    """What the current code costs: as measured, else in the playbook's own model, or for other code by its estimate."""
    if evidence.measured_ms is not None:
        return Known(evidence.measured_ms, "measured")
    if current and (family := family_of(current)):
        return Known(family.expected_ms(current, situation), "by the playbook's model")
    return None if evidence.estimate_ms is None else Known(evidence.estimate_ms, "estimated")


def _stage_moves(stage: str, standing: Standing) -> Iterator[Move]:
    """The moves of the stage, then of the others in order; a move outside the stage says why it is made."""
    yield from moves(stage, standing)
    begin = ORDER.index(stage) + 1 if stage in ORDER else 0
    for other in (*ORDER[begin:], *ORDER[:begin]):
        if other != stage:
            for move in moves(other, standing):
                yield Move(
                    move.configuration,
                    f"nothing left to change in {stage} ({_why(stage, standing)}), so {other}: {move.reason}",
                )
    yield from moves(PAIRS, standing)


def _why(stage: str, standing: Standing) -> str:
    if stage == "algorithm":
        return "no other family promises 20 %"
    if stage == "grid" and standing.columns == 1:
        return "one channel tile and one phase: program order cannot matter"
    return "its moves were tried"
