"""Ask the proposer for one attempt: within the budget, again where a reply was cut off, shorter where it does not fit.

The budget is checked with the worst case before every call. A reply that was cut at the token limit and holds no code
is asked for once more, briefly. A prompt that exceeds the model's context loses its parts one by one in the order of
prompts/shrink.py. What every call cost is on record before the next is made.

Limits: retries of a failing endpoint are the proposer's own (agent/proposers/retries.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.budget import OverBudget, WorstCase, refusal
from agent.draft import Draft
from agent.proposers import Proposal, Proposer
from agent.proposers.errors import ContextTooLong, ProposerError
from agent.reply import read_reply
from prompts.render import concise
from prompts.shrink import Fitted, smaller
from runs.nouns import Budget, Unanswered, Usage
from runs.record import Record
from runs.store import now


@dataclass(frozen=True)
class Asking:
    """How a run asks: whom, at what limits, where it is written down, whom to tell."""

    proposer: Proposer
    budget: Budget
    record: Record
    note: Callable[[str], None]

    def ask(self, draft: Draft) -> Proposal:
        """A reply to the draft. Raises OverBudget before a call that could exceed a limit, else ProposerError."""
        fitted: Fitted = draft.fitted
        while True:
            self.record.directory.write(draft.number, "prompt.md", fitted.prompt)
            try:
                proposal = self._call(draft.number, fitted, fitted.prompt)
            except ContextTooLong as error:
                shorter = smaller(fitted)
                if shorter is None:
                    raise
                self.note(f"attempt {draft.number}: {error}; asking again without {shorter.dropped[-1]}")
                fitted = shorter
                continue
            told = {"prompt_chars": len(fitted.prompt), "prompt_dropped": fitted.dropped}
            return self._complete(draft.number, fitted, proposal).model_copy(update=told)

    def _complete(self, number: int, fitted: Fitted, proposal: Proposal) -> Proposal:
        """The reply, or where it was cut off without code, the reply to a request to be brief."""
        if proposal.finish_reason != "length" or read_reply(proposal.reply).candidate is not None:
            return proposal
        prompt, spent = concise(fitted.prompt), proposal.usage
        refused = self._refusal(prompt, after=spent)
        if refused:
            self.note(f"attempt {number}: the reply was cut off and is not asked for again: {refused}")
            return proposal
        self.record.directory.write(number, "reply-cut.md", proposal.reply)
        self.record.append(Unanswered(number=number, reason="cut at the token limit", usage=spent, at=now()))
        self.note(f"attempt {number}: the reply was cut at the token limit; asking once more, briefly")
        return self._call(number, fitted, prompt)

    def _call(self, number: int, fitted: Fitted, prompt: str) -> Proposal:
        """One call; what a failed one cost is on record before its error goes on."""
        refused = self._refusal(prompt)
        if refused:
            raise OverBudget(refused)
        try:
            with self.record.directory.room(number):
                return self.proposer.propose(fitted.context, prompt)
        except ProposerError as error:
            if error.usage.requests:
                self.record.append(Unanswered(number=number, reason=str(error), usage=error.usage, at=now()))
            raise

    def _refusal(self, prompt: str, after: Usage | None = None) -> str | None:
        """Why this call must not be made; `after`: what was spent and is not on record yet."""
        budget = self.budget
        if budget.max_cost_usd is None and budget.max_tokens is None:
            return None
        usd = self.proposer.worst_case_cost_usd(prompt) if budget.max_cost_usd is not None else None
        tokens = self.proposer.worst_case_tokens(prompt)
        if after is not None:
            usd = None if usd is None or after.cost_usd is None else usd + after.cost_usd
            tokens += after.input_tokens + after.output_tokens
        return refusal(budget, self.record.state, WorstCase(usd, tokens))
