"""Get the reply of one attempt: the one that was paid for already, or a new one, after the analyst's if there is one.

Whatever was paid for is on disk and in the journal before anything else happens to it. Safe to run in several threads,
one attempt each. Limits: which attempt and within what purse is the caller's business (agent/window.py).
"""

import hashlib
from dataclasses import dataclass

from agent.analysis import FULLEST, read_analysis
from agent.asking import Asking
from agent.budget import Purse, WorstCase
from agent.draft import Draft, Order, Planner
from agent.policy import Plan
from agent.proposers import Proposal, Proposer
from agent.team import Team
from prompts.context import Analysis, Role
from runs.live import View
from runs.nouns import Analyzed, Proposed
from runs.record import Record
from runs.store import now


@dataclass(frozen=True)
class Replies:
    """Where replies come from in one run."""

    planner: Planner
    team: Team
    record: Record
    view: View

    def reply(self, order: Order, purse: Purse) -> Proposal:
        """The reply to an order. Raises OverBudget before a call that could exceed a limit, else ProposerError."""
        kept = self.record.directory.read(order.number, "proposal.json")
        if kept is not None:
            proposal = Proposal.model_validate_json(kept)
        else:
            draft = self._draft(order, analysis=self._analysis(order, purse))
            proposal = self._ask(draft, purse)
        keep_reply(self.record, order.number, proposal)
        if all(known.number != order.number for known in self.record.state.replies):
            self.record.append(proposed(order.number, order.plan, proposal))
        return proposal

    def worst_case(self, order: Order, purse: Purse) -> WorstCase:
        """The most an order can cost: the analysis, the reply with the longest analysis, and its brief repetition."""
        worst, analysis = WorstCase(), None
        if self._is_analyzed(order):
            analysis = FULLEST
            draft = self._draft(order, role="analyze")
            worst += self._asking(draft, purse).worst_case(draft.fitted.prompt)
        draft = self._draft(order, analysis=analysis)
        reply = self._asking(draft, purse).worst_case(draft.fitted.prompt)
        return worst + reply + reply

    def _is_analyzed(self, order: Order) -> bool:
        return self.team.analyzes(order.plan.role, order.number)

    def _analysis(self, order: Order, purse: Purse) -> Analysis | None:
        """What the analyst says, or said before the run was interrupted."""
        known = [event for event in self.record.state.analyses if event.number == order.number]
        if known or not self._is_analyzed(order):
            return known[0].analysis if known else None
        directory, kept = self.record.directory, self.record.directory.read(order.number, "analysis.json")
        if kept is not None:
            proposal = Proposal.model_validate_json(kept)
        else:
            proposal = self._ask(self._draft(order, role="analyze"), purse)
            directory.write_all(
                order.number, {"analysis.json": proposal.model_dump_json()}, copies={"analysis.md": proposal.reply}
            )
        event = Analyzed(
            number=order.number,
            analysis=read_analysis(proposal.reply),
            model=proposal.model,
            usage=proposal.usage,
            reply_sha256=_sha256(proposal),
            at=now(),
        )
        self.record.append(event)
        return event.analysis

    def _draft(self, order: Order, *, role: Role | None = None, analysis: Analysis | None = None) -> Draft:
        return self.planner.draft(self.record.directory, order, role=role, analysis=analysis)

    def _ask(self, draft: Draft, purse: Purse) -> Proposal:
        asking = self._asking(draft, purse)
        self.view.phase(draft.number, draft.plan.stage.key, f"asking {asking.proposer.name}")
        return asking.ask(draft)

    def _asking(self, draft: Draft, purse: Purse) -> Asking:
        proposer: Proposer = self.team.of(draft.fitted.context.role, draft.number)
        return Asking(proposer, purse, self.record, self.view.note)


def keep_reply(record: Record, number: int, proposal: Proposal) -> None:
    """Put a reply on disk before anything else happens to it."""
    texts = {"proposal.json": proposal.model_dump_json()}
    record.directory.write_all(number, texts, copies={"reply.md": proposal.reply})


def proposed(number: int, plan: Plan, proposal: Proposal) -> Proposed:
    """The journal line that says a reply was paid for and is on disk."""
    return Proposed(
        number=number,
        parent=plan.parent,
        stage=plan.stage.key,
        role=plan.role,
        usage=proposal.usage,
        reply_sha256=_sha256(proposal),
        started_at=now(),
    )


def _sha256(proposal: Proposal) -> str:
    return hashlib.sha256(proposal.reply.encode("utf-8", "surrogatepass")).hexdigest()
