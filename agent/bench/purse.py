"""One budget over many runs: each gets an even share of what is left when it begins, and keeps to it by itself.

A run checks the worst case of every call against its share (agent/budget.py), so the sum over all runs stays within
the budget, also while several run at once. What a run leaves over goes to those that begin later.

Limits: dollars and tokens of the whole benchmark, seconds of this process; attempts are counted per problem.
"""

import threading
import time
from dataclasses import dataclass

from runs.nouns import Budget
from runs.state import RunState


@dataclass(frozen=True)
class Spent:
    """What a run has cost so far; usd is None where a price is unknown."""

    usd: float | None = 0.0
    tokens: int = 0
    seconds: float = 0.0


def spent_by(state: RunState) -> Spent:
    """What this run has cost."""
    usage = state.usage
    return Spent(usage.cost_usd, usage.input_tokens + usage.output_tokens, state.seconds)


class Purse:
    """The budget while runs take from it; safe for threads."""

    def __init__(self, budget: Budget, spent: list[Spent], *, left: int, at_once: int) -> None:
        """`spent`: by runs so far, finished or not. `left`: runs to begin or to go on with. `at_once`: in parallel."""
        self._budget = budget
        costs = [part.usd for part in spent]
        self._usd = None if None in costs else sum(cost for cost in costs if cost is not None)
        self._tokens = sum(part.tokens for part in spent)
        self._left = left
        self._at_once = at_once
        self._deadline = None if budget.max_seconds is None else time.monotonic() + budget.max_seconds
        self._lock = threading.Lock()

    def share(self, before: Spent) -> Budget | str:
        """The budget of the next run, which has cost `before` already; or why it may not begin."""
        with self._lock:
            runs, self._left = self._left, self._left - 1
            refused = self._refusal()
            if refused:
                return refused
            budget = Budget(
                max_attempts=self._budget.max_attempts,
                max_seconds=self._seconds(runs, before.seconds),
                max_cost_usd=_part(self._budget.max_cost_usd, self._usd, runs, before.usd),
                max_tokens=_tokens(_part(self._budget.max_tokens, self._tokens, runs, before.tokens)),
            )
            self._take(budget, before)
            return budget

    def give_back(self, share: Budget, after: Spent) -> None:
        """A run with this share has ended and cost `after` in all."""
        with self._lock:
            if share.max_cost_usd is not None and self._usd is not None:
                self._usd = None if after.usd is None else self._usd - share.max_cost_usd + after.usd
            if share.max_tokens is not None:
                self._tokens += after.tokens - share.max_tokens

    def _take(self, share: Budget, before: Spent) -> None:
        """Count a share as spent until it is given back; what the run cost before is counted already."""
        if share.max_cost_usd is not None and self._usd is not None:
            self._usd += share.max_cost_usd - (before.usd or 0.0)
        if share.max_tokens is not None:
            self._tokens += share.max_tokens - before.tokens

    def _refusal(self) -> str | None:
        budget = self._budget
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"time used up ({budget.max_seconds:g} s)"
        if budget.max_cost_usd is not None:
            if self._usd is None:
                return "the price of this model is unknown, so --max-cost cannot be kept; drop it or use a priced model"
            if self._usd >= budget.max_cost_usd:
                return f"cost cap ${budget.max_cost_usd:g} used up"
        if budget.max_tokens is not None and self._tokens >= budget.max_tokens:
            return f"token cap {budget.max_tokens} used up"
        return None

    def _seconds(self, runs: int, before_s: float) -> float | None:
        if self._deadline is None:
            return None
        left_s = self._deadline - time.monotonic()
        return before_s + min(left_s, left_s * self._at_once / max(runs, 1))


def _part(limit: float | None, spent: float | None, runs: int, before: float | None) -> float | None:
    """What a run may have cost when it ends: what it did cost and an even share of what is left."""
    if limit is None or spent is None:
        return limit
    return (before or 0) + (limit - spent) / max(runs, 1)


def _tokens(part: float | None) -> int | None:
    return None if part is None else max(int(part), 1)
