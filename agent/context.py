"""The context of one proposal, built from the record: what the proposer may know about the problem and the past.

Limits: facts only. How they are worded is prompts/.
"""

from dataclasses import dataclass

from agent.policy import Plan
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from prompts.context import Base, Context, PastAttempt
from prompts.stages import missing_metrics
from runs.nouns import Attempt
from runs.state import RunState
from runs.store import RunDirectory


@dataclass(frozen=True)
class Subject:
    """What a run is about: the problem, what is known of it, the target."""

    problem: Problem
    facts: ProblemFacts | None
    gpu: GpuSpec
    seed_code: str | None = None


def build_context(plan: Plan, subject: Subject, directory: RunDirectory, state: RunState) -> Context:
    """The context for the attempt that `plan` describes."""
    return Context(
        role=plan.role,
        problem=subject.problem,
        facts=subject.facts,
        gpu=subject.gpu,
        stage=plan.stage,
        base=_base(plan, subject, directory, state),
        missing_metrics=missing_metrics(plan.stage, {}),  # no profiler runs without a GPU
        history=past_attempts(state),
    )


def past_attempts(state: RunState) -> tuple[PastAttempt, ...]:
    """Every attempt so far, oldest first; how many of them a prompt lists is the template's choice."""
    return tuple(_past(attempt) for attempt in state.attempts)


def _base(plan: Plan, subject: Subject, directory: RunDirectory, state: RunState) -> Base | None:
    if plan.parent is None:
        return Base(number=None, source=subject.seed_code) if subject.seed_code else None
    attempt = state.attempt(plan.parent)
    source = directory.read(plan.parent, "kernel.py")
    if attempt is None or source is None:
        return None
    return Base(number=attempt.number, source=source, evaluation=attempt.evaluation)


def _past(attempt: Attempt) -> PastAttempt:
    evaluation = attempt.evaluation
    return PastAttempt(
        number=attempt.number,
        stage=attempt.stage,
        plan=attempt.plan,
        verdict=evaluation.verdict if evaluation else "no candidate",
        kind=evaluation.kind if evaluation else None,
        message=_message(evaluation, attempt),
        estimate_ms=evaluation.estimate.value_ms if evaluation and evaluation.estimate else None,
        decision=attempt.decision,
    )


def _message(evaluation: Evaluation | None, attempt: Attempt) -> str:
    if evaluation is None:
        return attempt.reply_problem
    return evaluation.message if evaluation.verdict != "passed" else attempt.reason
