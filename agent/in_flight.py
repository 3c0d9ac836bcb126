"""Attempts in flight: planned and on record, their replies still being written. How strategies and prompts see them.

A plan is made of the finished attempts and the plans in flight, never of what a reply in flight happens to hold, so
equal replies give equal runs whatever the order in which they arrive.

Limits: who waits for whom is agent/window.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.policy import Plan
from agent.stage_walk import stage_called
from prompts.stage import Stage
from runs.nouns import Attempt, Planned
from runs.state import RunState


def planned(number: int, plan: Plan, state: RunState) -> Planned:
    """The journal line that keeps a plan while its attempt is in flight."""
    return Planned(
        number=number,
        after=len(state.attempts),
        stage=plan.stage.key,
        role=plan.role,
        parent=plan.parent,
        skipped=plan.skipped,
        partners=plan.partners,
        hint=plan.hint,
    )


def recorded_plan(event: Planned, stages: tuple[Stage, ...]) -> Plan:
    """The plan that a journal line keeps."""
    return Plan(stage_called(stages, event.stage), event.role, event.parent, event.skipped, event.partners, event.hint)


def with_open_attempts(state: RunState) -> RunState:
    """The state as strategies see it: attempts in flight stand behind the finished ones, without a result."""
    return replace(state, attempts=(*state.attempts, *map(_open_attempt, state.planned))) if state.planned else state


def beside(plan: Plan, others: Sequence[Planned]) -> Plan:
    """The plan, told of those in flight that begin at the same point: equal prompts would get equal replies."""
    same = sum((each.stage, each.role, each.parent) == (plan.stage.key, plan.role, plan.parent) for each in others)
    if not same:
        return plan
    told = (
        f"{same} other {'proposal' if same == 1 else 'proposals'} from the same point {'is' if same == 1 else 'are'} "
        f"being written at this moment: order your ideas by how much you believe in them and take number {same + 1}"
    )
    return replace(plan, hint="; ".join(filter(None, (plan.hint, told))))


def _open_attempt(event: Planned) -> Attempt:
    return Attempt(
        number=event.number,
        parent=event.parent,
        stage=event.stage,
        role=event.role,
        plan="being written",
        candidate_id=None,
        evaluation=None,
        decision="discard",
        reason="in flight",
        started_at="",
        seconds=0.0,
    )
