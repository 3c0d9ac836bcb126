"""The state of a run: a pure fold of its journal, so that it is the same after a crash as before.

Limits: no files, no clock. Who decides what comes next is agent/policy.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from runs.nouns import AnyEvent, Attempt, Attempted, Budget, Confirmed, Finished, Proposed, Resumed, Unanswered, Usage


@dataclass(frozen=True)
class RunState:
    """attempts in order; `pending` was paid for but not finished; `finished` says why a closed run ended, else None."""

    attempts: tuple[Attempt, ...] = ()
    pending: Proposed | None = None
    finished: str | None = None
    budget: Budget | None = None  # of the latest resume; None: the one in run.json
    unanswered: tuple[Usage, ...] = ()  # calls that were paid for and brought no reply
    confirmations: tuple[Confirmed, ...] = ()
    _by_candidate: dict[str, Attempt] = field(default_factory=dict, repr=False)
    _by_program: dict[str, Attempt] = field(default_factory=dict, repr=False)

    @property
    def best(self) -> Attempt | None:
        """The attempt kept last: every kept attempt was better than the one before it. One that was refuted is none."""
        refuted = {c.number for c in self.confirmations if c.evaluation.verdict != "passed"}
        kept = [a for a in self.attempts if a.decision == "keep" and a.number not in refuted]
        return kept[-1] if kept else None

    def confirmation(self, number: int) -> Confirmed | None:
        """What judging this attempt once more gave, if that was done."""
        return next((c for c in reversed(self.confirmations) if c.number == number), None)

    @property
    def next_number(self) -> int:
        """Number of the attempt to make or to finish."""
        return self.pending.number if self.pending else len(self.attempts) + 1

    @cached_property
    def usage(self) -> Usage:
        """Everything paid for, pending proposal included; cost is None as soon as one price is unknown."""
        parts = [*self.unanswered, *(attempt.usage for attempt in self.attempts)]
        parts += [self.pending.usage] if self.pending else []
        costs = [part.cost_usd for part in parts if part.requests]
        return Usage(
            input_tokens=sum(part.input_tokens for part in parts),
            cached_input_tokens=sum(part.cached_input_tokens for part in parts),
            output_tokens=sum(part.output_tokens for part in parts),
            reasoning_tokens=sum(part.reasoning_tokens for part in parts),
            requests=sum(part.requests for part in parts),
            cost_usd=None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None),
        )

    @property
    def seconds(self) -> float:
        """Wall time of the finished attempts."""
        return sum(attempt.seconds for attempt in self.attempts)

    def judged(self, candidate_id: str) -> Attempt | None:
        """The attempt in which equal code was judged first, if any."""
        return self._by_candidate.get(candidate_id)

    def ran(self, program: str) -> Attempt | None:
        """The attempt in which a program of this syntax tree was judged first, if any."""
        return self._by_program.get(program)

    def attempt(self, number: int) -> Attempt | None:
        """The attempt with this number."""
        if 0 < number <= len(self.attempts) and self.attempts[number - 1].number == number:
            return self.attempts[number - 1]
        return next((attempt for attempt in self.attempts if attempt.number == number), None)


def after(state: RunState, event: AnyEvent) -> RunState:
    """The state once `event` has happened."""
    match event:
        case Proposed():
            return replace(state, pending=event, finished=None)
        case Unanswered(usage=usage):
            return replace(state, unanswered=(*state.unanswered, usage))
        case Attempted(attempt=attempt):
            return replace(
                state,
                attempts=(*state.attempts, attempt),
                pending=None,
                _by_candidate=_known(state._by_candidate, attempt.candidate_id, attempt),
                _by_program=_known(state._by_program, attempt.program, attempt),
            )
        case Confirmed():
            return replace(state, confirmations=(*state.confirmations, event))
        case Finished(reason=reason):
            return replace(state, finished=reason)
        case Resumed(budget=budget):
            return replace(state, finished=None, budget=budget)


def _known(known: dict[str, Attempt], key: str | None, attempt: Attempt) -> dict[str, Attempt]:
    """The index with this attempt, where it is the first of its key that was judged."""
    return {**known, key: attempt} if key and attempt.evaluation and key not in known else known


def fold(events: Iterable[AnyEvent]) -> RunState:
    """The state after all of these events."""
    return reduce(after, events, RunState())
