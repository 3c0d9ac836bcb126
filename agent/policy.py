"""Which attempt comes next: stages in order, one repair for a failed attempt, always from the best so far.

A visit to a stage makes up to `stage.proposals` proposals and goes on only while the last one was kept; after the
last stage it begins again at the first. A pure function of the record, so a resumed run continues as the
uninterrupted one would.

Limits: the choice only. Building the context is agent/context.py, deciding what to keep agent/decision.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prompts.stage import Stage
from runs.nouns import Attempt, Role
from runs.state import RunState


@dataclass(frozen=True)
class Plan:
    """The next attempt: its stage, its role, and the attempt it starts from (None: from nothing or the user's code)."""

    stage: Stage
    role: Role
    parent: int | None


def next_plan(state: RunState, stages: Sequence[Stage]) -> Plan:
    """The plan of the next attempt after those in `state`."""
    last = state.attempts[-1] if state.attempts else None
    if last is not None and _wants_repair(last):
        return Plan(_stage(stages, last.stage), "repair", last.number)
    best = state.best
    stage = _next_stage(state.attempts, stages) if best else stages[0]
    return Plan(stage, "optimize" if best else "propose", best.number if best else None)


def _wants_repair(last: Attempt) -> bool:
    """A proposal that failed, or held no code, is repaired once; a failed repair is not repaired again."""
    failed = last.candidate_id is None or (last.evaluation is not None and last.evaluation.verdict == "failed")
    return failed and last.role != "repair" and last.reused_from is None


def _next_stage(attempts: Sequence[Attempt], stages: Sequence[Stage]) -> Stage:
    current = _stage(stages, attempts[-1].stage)
    visit = _visit(attempts)
    proposals = sum(attempt.role != "repair" for attempt in visit)
    if visit[-1].decision == "keep" and proposals < current.proposals:
        return current
    following = list(stages).index(current) + 1
    return stages[following % len(stages)]


def _visit(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts at the end that belong to one stage."""
    visit: list[Attempt] = []
    for attempt in reversed(attempts):
        if attempt.stage != attempts[-1].stage:
            break
        visit.insert(0, attempt)
    return visit


def _stage(stages: Sequence[Stage], key: str) -> Stage:
    """The stage of this key; the first one where a stage file has been removed since."""
    return next((stage for stage in stages if stage.key == key), stages[0])
