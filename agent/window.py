"""The attempts in flight: up to `width` replies are asked for at the same time, and taken up in the order of number.

Attempt n is planned when attempt n - width is finished, whatever has been answered by then, and its plan is on record
before anyone is asked. So equal replies give equal runs, and a run that was killed asks for what it had planned. While
one attempt is judged the others are being written. With a width of 1 nothing runs beside anything.

What is in flight counts at its worst case until it is finished; where that no longer fits beside others, the next
attempt waits until it is alone.

Limits: replies only; judging is one at a time, in agent/loop.py. Where only answers tell the price (no table, no
list), the worst case follows the one that came last, so the call at which a cap stops may differ.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from agent.budget import Purse, WorstCase, refusal
from agent.draft import Order
from agent.in_flight import planned
from agent.proposers import Proposal
from agent.replies import Replies
from runs.nouns import Budget
from runs.state import RunState


@dataclass(frozen=True)
class Slot:
    """One attempt in flight: how to get its reply, and what is set aside for it (None: all that is left)."""

    order: Order
    take: Callable[[], Proposal]
    reserved: WorstCase | None


class Window:
    """Fill it, take the first reply out of it, judge that, fill it again."""

    def __init__(self, replies: Replies, budget: Budget, width: int = 1) -> None:
        self._replies = replies
        self._budget = budget
        self._width = width
        self._slots: deque[Slot] = deque()
        self._open: list[Future[Proposal]] = []

    def __len__(self) -> int:
        return len(self._slots)

    def fill(self) -> None:
        """Ask for as many replies as there is room for, of the attempts on record first."""
        while len(self._slots) < self._width:
            order = self._next_order()
            if order is None:
                return
            purse, reserved = self._purse(order)
            if purse is None:
                return
            if self._width > 1 and all(order.number != event.number for event in self._state.planned):
                self._replies.record.append(planned(order.number, order.plan, order.state))
            self._slots.append(Slot(order, self._begin(order, purse), reserved))

    def take(self) -> tuple[Order, Proposal]:
        """The first attempt in flight and its reply, waited for. Raises what kept the reply from coming."""
        slot = self._slots.popleft()
        return slot.order, slot.take()

    def settle(self) -> None:
        """Wait until every reply that is being paid for is on disk."""
        running = [future for future in self._open if not future.done()]
        if running:
            self._replies.view.note(f"waiting for {len(running)} replies that are paid for; Ctrl-C again leaves them")
            wait(running)

    @property
    def _state(self) -> RunState:
        return self._replies.record.state

    def _next_order(self) -> Order | None:
        """What is on record and not asked for comes first; then a new attempt, if the budget has one more."""
        state, planner = self._state, self._replies.planner
        number = self._slots[-1].order.number + 1 if self._slots else state.next_number
        for event in state.planned:
            if event.number == number:
                return planner.recorded(event, state)
        if number > self._budget.max_attempts and not (state.pending and not self._slots):
            return None
        return Order(number, planner.choose(state), state)

    def _purse(self, order: Order) -> tuple[Purse | None, WorstCase | None]:
        """What the attempt may spend, and what that sets aside; no purse where it has to wait until it is alone."""
        state = self._state
        everything = Purse(self._budget)
        if not everything.is_limited:
            return everything, WorstCase()
        everything.before = state.usage
        if self._width == 1:
            return everything, WorstCase()
        worst = self._replies.worst_case(order, everything)
        reserved = [slot.reserved for slot in self._slots]
        together = sum((each for each in reserved if each is not None), worst)
        if None not in reserved and refusal(self._budget, state.committed_usage, together) is None:
            own_limits = Budget(
                max_cost_usd=None if self._budget.max_cost_usd is None else worst.usd,
                max_tokens=None if self._budget.max_tokens is None else worst.tokens,
            )
            return Purse(own_limits), worst
        return (None, None) if self._slots else (everything, None)

    def _begin(self, order: Order, purse: Purse) -> Callable[[], Proposal]:
        if self._width == 1:
            return lambda: self._replies.reply(order, purse)
        future: Future[Proposal] = Future()
        self._open = [*(each for each in self._open if not each.done()), future]
        threading.Thread(target=self._answer, args=(future, order, purse), daemon=True).start()
        return future.result

    def _answer(self, future: Future[Proposal], order: Order, purse: Purse) -> None:
        try:
            future.set_result(self._replies.reply(order, purse))
        except Exception as error:  # noqa: BLE001 - raised again where the attempt is taken up
            future.set_exception(error)
