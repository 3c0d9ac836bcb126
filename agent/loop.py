"""The loop: propose, evaluate, record, decide, until the budget ends or nothing is left to propose.

One attempt: plan (policy) -> context -> prompt.md on disk -> reply on disk -> candidate read from it -> judged (or
known) -> decision -> one fsynced journal line. A crash between any two steps loses nothing: a reply that was paid
for is taken up, not asked again.

Limits: what is asked is prompts/, who answers agent/proposers/, what is true evaluators/, how it is kept runs/.
"""

import hashlib
import json
import time
from dataclasses import dataclass

from agent.asking import Asking
from agent.behaviour import behaviour_of, program_of
from agent.budget import OverBudget, exhausted, warnings
from agent.decision import decide
from agent.draft import Planner
from agent.knobs import KnobReport, check_knobs
from agent.policy import Plan
from agent.profile_gaps import gaps
from agent.proposers import Proposal, Proposer
from agent.proposers.errors import NothingToPropose
from agent.reply import read_reply
from evaluators.candidate import Candidate, candidate_from
from evaluators.client import JudgeBug
from evaluators.evaluation import Evaluation
from evaluators.judging import Judge
from evaluators.roofline import at_floor
from evaluators.rungs import Incumbent
from runs.export import export_best
from runs.live import View
from runs.nouns import Attempt, Attempted, Budget, Confirmed, Decision, Finished, Proposed
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

    planner: Planner
    proposer: Proposer
    judge: Judge
    record: Record
    view: View

    def run(self, budget: Budget) -> str:
        """Make attempts until a budget ends or nothing is left; returns the reason, which is journaled too."""
        try:
            reason = self._until_done(budget)
            self._confirm()
        except KeyboardInterrupt:
            reason = "interrupted"
        self.record.append(Finished(reason=reason, at=now()))
        return reason

    def _until_done(self, budget: Budget) -> str:
        started, before_s = time.monotonic(), self.record.state.seconds
        reason = None
        try:
            while reason is None:
                elapsed_s = before_s + time.monotonic() - started
                reason = exhausted(budget, self.record.state, elapsed_s=elapsed_s) or self._floor_reached()
                if reason is None:
                    self.attempt(budget)
        except OverBudget as end:
            reason = str(end)
        except NothingToPropose as end:
            reason = f"nothing left to propose: {end}"
        return reason

    def _floor_reached(self) -> str | None:
        best = self.record.state.best
        return at_floor(best.evaluation if best else None) or None

    def _confirm(self) -> None:
        """A measured best is judged once more, on fresh seeds, before anybody takes it home."""
        while (best := self._unconfirmed()) is not None:
            source = self.record.directory.read(best.number, "kernel.py") or ""
            subject = self.planner.subject
            evaluation = self.judge.evaluate(
                subject.problem,
                candidate_from(source),
                subject.gpu,
                announce=lambda rung: self.view.phase(best.number, "confirm", rung),
            )
            self.record.append(Confirmed(number=best.number, evaluation=evaluation, at=now()))
            if evaluation.verdict == "passed":
                export_best(self.record.directory)
            else:
                self.view.note(f"warning: attempt {best.number} did not pass on fresh seeds: {evaluation.message}")

    def _unconfirmed(self) -> Attempt | None:
        best = self.record.state.best
        is_measured = best is not None and best.evaluation is not None and best.evaluation.timing is not None
        return best if best and is_measured and self.record.state.confirmation(best.number) is None else None

    def attempt(self, budget: Budget) -> None:
        """One attempt from plan to journal line; a reply that is on disk already is taken up, not asked again."""
        started, started_at = time.monotonic(), now()
        before = self.record.state
        number, plan = before.next_number, self.planner.plan(self.record.directory, before)
        proposal = self._proposal(number, plan, budget)
        reading = read_reply(proposal.reply)
        judgement = self._judge(number, plan, reading.candidate)
        decision, reason = self._decide(judgement)
        knobs = self._knobs(plan, reading.candidate)
        attempt = Attempt(
            number=number,
            parent=plan.parent,
            stage=plan.stage.key,
            role=plan.role,
            plan=reading.plan,
            evaluation=judgement.evaluation,
            reused_from=judgement.reused_from,
            decision=decision,
            reason=reason,
            usage=proposal.usage,
            started_at=started_at,
            seconds=round(time.monotonic() - started, 3),
            reply_problem=judgement.problem if reading.candidate else reading.reason,
            skipped=plan.skipped,
            knob_violations=knobs.violations,
            knobs_not_checked=knobs.not_checked,
            prompt_chars=proposal.prompt_chars,
            prompt_dropped=proposal.prompt_dropped,
            candidate_id=reading.candidate.id if reading.candidate else None,
            program=program_of(reading.candidate.source) if reading.candidate else "",
            behaviour=behaviour_of(reading.candidate.source) if reading.candidate else "",
        )
        self._commit(attempt)
        for warning in (*warnings(budget, before, self.record.state), *gaps(attempt.evaluation, before)):
            self.view.note(f"warning: {warning}")

    def _proposal(self, number: int, plan: Plan, budget: Budget) -> Proposal:
        """The reply for this attempt: the one that was already paid for, or a new one."""
        directory = self.record.directory
        kept = directory.read(number, "proposal.json")
        if kept is not None:
            proposal = Proposal.model_validate_json(kept)
        else:
            self.view.phase(number, plan.stage.key, f"asking {self.proposer.name}")
            draft = self.planner.draft(directory, self.record.state)
            proposal = Asking(self.proposer, budget, self.record, self.view.note).ask(draft)
            directory.write(number, "proposal.json", proposal.model_dump_json())
        directory.write(number, "reply.md", proposal.reply)
        if self.record.state.pending is None:
            self.record.append(proposed(number, plan, proposal))
        return proposal

    def _judge(self, number: int, plan: Plan, candidate: Candidate | None) -> Judgement:
        if candidate is None:
            return Judgement()
        self.record.directory.write(number, "kernel.py", candidate.source)
        known = self.record.state.judged(candidate.id) or self.record.state.ran(program_of(candidate.source))
        if known is not None:
            return Judgement(known.evaluation, reused_from=known.number)
        try:
            evaluation = self.judge.evaluate(
                self.planner.subject.problem,
                candidate,
                self.planner.subject.gpu,
                announce=lambda rung: self.view.phase(number, plan.stage.key, rung),
                incumbent=self._incumbent(),
                metrics=self._metrics(),
            )
        except JudgeBug as bug:
            recent = self.record.state.attempts[1 - _UNJUDGED_IN_A_ROW :]
            if len(recent) == _UNJUDGED_IN_A_ROW - 1 and all(_unjudged(attempt) for attempt in recent):
                raise
            return Judgement(problem=str(bug))
        return Judgement(evaluation)

    def _metrics(self) -> tuple[str, ...]:
        """What any stage looks at: the next attempt may start from this code in another one."""
        return tuple(dict.fromkeys(name for stage in self.planner.stages for name in stage.measured_names))

    def _incumbent(self) -> Incumbent | None:
        """The best so far where it was measured: a challenger is compared with it in one sitting."""
        best = self.record.state.best
        source = self.record.directory.read(best.number, "kernel.py") if best else None
        timing = best.evaluation.timing if best and best.evaluation else None
        if source is None or timing is None:
            return None
        return Incumbent(candidate=candidate_from(source), latency_ms=timing.latency.median_ms)

    def _knobs(self, plan: Plan, candidate: Candidate | None) -> KnobReport:
        """Whether an optimization kept its hands off what the stage froze; a repair may have to change anything."""
        if plan.role != "optimize" or plan.parent is None or candidate is None:
            return KnobReport()
        return check_knobs(plan.stage, self.record.directory.read(plan.parent, "kernel.py") or "", candidate.source)

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
            if attempt.evaluation.profile is not None:
                directory.write(
                    attempt.number, "metrics.json", json.dumps(attempt.evaluation.profile.by_kernel, indent=2)
                )
        self.record.append(Attempted(attempt=attempt))
        if attempt.decision == "keep":
            export_best(directory)
        self.view.attempt(attempt)


def keep_reply(record: Record, number: int, proposal: Proposal) -> None:
    """Put a reply on disk before anything else happens to it."""
    record.directory.write(number, "proposal.json", proposal.model_dump_json())
    record.directory.write(number, "reply.md", proposal.reply)


def _unjudged(attempt: Attempt) -> bool:
    return attempt.candidate_id is not None and attempt.evaluation is None


def proposed(number: int, plan: Plan, proposal: Proposal) -> Proposed:
    """The journal line that says a reply was paid for and is on disk."""
    return Proposed(
        number=number,
        parent=plan.parent,
        stage=plan.stage.key,
        role=plan.role,
        usage=proposal.usage,
        reply_sha256=hashlib.sha256(proposal.reply.encode("utf-8", "surrogatepass")).hexdigest(),
        started_at=now(),
    )
