"""The walk through the stages that strategies share: which stage is next, what was passed over and why.

Limits: no choice of the parent; that is what a strategy adds (agent/strategies/).
"""

from collections.abc import Sequence

from agent.gates import Evidence, entry
from agent.policy import Plan, Position
from prompts.stage import Stage
from runs.nouns import Attempt


def repair_plan(position: Position) -> Plan | None:
    """The repair of the last finished attempt, where it failed or held no code and is not being repaired.

    A failed repair is not repaired again.
    """
    attempts, flying = position.state.attempts, position.in_flight
    last = next((attempt for attempt in reversed(attempts) if attempt.number not in flying), None)
    if last is None:
        return None
    failed = last.candidate_id is None or (last.evaluation is not None and last.evaluation.verdict == "failed")
    is_repaired = any(attempt.role == "repair" and attempt.parent == last.number for attempt in attempts)
    if not failed or is_repaired or last.role == "repair" or last.reused_from is not None:
        return None
    return Plan(stage_called(position.stages, last.stage), "repair", last.number)


def first_stage(stages: Sequence[Stage]) -> tuple[Stage, tuple[str, ...]]:
    """The first stage that this category of operators has, for code that does not exist yet."""
    return walk(stages, 0, Evidence())


def walk(stages: Sequence[Stage], begin: int, evidence: Evidence) -> tuple[Stage, tuple[str, ...]]:
    """From stage number `begin` on, around the end, the first whose gate is open; and why the others are not.

    Where every gate is shut the stage at `begin` is taken all the same: the budget is there to be used.
    """
    skipped: list[str] = []
    for step in range(len(stages)):
        stage = stages[(begin + step) % len(stages)]
        verdict = entry(stage, evidence)
        if verdict.enters:
            return stage, tuple(skipped)
        skipped.append(f"{stage.key}: {verdict.reason}")
    return stages[begin % len(stages)], (*skipped, "every gate is shut: the next in order is taken all the same")


def stage_called(stages: Sequence[Stage], key: str) -> Stage:
    """The stage of this key; the first one where a stage file has been removed since."""
    return next((stage for stage in stages if stage.key == key), stages[0])


def place_of(stages: Sequence[Stage], key: str) -> int:
    """Where a stage stands in the order."""
    return list(stages).index(stage_called(stages, key))


def visit(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts at the end that belong to one stage."""
    found: list[Attempt] = []
    for attempt in reversed(attempts):
        if attempt.stage != attempts[-1].stage:
            break
        found.insert(0, attempt)
    return found
