"""What would be asked next: the plan, its context, and the prompt fitted to a length.

The same draft serves the loop, `agent ask` and a budget that wants to know the worst case, so that all of them ask the
same. Limits: asks nobody; prompts/shrink.py says what is left out of a long prompt.
"""

from dataclasses import dataclass

from agent.context import Subject, build_context
from agent.policy import Plan, Position, Strategy
from prompts.shrink import Fitted, fit
from prompts.stage import Stage
from runs.state import RunState
from runs.store import RunDirectory


@dataclass(frozen=True)
class Draft:
    """The next attempt before anyone is asked."""

    number: int
    plan: Plan
    fitted: Fitted


@dataclass(frozen=True)
class Planner:
    """Plans attempts of one run: its subject, stages as they are for this category of operators, and strategy."""

    subject: Subject
    stages: tuple[Stage, ...]
    strategy: Strategy

    def plan(self, directory: RunDirectory, state: RunState) -> Plan:
        """Which attempt is next."""
        return self.strategy.next(Position(state, self.stages))

    def draft(self, directory: RunDirectory, state: RunState) -> Draft:
        """The next attempt with its prompt."""
        plan = self.plan(directory, state)
        return Draft(state.next_number, plan, fit(build_context(plan, self.subject, directory, state)))
