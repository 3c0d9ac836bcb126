"""What would be asked next: the plan, its context, and the prompt fitted to a length.

The same draft serves the loop, `agent ask` and a budget that wants to know the worst case, so that all of them ask the
same. Limits: asks nobody; prompts/shrink.py says what is left out of a long prompt.
"""

from dataclasses import dataclass

from agent.context import Subject, build_context
from agent.in_flight import beside, recorded_plan, with_open_attempts
from agent.policy import Plan, Position, Strategy
from prompts.context import Analysis, Role
from prompts.shrink import Fitted, fit
from prompts.stage import Stage
from runs.nouns import Planned
from runs.state import RunState
from runs.store import RunDirectory


@dataclass(frozen=True)
class Order:
    """One attempt whose reply is wanted, and the state its prompt may tell of."""

    number: int
    plan: Plan
    state: RunState


@dataclass(frozen=True)
class Draft:
    """An attempt before anyone is asked."""

    number: int
    plan: Plan
    fitted: Fitted


@dataclass(frozen=True)
class Planner:
    """Plans attempts of one run: its subject, stages as they are for this category of operators, and strategy."""

    subject: Subject
    stages: tuple[Stage, ...]
    strategy: Strategy

    def next(self, state: RunState) -> Order:
        """The attempt to make or to finish: as it was planned already, else as the strategy wants it."""
        for planned in state.planned:
            if planned.number == state.next_number:
                return self.recorded(planned, state)
        return Order(state.next_number, self.choose(state), state)

    def recorded(self, planned: Planned, state: RunState) -> Order:
        """An attempt that is in flight, as it was planned."""
        return Order(planned.number, recorded_plan(planned, self.stages), state.until(planned.after))

    def choose(self, state: RunState) -> Plan:
        """What the strategy wants next, after the finished attempts and those in flight."""
        seen = with_open_attempts(state)
        numbers = frozenset(planned.number for planned in state.planned)
        plan = self.strategy.next(Position(seen, self.stages, numbers))
        return beside(plan, state.planned)

    def draft(
        self, directory: RunDirectory, order: Order, *, role: Role | None = None, analysis: Analysis | None = None
    ) -> Draft:
        """The prompt of an attempt. `role`: of whom is asked, where that is not the plan's own. `analysis`: known."""
        context = build_context(order.plan, self.subject, directory, order.state)
        about = {"number": order.number, "role": role or order.plan.role, "analysis": analysis}
        return Draft(order.number, order.plan, fit(context.model_copy(update=about)))
