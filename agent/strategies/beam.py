"""Beam search: the best few candidates are kept alive, and each is explored through the stages in turn.

First `width` roots are asked for, each told what the others are; then the survivor with the fewest children among the
best `width` is continued. The k-th child of a candidate takes the k-th stage after that candidate's own.

Limits: no crossover. Candidates are ranked as agent/decision.py ranks them; `unverified` ones come after `passed`.
"""

from dataclasses import dataclass

from agent.decision import rank
from agent.policy import Plan, Position, no_more, whole_number
from agent.stage_walk import first_stage, place_of, repair_plan, walk
from runs.nouns import Attempt
from runs.state import RunState


@dataclass(frozen=True)
class Beam:
    """`width` candidates stay alive; each gets `branching` children before a worse one gets its next."""

    width: int = 3
    branching: int = 2
    name: str = "beam"

    def next(self, position: Position) -> Plan:
        """The plan of the next attempt."""
        repair = repair_plan(position)
        if repair is not None:
            return repair
        state = position.state
        roots = [attempt for attempt in state.attempts if attempt.role == "propose"]
        alive = survivors(state)[: self.width]
        if not alive or len(roots) < self.width:
            stage, skipped = first_stage(position.stages)
            return Plan(stage, "propose", None, skipped, hint=unlike(roots))
        parent = min(alive, key=lambda attempt: children(state, attempt) // self.branching)
        begin = place_of(position.stages, parent.stage) + children(state, parent)
        stage, skipped = walk(position.stages, begin, position.evidence(parent))
        return Plan(stage, "optimize", parent.number, skipped)


def survivors(state: RunState) -> list[Attempt]:
    """Candidates that did not fail, best first, equal code once."""
    judged = [a for a in state.attempts if a.evaluation and a.evaluation.verdict != "failed" and a.reused_from is None]
    return sorted(judged, key=lambda attempt: (rank(attempt.evaluation), attempt.number))


def children(state: RunState, parent: Attempt) -> int:
    """Proposals that started from `parent`; repairs are not new ideas."""
    return sum(attempt.parent == parent.number and attempt.role != "repair" for attempt in state.attempts)


def unlike(roots: list[Attempt]) -> str:
    """What a further root is told."""
    plans = "; ".join(f"attempt {root.number}: {root.plan[:160] or 'no plan given'}" for root in roots)
    return f"choose another algorithm family than these, which are tried already: {plans}" if roots else ""


def strategy(options: dict[str, str]) -> Beam:
    """beam:width=3,branching=2."""
    found = Beam(whole_number(options, "width", 3), whole_number(options, "branching", 2))
    no_more(options, "width, branching")
    return found
