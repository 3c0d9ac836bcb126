"""Stages in order, one repair for a failed attempt, always from the best so far.

A visit to a stage makes up to `stage.proposals` proposals and goes on only while the last one was kept and the stage
is not done; a stage whose gate is shut is passed over; after the last stage it begins again at the first.

Limits: one line of search. It keeps nothing but the best.
"""

from agent.gates import is_done
from agent.policy import Plan, Position, no_more
from agent.stage_walk import first_stage, place_of, repair_plan, stage_called, visit, walk
from prompts.stage import Stage
from runs.nouns import Attempt


class Linear:
    """The default strategy."""

    name = "linear"

    def next(self, position: Position) -> Plan:
        """The plan of the next attempt."""
        repair = repair_plan(position)
        if repair is not None:
            return repair
        best = position.state.best
        if best is None:
            stage, skipped = first_stage(position.stages)
            return Plan(stage, "propose", None, skipped)
        stage, skipped = _next_stage(position, best)
        return Plan(stage, "optimize", best.number, skipped)


def _next_stage(position: Position, best: Attempt) -> tuple[Stage, tuple[str, ...]]:
    attempts, stages = position.state.attempts, position.stages
    current = stage_called(stages, attempts[-1].stage)
    evidence = position.evidence(best)
    this_visit = visit(attempts)
    proposals = sum(attempt.role != "repair" for attempt in this_visit)
    if this_visit[-1].decision == "keep" and proposals < current.proposals and not is_done(current, evidence):
        return current, ()
    return walk(stages, place_of(stages, current.key) + 1, evidence)


def strategy(options: dict[str, str]) -> Linear:
    """No options."""
    no_more(options, "")
    return Linear()
