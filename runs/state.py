"""The state of a run: a pure fold of its journal, so that it is the same after a crash as before.

Limits: no files, no clock. Who decides what comes next is agent/policy.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from runs.nouns import (
    Analyzed,
    AnyEvent,
    Attempt,
    Attempted,
    Budget,
    Confirmed,
    Finished,
    Planned,
    Proposed,
    Resumed,
    Unanswered,
    Usage,
    total,
)

AWAITED = "a reply is awaited"  # begins the reason of a run whose next reply somebody else writes


@dataclass(frozen=True)
class RunState:
    """attempts in order; `finished` says why a closed run ended, else None.

    Of the attempts that are not finished: the plans, where proposals are parallel; analyses and replies that were
    paid for.
    """

    attempts: tuple[Attempt, ...] = ()
    planned: tuple[Planned, ...] = ()
    analyses: tuple[Analyzed, ...] = ()
    replies: tuple[Proposed, ...] = ()
    finished: str | None = None
    budget: Budget | None = None  # of the latest resume; None: the one in run.json
    unanswered: tuple[Unanswered, ...] = ()  # calls that were paid for and brought no reply
    confirmations: tuple[Confirmed, ...] = ()
    _by_candidate: dict[str, Attempt] = field(default_factory=dict, repr=False)
    _by_program: dict[str, Attempt] = field(default_factory=dict, repr=False)

    @cached_property
    def best(self) -> Attempt | None:
        """The attempt kept last: every kept attempt was better than the one before it. One that was refuted is none."""
        refuted = {c.number for c in self.confirmations if c.evaluation.verdict != "passed"}
        kept = (a for a in reversed(self.attempts) if a.decision == "keep" and a.number not in refuted)
        return next(kept, None)

    def confirmation(self, number: int) -> Confirmed | None:
        """What judging this attempt once more gave, if that was done."""
        return next((c for c in reversed(self.confirmations) if c.number == number), None)

    @property
    def next_number(self) -> int:
        """Number of the attempt to make or to finish."""
        return len(self.attempts) + 1

    @property
    def pending(self) -> Proposed | None:
        """The reply of the next attempt, where it was paid for already."""
        return next((reply for reply in self.replies if reply.number == self.next_number), None)

    @cached_property
    def usage(self) -> Usage:
        """Everything paid for, replies that wait included; cost is None as soon as one price is unknown."""
        open_: tuple[Analyzed | Proposed | Unanswered, ...] = (*self.analyses, *self.replies, *self.unanswered)
        return total((*(attempt.usage for attempt in self.attempts), *(event.usage for event in open_)))

    @property
    def committed_usage(self) -> Usage:
        """What the finished attempts cost, failed calls included; nothing of those in flight."""
        failed = (event.usage for event in self.unanswered if event.number < self.next_number)
        return total((*failed, *(attempt.usage for attempt in self.attempts)))

    def until(self, finished: int) -> "RunState":
        """The run as it stood after this many finished attempts, as far as a prompt can tell."""
        return replace(self, attempts=self.attempts[:finished])

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
        case Planned() | Analyzed() | Proposed():
            return _opened(state, event)
        case Unanswered():
            return replace(state, unanswered=(*state.unanswered, event))
        case Attempted(attempt=attempt):
            return _finished(state, attempt)
        case Confirmed():
            return replace(state, confirmations=(*state.confirmations, event))
        case Finished(reason=reason):
            return replace(state, finished=reason)
        case Resumed(budget=budget):
            return replace(state, finished=None, budget=budget)


def _opened(state: RunState, event: Planned | Analyzed | Proposed) -> RunState:
    """The state with one more thing known of an attempt that is not finished."""
    match event:
        case Planned():
            return replace(state, planned=(*state.planned, event), finished=None)
        case Analyzed():
            return replace(state, analyses=(*state.analyses, event), finished=None)
        case Proposed():
            return replace(state, replies=(*state.replies, event), finished=None)


def _finished(state: RunState, attempt: Attempt) -> RunState:
    """The state with one more attempt, and without what was kept of it while it was not finished."""
    written = attempt.tuning.written if attempt.tuning else ""
    programs = _known(state._by_program, attempt.program, attempt)
    return replace(
        state,
        attempts=(*state.attempts, attempt),
        planned=tuple(event for event in state.planned if event.number != attempt.number),
        analyses=tuple(event for event in state.analyses if event.number != attempt.number),
        replies=tuple(event for event in state.replies if event.number != attempt.number),
        _by_candidate=_known(state._by_candidate, attempt.candidate_id, attempt),
        _by_program=_known(programs, written, attempt),
    )


def _known(known: dict[str, Attempt], key: str | None, attempt: Attempt) -> dict[str, Attempt]:
    """The index with this attempt, where it is the first of its key that was judged."""
    return {**known, key: attempt} if key and attempt.evaluation and key not in known else known


def fold(events: Iterable[AnyEvent]) -> RunState:
    """The state after all of these events."""
    return reduce(after, events, RunState())
