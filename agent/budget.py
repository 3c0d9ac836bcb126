"""What a run may spend: attempts, seconds, dollars, tokens. Checked before each call, over the whole run.

Limits: the worst case of a call is known by the proposer; this only compares and puts into words.
"""

import statistics
from dataclasses import dataclass, field

from runs.nouns import Attempt, Budget, Usage, total
from runs.state import RunState

WARN_AT_PCT = (50, 80)


class OverBudget(Exception):
    """The next call could exceed a limit; the message says which. A run ends normally on it."""


@dataclass(frozen=True)
class WorstCase:
    """The most the next call can cost. usd: None where the price is unknown, 0.0 where it is free."""

    usd: float | None = 0.0
    tokens: int = 0

    def __add__(self, other: "WorstCase") -> "WorstCase":
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return WorstCase(usd, self.tokens + other.tokens)


@dataclass
class Purse:
    """What the calls of one attempt may spend: `limits`, less what was spent `before` and by the attempt itself.

    Alone in flight an attempt has the limits of the run; one of several has what was set aside for it, so that the
    sum of all keeps the limits whatever the order in which they are answered.
    """

    limits: Budget
    before: Usage = field(default_factory=Usage)
    own: list[Usage] = field(default_factory=list)

    @property
    def is_limited(self) -> bool:
        """Whether the worst case of a call matters at all."""
        return self.limits.max_cost_usd is not None or self.limits.max_tokens is not None

    def refusal(self, worst: WorstCase) -> str | None:
        """Why the next call must not be made, or None."""
        return refusal(self.limits, total((self.before, *self.own)), worst)


def exhausted(budget: Budget, state: RunState, *, elapsed_s: float) -> str | None:
    """Why no further attempt may begin, or None. elapsed_s: seconds spent by the run, this process included."""
    if state.pending is None and len(state.attempts) >= budget.max_attempts:
        return f"attempts used up ({budget.max_attempts})"
    if budget.max_seconds is None:
        return None
    left_s = budget.max_seconds - elapsed_s
    if left_s <= 0:
        return f"time used up ({elapsed_s:.0f} of {budget.max_seconds:g} s)"
    usual_s = statistics.median(map(_unprofiled_s, state.attempts)) if state.attempts else 0.0
    if state.pending is None and left_s < usual_s:
        limit = f"{left_s:.0f} of {budget.max_seconds:g} s left"
        return f"no time for another attempt ({limit}, one takes {usual_s:.0f} s)"
    return None


def _unprofiled_s(attempt: Attempt) -> float:
    """Seconds of an attempt without profiling, which only a new best gets."""
    return attempt.seconds - (attempt.evaluation.rung_seconds.get("profile", 0.0) if attempt.evaluation else 0.0)


def refusal(budget: Budget, spent: Usage, worst: WorstCase) -> str | None:
    """Why a call that may cost `worst` must not be made, or None. An unknown price is never taken for free."""
    if budget.max_cost_usd is not None:
        if spent.cost_usd is None or worst.usd is None:
            return "the price of this model is unknown, so --max-cost cannot be kept; drop it or use a priced model"
        if spent.cost_usd + worst.usd > budget.max_cost_usd:
            cap = f"cost cap ${budget.max_cost_usd:g}"
            return f"{cap}: ${spent.cost_usd:.4f} spent, the next call could cost ${worst.usd:.4f}"
    if budget.max_tokens is not None:
        tokens = tokens_of(spent)
        if tokens + worst.tokens > budget.max_tokens:
            return f"token cap {budget.max_tokens}: {tokens} spent, the next call could take {worst.tokens}"
    return None


def warnings(budget: Budget, before: RunState, after: RunState) -> list[str]:
    """What to tell a user when an attempt takes a run past 50 or 80 % of a limit; each is said once."""
    said = []
    for name, limit, old, new in _meters(budget, before, after):
        crossed = [pct for pct in WARN_AT_PCT if old < limit * pct / 100 <= new]
        if crossed:
            spent = "all" if new == limit else f"{100 * new / limit:.0f} %"
            said.append(f"{spent} of {name} is spent ({new:g} of {limit:g})")
    return said


def tokens_of(usage: Usage) -> int:
    """Input and output tokens."""
    return usage.input_tokens + usage.output_tokens


def _meters(budget: Budget, before: RunState, after: RunState) -> list[tuple[str, float, float, float]]:
    """Every limit that is set and whose meter is known: name, limit, reading before, reading after."""
    cost = before.usage.cost_usd, after.usage.cost_usd
    readings = [
        ("--max-attempts", budget.max_attempts, len(before.attempts), len(after.attempts)),
        ("--max-seconds", budget.max_seconds, round(before.seconds, 1), round(after.seconds, 1)),
        ("--max-tokens", budget.max_tokens, tokens_of(before.usage), tokens_of(after.usage)),
    ]
    if cost[0] is not None and cost[1] is not None:
        readings.append(("--max-cost", budget.max_cost_usd, round(cost[0], 4), round(cost[1], 4)))
    return [(name, float(limit), float(old), float(new)) for name, limit, old, new in readings if limit]
