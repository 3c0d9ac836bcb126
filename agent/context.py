"""The context of one proposal, built from the record: what the proposer may know about the problem and the past.

Limits: facts only. How they are worded is prompts/.
"""

import json
from dataclasses import dataclass

from agent.policy import Plan
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from prompts.context import Base, Context, Memory, Metrics, PastAttempt
from prompts.stages import missing_metrics
from runs.memory import most_relevant
from runs.nouns import Attempt
from runs.state import RunState
from runs.store import RunDirectory


@dataclass(frozen=True)
class Subject:
    """What a run is about: the problem, what is known of it, the target, what earlier runs found out."""

    problem: Problem
    facts: ProblemFacts | None
    gpu: GpuSpec
    seed_code: str | None = None
    memories: tuple[Memory, ...] = ()


def build_context(plan: Plan, subject: Subject, directory: RunDirectory, state: RunState) -> Context:
    """The context for the attempt that `plan` describes."""
    metrics = {} if plan.parent is None else measured(directory, plan.parent)
    partners = (_attempt_base(number, directory, state) for number in plan.partners)
    return Context(
        role=plan.role,
        problem=subject.problem,
        facts=subject.facts,
        gpu=subject.gpu,
        stage=plan.stage,
        base=_base(plan, subject, directory, state),
        metrics=metrics,
        missing_metrics=missing_metrics(plan.stage, metrics),
        history=past_attempts(state),
        hint=plan.hint,
        partners=tuple(partner for partner in partners if partner is not None),
        memories=most_relevant(subject.memories, plan.stage.key) if plan.role != "repair" else (),
    )


def past_attempts(state: RunState) -> tuple[PastAttempt, ...]:
    """Every attempt so far, oldest first; how many of them a prompt lists is the template's choice."""
    return tuple(_past(attempt) for attempt in state.attempts)


def measured(directory: RunDirectory, number: int) -> Metrics:
    """What a profiler measured of an attempt (metrics.json); empty where none ran."""
    text = directory.read(number, "metrics.json")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    is_metrics = isinstance(found, dict) and all(isinstance(values, dict) for values in found.values())
    return found if is_metrics else {}


def _base(plan: Plan, subject: Subject, directory: RunDirectory, state: RunState) -> Base | None:
    if plan.parent is None:
        return Base(number=None, source=subject.seed_code) if subject.seed_code else None
    return _attempt_base(plan.parent, directory, state)


def _attempt_base(number: int, directory: RunDirectory, state: RunState) -> Base | None:
    attempt, source = state.attempt(number), directory.read(number, "kernel.py")
    if attempt is None or source is None:
        return None
    return Base(number=attempt.number, source=source, evaluation=attempt.evaluation)


def _past(attempt: Attempt) -> PastAttempt:
    evaluation = attempt.evaluation
    return PastAttempt.model_construct(  # values of validated nouns: validating 500 of them again took 8 ms a prompt
        number=attempt.number,
        stage=attempt.stage,
        plan=attempt.plan,
        verdict=evaluation.verdict if evaluation else "no candidate",
        kind=evaluation.kind if evaluation else None,
        message=_message(evaluation, attempt),
        estimate_ms=evaluation.estimate.value_ms if evaluation and evaluation.estimate else None,
        decision=attempt.decision,
        note="; ".join(attempt.knob_violations),
    )


def _message(evaluation: Evaluation | None, attempt: Attempt) -> str:
    if evaluation is None:
        return attempt.reply_problem
    return evaluation.message if evaluation.verdict != "passed" else attempt.reason
