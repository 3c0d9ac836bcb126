"""What a run may spend: attempts, seconds, dollars. Checked before each attempt, over the whole run, resumed or not.

Limits: the price of a call is known by the proposer (`worst_case_cost_usd`); this only compares.
"""

from runs.nouns import Budget
from runs.state import RunState


def exhausted(budget: Budget, state: RunState, *, elapsed_s: float, next_call_usd: float | None) -> str | None:
    """Why no further attempt may begin, or None.

    elapsed_s: seconds spent by the run so far, this process included. next_call_usd: worst case of the next call,
    None when unknown or free.
    """
    if state.pending is None and len(state.attempts) >= budget.max_attempts:
        return f"attempts used up ({budget.max_attempts})"
    if budget.max_seconds is not None and elapsed_s >= budget.max_seconds:
        return f"time used up ({elapsed_s:.0f} of {budget.max_seconds:g} s)"
    if budget.max_cost_usd is not None and state.pending is None:
        spent = state.usage.cost_usd
        if spent is None or next_call_usd is None:
            return "the price of this model is unknown, so --max-cost cannot be kept; drop it or use a priced model"
        if spent + next_call_usd > budget.max_cost_usd:
            return (
                f"cost cap ${budget.max_cost_usd:g}: ${spent:.4f} spent, the next call could cost ${next_call_usd:.4f}"
            )
    return None
