"""The loop: propose, evaluate, record, decide, until the budget ends or nothing is left to propose.

One attempt: plan (policy) -> context -> prompt.md on disk -> reply on disk -> candidate read from it -> judged (or
known) -> decision -> one fsynced journal line. A crash between any two steps loses nothing: a reply that was paid
for is taken up, not asked again.

Limits: what is asked is prompts/, who answers agent/proposers/, what is true evaluators/, how it is kept runs/.
"""

import hashlib
import time
from dataclasses import dataclass

from agent.budget import exhausted
from agent.context import Subject, build_context
from agent.decision import decide
from agent.policy import Plan, next_plan
from agent.proposers import Proposal, Proposer
from agent.proposers.errors import NothingToPropose, ProposerError
from agent.reply import read_reply
from evaluators.candidate import Candidate
from evaluators.client import JudgeBug, JudgeClient
from evaluators.evaluation import Evaluation
from prompts.context import Context
from prompts.render import render
from prompts.stage import Stage
from runs.export import export_best
from runs.live import View
from runs.nouns import Attempt, Attempted, Budget, Decision, Finished, Proposed, Unanswered
from runs.record import Record
from runs.store import now

_UNJUDGED_IN_A_ROW = (
    3  # errors of ours one after the other: then it is not the candidate, and going on would waste the budget
)


@dataclass(frozen=True)
class Judgement:
    """What became of a candidate: its verdict, or the attempt that judged equal code, or why it was not judged."""

    evaluation: Evaluation | None = None
    reused_from: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Loop:
    """One run in progress; every collaborator is given, nothing is looked up."""

    subject: Subject
    stages: tuple[Stage, ...]
    proposer: Proposer
    judge: JudgeClient
    record: Record
    view: View

    def run(self, budget: Budget) -> str:
        """Make attempts until a budget ends or nothing is left; returns the reason, which is journaled too."""
        started, before_s = time.monotonic(), self.record.state.seconds
        reason = None
        try:
            while reason is None:
                elapsed_s = before_s + time.monotonic() - started
                reason = exhausted(
                    budget, self.record.state, elapsed_s=elapsed_s, next_call_usd=self._next_call_usd(budget)
                )
                if reason is None:
                    self._attempt()
        except NothingToPropose as end:
            reason = f"nothing left to propose: {end}"
        except KeyboardInterrupt:
            reason = "interrupted"
        self.record.append(Finished(reason=reason, at=now()))
        return reason

    def _attempt(self) -> None:
        started, started_at = time.monotonic(), now()
        state = self.record.state
        number, plan = state.next_number, next_plan(state, self.stages)
        proposal = self._proposal(number, plan)
        reading = read_reply(proposal.reply)
        judgement = self._judge(number, plan, reading.candidate)
        decision, reason = self._decide(judgement)
        attempt = Attempt(
            number=number,
            parent=plan.parent,
            stage=plan.stage.key,
            role=plan.role,
            plan=reading.plan,
            candidate_id=reading.candidate.id if reading.candidate else None,
            evaluation=judgement.evaluation,
            reused_from=judgement.reused_from,
            decision=decision,
            reason=reason,
            usage=proposal.usage,
            started_at=started_at,
            seconds=round(time.monotonic() - started, 3),
            reply_problem=judgement.problem if reading.candidate else reading.reason,
        )
        self._commit(attempt)

    def _proposal(self, number: int, plan: Plan) -> Proposal:
        """The reply for this attempt: the one that was already paid for, or a new one."""
        directory = self.record.directory
        kept = directory.read(number, "proposal.json")
        if kept is not None:
            proposal = Proposal.model_validate_json(kept)
        else:
            self.view.phase(number, plan.stage.key, f"asking {self.proposer.name}")
            context = self._context(plan)
            prompt = render(context)
            directory.write(number, "prompt.md", prompt)
            with directory.room(number):
                proposal = self._ask(number, context, prompt)
            directory.write(number, "proposal.json", proposal.model_dump_json())
        directory.write(number, "reply.md", proposal.reply)
        if self.record.state.pending is None:
            self.record.append(_proposed(number, plan, proposal))
        return proposal

    def _ask(self, number: int, context: Context, prompt: str) -> Proposal:
        """One call; what a failed one cost is on record before its error goes on."""
        try:
            return self.proposer.propose(context, prompt)
        except ProposerError as error:
            if error.usage.requests:
                self.record.append(Unanswered(number=number, reason=str(error), usage=error.usage, at=now()))
            raise

    def _judge(self, number: int, plan: Plan, candidate: Candidate | None) -> Judgement:
        if candidate is None:
            return Judgement()
        self.record.directory.write(number, "kernel.py", candidate.source)
        known = self.record.state.judged(candidate.id)
        if known is not None:
            return Judgement(known.evaluation, reused_from=known.number)
        try:
            evaluation = self.judge.evaluate(
                self.subject.problem,
                candidate,
                self.subject.gpu,
                announce=lambda rung: self.view.phase(number, plan.stage.key, rung),
            )
        except JudgeBug as bug:
            recent = self.record.state.attempts[1 - _UNJUDGED_IN_A_ROW :]
            if len(recent) == _UNJUDGED_IN_A_ROW - 1 and all(_unjudged(attempt) for attempt in recent):
                raise
            return Judgement(problem=str(bug))
        return Judgement(evaluation)

    def _decide(self, judgement: Judgement) -> tuple[Decision, str]:
        if judgement.reused_from is not None:
            return "discard", f"equal to attempt {judgement.reused_from}"
        if judgement.problem:
            return "crash", "not judged"
        return decide(judgement.evaluation, self.record.state.best)

    def _commit(self, attempt: Attempt) -> None:
        """Files first, then the line that commits them; the best kernel is exported before anyone is told."""
        directory = self.record.directory
        if attempt.evaluation is not None:
            directory.write(attempt.number, "evaluation.json", attempt.evaluation.model_dump_json(indent=2))
            directory.write(attempt.number, "build.log", attempt.evaluation.build_log)
        self.record.append(Attempted(attempt=attempt))
        if attempt.decision == "keep":
            export_best(directory)
        self.view.attempt(attempt)

    def _context(self, plan: Plan) -> Context:
        return build_context(plan, self.subject, self.record.directory, self.record.state)

    def _next_call_usd(self, budget: Budget) -> float | None:
        if budget.max_cost_usd is None:
            return None
        prompt = render(self._context(next_plan(self.record.state, self.stages)))
        return self.proposer.worst_case_cost_usd(prompt)


def _unjudged(attempt: Attempt) -> bool:
    return attempt.candidate_id is not None and attempt.evaluation is None


def _proposed(number: int, plan: Plan, proposal: Proposal) -> Proposed:
    return Proposed(
        number=number,
        parent=plan.parent,
        stage=plan.stage.key,
        role=plan.role,
        usage=proposal.usage,
        reply_sha256=hashlib.sha256(proposal.reply.encode("utf-8", "surrogatepass")).hexdigest(),
        started_at=now(),
    )
