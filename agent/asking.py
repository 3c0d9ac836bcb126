"""Ask a proposer for one attempt: within the purse, again where a reply was cut off, shorter where it does not fit.

The purse is checked with the worst case before every call. A reply that was cut at the token limit and holds no code
is asked for once more, briefly. A prompt that exceeds the model's context loses its parts one by one in the order of
prompts/shrink.py. What every call cost is on record before the next is made.

Limits: retries of a failing endpoint are the proposer's own (agent/proposers/retries.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.budget import OverBudget, Purse, WorstCase
from agent.draft import Draft
from agent.proposers import Proposal, Proposer
from agent.proposers.errors import ContextTooLong, ProposerError
from agent.reply import read_reply
from prompts.render import concise
from prompts.shrink import Fitted, smaller
from runs.nouns import Unanswered
from runs.record import Record
from runs.store import now


@dataclass(frozen=True)
class Asking:
    """How an attempt asks: whom, at what limits, where it is written down, whom to tell."""

    proposer: Proposer
    purse: Purse
    record: Record
    note: Callable[[str], None]

    def ask(self, draft: Draft) -> Proposal:
        """A reply to the draft. Raises OverBudget before a call that could exceed a limit, else ProposerError."""
        fitted: Fitted = draft.fitted
        while True:
            self.record.directory.write(draft.number, prompt_file(fitted), fitted.prompt)
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

    def worst_case(self, prompt: str) -> WorstCase:
        """The most a call with this prompt can cost; nothing is worked out where no limit is set."""
        limits = self.purse.limits
        return WorstCase(
            self.proposer.worst_case_cost_usd(prompt) if limits.max_cost_usd is not None else 0.0,
            self.proposer.worst_case_tokens(prompt) if self.purse.is_limited else 0,
        )

    def _complete(self, number: int, fitted: Fitted, proposal: Proposal) -> Proposal:
        """The reply, or where it was cut off without code, the reply to a request to be brief."""
        wants_code = fitted.context.role != "analyze"
        if proposal.finish_reason != "length" or not wants_code or read_reply(proposal.reply).candidate is not None:
            return proposal
        prompt = concise(fitted.prompt)
        refused = self.purse.refusal(self.worst_case(prompt))
        if refused:
            self.note(f"attempt {number}: the reply was cut off and is not asked for again: {refused}")
            return proposal
        self.record.directory.write(number, "reply-cut.md", proposal.reply)
        cut = Unanswered(number=number, reason="cut at the token limit", usage=proposal.usage, at=now())
        self.record.append(cut)
        self.note(f"attempt {number}: the reply was cut at the token limit; asking once more, briefly")
        return self._call(number, fitted, prompt)

    def _call(self, number: int, fitted: Fitted, prompt: str) -> Proposal:
        """One call; what a failed one cost is on record before its error goes on."""
        refused = self.purse.refusal(self.worst_case(prompt))
        if refused:
            raise OverBudget(refused)
        try:
            with self.record.directory.room(number):
                proposal = self.proposer.propose(fitted.context, prompt)
        except ProposerError as error:
            self.purse.own.append(error.usage)
            if error.usage.requests:
                self.record.append(Unanswered(number=number, reason=str(error), usage=error.usage, at=now()))
            raise
        self.purse.own.append(proposal.usage)
        return proposal


def prompt_file(fitted: Fitted) -> str:
    """The name under which a prompt is kept."""
    return "analysis-prompt.md" if fitted.context.role == "analyze" else "prompt.md"
