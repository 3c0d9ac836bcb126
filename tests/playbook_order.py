"""The order in which the playbook would try configurations of a problem, were each measured a little slower than the first.

Limits: what a clock says changes the order; this is the search's opinion before it has asked one.
"""

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.evidence import Evidence
from agent.proposers.playbook.family import Family, Situation, family_of
from agent.proposers.playbook.record import Record
from agent.proposers.playbook.search import best_guess, fitting, next_move
from prompts.context import PastAttempt

_STAGES = ("tuning", "tiling", "memory", "tiling", "algorithm", "grid")  # the first one is asked for the last


def expected_order(situation: Situation, count: int, families: frozenset[str] = frozenset()) -> list[Configuration]:
    """The first configuration, near rivals and what the search proposes after them; with `families` their first ones instead."""
    if families:
        return [family.start(situation) for family in fitting(situation) if family.name in families]
    first = best_guess(situation).configuration
    rivals = [family.start(situation) for family in fitting(situation) if _is_near(family, first, situation)]
    found = [first, *rivals]
    entries = [(_past(place, tried, 1.0 + 0.05 * place), tried) for place, tried in enumerate(found)]
    evidence = Evidence(measured_ms=1e-9)  # nothing is expected to be faster
    while len(found) < count:
        stage = _STAGES[len(found) % len(_STAGES)]
        try:
            move = next_move(stage, first, situation, Record(tuple(entries)), evidence)
        except NothingToPropose:
            break
        found.append(move.configuration)
        entries.append((_past(len(entries), move.configuration, 1.05), move.configuration))
    return found


def _is_near(family: Family, first: Configuration, situation: Situation) -> bool:
    """Whether another family is expected to take at most half as long again."""
    best = family_of(first)
    assert best is not None, f"no family writes {first}"
    limit_ms = 1.5 * best.expected_ms(first, situation)
    return family.name != first.family and family.expected_ms(family.start(situation), situation) <= limit_ms


def _past(number: int, configuration: Configuration, measured_ms: float) -> PastAttempt:
    return PastAttempt(
        number=number,
        stage="tuning",
        plan=f"Plan: {configuration}: because",
        verdict="passed",
        kind=None,
        message="",
        estimate_ms=None,
        decision="discard" if number else "keep",
        measured_ms=measured_ms,
    )
