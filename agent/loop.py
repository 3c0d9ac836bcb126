"""The loop: propose, evaluate, record, decide, until the budget ends or nothing is left to propose.

One attempt: plan (policy) -> context -> prompt.md on disk -> reply on disk -> candidate read from it -> judged (or
known), its SPACE searched -> decision -> one fsynced journal line. A crash between any two steps loses nothing: a reply
that was paid for is taken up, not asked again, and a verdict that was reached is not sought again.

Limits: what is asked is prompts/, who answers agent/proposers/, what is true evaluators/, how it is kept runs/.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.behaviour import behaviour_of, program_of
from agent.budget import OverBudget, exhausted, warnings
from agent.decision import decide
from agent.draft import Order, Planner
from agent.families import families_named
from agent.knobs import KnobReport, check_knobs
from agent.policy import Plan
from agent.profile_gaps import gaps
from agent.proposers import Proposal
from agent.proposers.errors import NothingToPropose, ReplyAwaited
from agent.replies import Replies
from agent.reply import read_reply
from agent.team import Team
from agent.tuner import Tuner
from agent.window import Window
from evaluators.candidate import Candidate, candidate_from
from evaluators.client import JudgeBug
from evaluators.evaluation import Evaluation, Rung
from evaluators.judging import Judge
from evaluators.ladder import DECIDING
from evaluators.roofline import at_floor
from evaluators.rungs import Incumbent
from prompts.context import Tuning
from runs.export import export_best
from runs.live import View
from runs.nouns import Attempt, Attempted, Budget, Confirmed, Decision, Finished, total
from runs.record import Record
from runs.state import AWAITED
from runs.store import now

# Errors of ours one after the other: then it is not the candidate, and going on would waste the budget.
_UNJUDGED_IN_A_ROW = 3


@dataclass(frozen=True)
class Judgement:
    """What became of a candidate: its verdict, or the attempt that judged equal code, or why it was not judged.

    `candidate` is what the verdict is about: the best point where the file's SPACE was searched.
    """

    candidate: Candidate | None = None
    evaluation: Evaluation | None = None
    reused_from: int | None = None
    problem: str = ""
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Loop:
    """One run in progress; every collaborator is given, nothing is looked up."""

    planner: Planner
    team: Team
    judge: Judge
    record: Record
    view: View
    parallel: int = 1

    def run(self, budget: Budget) -> str:
        """Make attempts until a budget ends or nothing is left; returns the reason, which is journaled too."""
        try:
            reason = self._until_done(budget)
            self._confirm()
        except KeyboardInterrupt as stop:
            reason = str(stop) or "interrupted"
        self.record.append(Finished(reason=reason, at=now()))
        return reason

    def _until_done(self, budget: Budget) -> str:
        window = self._window(budget, self.parallel)
        try:
            reason = self._attempts(window, budget)
        except OverBudget as end:
            reason = str(end)
        except ReplyAwaited:
            reason = f"{AWAITED}: agent ask {self.record.directory.id}"
        except NothingToPropose as end:
            reason = f"nothing left to propose: {end}"
        finally:
            with suppress(KeyboardInterrupt):
                window.settle()
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
                rungs=DECIDING,
            )
            self.record.append(Confirmed(number=best.number, evaluation=evaluation, at=now()))
            export_best(self.record.directory, self.record.state.best)
            if evaluation.verdict != "passed":
                self.view.note(f"warning: attempt {best.number} did not pass on fresh seeds: {evaluation.message}")

    def _unconfirmed(self) -> Attempt | None:
        best = self.record.state.best
        is_measured = best is not None and best.evaluation is not None and best.evaluation.timing is not None
        return best if best and is_measured and self.record.state.confirmation(best.number) is None else None

    def attempt(self, budget: Budget) -> None:
        """One attempt from plan to journal line; a reply that is on disk already is taken up, not asked again."""
        window = self._window(budget, 1)
        window.fill()
        self._finish(window, budget)

    def _window(self, budget: Budget, width: int) -> Window:
        return Window(Replies(self.planner, self.team, self.record, self.view), budget, width)

    def _attempts(self, window: Window, budget: Budget) -> str:
        """Attempt after attempt; what is in flight when a limit is reached is finished, it is paid for."""
        started, before_s = time.monotonic(), self.record.state.seconds
        while True:
            reason = exhausted(budget, self.record.state, elapsed_s=before_s + time.monotonic() - started)
            reason = reason or self._floor_reached()
            if reason is None:
                window.fill()
            elif not len(window):
                return reason
            self._finish(window, budget)

    def _finish(self, window: Window, budget: Budget) -> None:
        """Take the first attempt in flight to its journal line."""
        started, started_at, before = time.monotonic(), now(), self.record.state
        order, proposal = window.take()
        reading = read_reply(proposal.reply)
        judgement = self._judge(order.number, order.plan, reading.candidate)
        decision, reason = self._decide(judgement)
        knobs = self._knobs(order.plan, judgement.candidate)
        source = judgement.candidate.source if judgement.candidate else None
        attempt = Attempt(
            **self._asked(order, proposal),
            plan=reading.plan,
            families=families_named(reading.plan),
            candidate_id=judgement.candidate.id if judgement.candidate else None,
            evaluation=judgement.evaluation,
            reused_from=judgement.reused_from,
            decision=decision,
            reason=reason,
            started_at=started_at,
            seconds=round(time.monotonic() - started, 3),
            reply_problem=judgement.problem if reading.candidate else reading.reason,
            knob_violations=knobs.violations,
            knobs_not_checked=knobs.not_checked,
            tuning=judgement.tuning,
            program=program_of(source) if source is not None else "",
            behaviour=behaviour_of(source) if source is not None else "",
        )
        self._commit(attempt, judgement.candidate)
        for warning in (*warnings(budget, before, self.record.state), *gaps(attempt.evaluation, before)):
            self.view.note(f"warning: {warning}")

    def _asked(self, order: Order, proposal: Proposal) -> dict[str, Any]:
        """What is known of an attempt before its reply is read."""
        analyses = [event for event in self.record.state.analyses if event.number == order.number]
        return {
            "number": order.number,
            "parent": order.plan.parent,
            "stage": order.plan.stage.key,
            "role": order.plan.role,
            "skipped": order.plan.skipped,
            "usage": total((*(event.usage for event in analyses), proposal.usage)) if analyses else proposal.usage,
            "prompt_chars": proposal.prompt_chars,
            "prompt_dropped": proposal.prompt_dropped,
            "analysis": analyses[0].analysis if analyses else None,
        }

    def _judge(self, number: int, plan: Plan, candidate: Candidate | None) -> Judgement:
        if candidate is None:
            return Judgement()
        known = self.record.state.judged(candidate.id) or self.record.state.ran(program_of(candidate.source))
        if known is not None:
            return Judgement(self._equal(known, candidate), known.evaluation, reused_from=known.number)
        tuner = Tuner(
            lambda point, rungs: self._evaluate(number, plan, point, rungs=rungs),
            self.record,
            number,
            self.planner.subject.tune_points,
            lambda before, after: plan.role == "optimize" and bool(check_knobs(plan.stage, before, after).violations),
        )
        try:
            tuned = tuner.judge(candidate)
        except JudgeBug as bug:
            recent = self.record.state.attempts[1 - _UNJUDGED_IN_A_ROW :]
            if len(recent) == _UNJUDGED_IN_A_ROW - 1 and all(_unjudged(attempt) for attempt in recent):
                raise
            return Judgement(candidate, problem=str(bug))
        same = self.record.state.judged(tuned.candidate.id)  # the best point may be what an earlier attempt wrote
        number_of_same = same.number if same else None
        evaluation = self._without_listings(number, tuned.evaluation)
        return Judgement(tuned.candidate, evaluation, reused_from=number_of_same, tuning=tuned.tuning)

    def _without_listings(self, number: int, evaluation: Evaluation) -> Evaluation:
        """Put the compiled code beside the attempt; what stays is what a journal holds."""
        self.record.directory.write_all(number, {}, copies=evaluation.listings)
        return evaluation.model_copy(update={"listings": {}})

    def _evaluate(self, number: int, plan: Plan, candidate: Candidate, *, rungs: Sequence[Rung] | None) -> Evaluation:
        """Ask the judge. `rungs`: those that rank a point of a SPACE; None: the whole ladder."""
        return self.judge.evaluate(
            self.planner.subject.problem,
            candidate,
            self.planner.subject.gpu,
            announce=lambda rung: self.view.phase(number, plan.stage.key, f"point: {rung}" if rungs else rung),
            incumbent=self._incumbent() if rungs is None else None,
            metrics=self._metrics() if rungs is None else (),
            rungs=rungs,
        )

    def _equal(self, known: Attempt, candidate: Candidate) -> Candidate:
        """The code that the known verdict is about: the best point, where the SPACE of this code was searched."""
        is_searched = known.tuning is not None and known.candidate_id != candidate.id
        source = self.record.directory.read(known.number, "kernel.py") if is_searched else None
        return candidate if source is None else candidate_from(source)

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

    def _commit(self, attempt: Attempt, candidate: Candidate | None) -> None:
        """Files first, then the line that commits them; the best kernel is exported before anyone is told."""
        directory, evaluation, copies = self.record.directory, attempt.evaluation, {}
        if evaluation is not None:
            copies = {"evaluation.json": evaluation.model_dump_json(indent=2), "build.log": evaluation.build_log}
        if evaluation is not None and evaluation.profile is not None:
            copies["metrics.json"] = json.dumps(evaluation.profile.by_kernel, indent=2)
        if candidate is not None:
            directory.write_all(attempt.number, {"kernel.py": candidate.source}, copies=copies)
        self.record.append(Attempted(attempt=attempt))
        if attempt.decision == "keep":
            export_best(directory, attempt)
        self.view.attempt(attempt)


def _unjudged(attempt: Attempt) -> bool:
    return attempt.candidate_id is not None and attempt.evaluation is None
