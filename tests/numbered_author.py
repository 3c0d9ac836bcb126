"""Authors that are programs: replies by attempt number and role, with delays, prices and errors; they log who was asked."""

import threading
import time

from agent.proposers import Proposal
from agent.proposers.errors import NothingToPropose
from runs.nouns import Usage


class Author:
    """Answers attempt n with the n-th text; `delays_s` and `errors` are by number.

    The first `gather` calls are answered once all of them are in flight, however slow the machine is.
    """

    def __init__(self, texts, name="author", *, delays_s=None, errors=None, gather=0, price_usd=0.004, worst_usd=0.01):
        self.name, self.texts, self.gather = name, texts, gather
        self.delays_s, self.errors = delays_s or {}, errors or {}
        self.price_usd, self.worst_usd = price_usd, worst_usd
        self.asked, self.prompts = [], {}
        self.at_once = self.in_flight = 0
        self._changed = threading.Condition()

    def propose(self, context, prompt):
        with self._changed:
            self.asked.append((context.role, context.number))
            self.prompts[context.number] = prompt
            self.in_flight += 1
            self.at_once = max(self.at_once, self.in_flight)
            self._changed.notify_all()
            self._changed.wait_for(lambda: context.number > self.gather or self.at_once >= self.gather, timeout=20)
        time.sleep(self.delays_s.get(context.number, 0))
        with self._changed:
            self.in_flight -= 1
        if context.number in self.errors:
            raise self.errors[context.number]
        if context.number > len(self.texts):
            raise NothingToPropose("no text is left")
        usage = Usage(input_tokens=100, output_tokens=10, requests=1, cost_usd=self.price_usd, cost_source="provider")
        return Proposal(reply=self.texts[context.number - 1], model=self.name, usage=usage)

    def worst_case_cost_usd(self, prompt):
        return self.worst_usd

    def worst_case_tokens(self, prompt):
        return 200
