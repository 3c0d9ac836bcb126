"""The context of one proposal, built from the record: what the proposer may know about the problem and the past.

Limits: facts only. How they are worded is prompts/.
"""

from dataclasses import dataclass

from agent.policy import Plan
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.measurement import Profile
from evaluators.problem import Problem, ProblemFacts
from evaluators.profiling.wanted import ALWAYS, LAUNCHES
from prompts.card import Card
from prompts.context import Base, Context, Memory, Metrics, PastAttempt, Search
from prompts.stage import Stage
from prompts.stages import missing_metrics
from runs.memory import most_relevant
from runs.nouns import Attempt
from runs.state import RunState
from runs.store import RunDirectory


@dataclass(frozen=True)
class Subject:
    """What a run is about: the problem, what is known of it, the target, what earlier runs found out, the cards of
    kernel families that fit."""

    problem: Problem
    facts: ProblemFacts | None
    gpu: GpuSpec
    seed_code: str | None = None
    memories: tuple[Memory, ...] = ()
    tune_points: int = 0
    cards: tuple[Card, ...] = ()


def build_context(plan: Plan, subject: Subject, directory: RunDirectory, state: RunState) -> Context:
    """The context for the attempt that `plan` describes."""
    parent = None if plan.parent is None else state.attempt(plan.parent)
    profile = parent.evaluation.profile if parent and parent.evaluation else None
    metrics = measured(profile, plan.stage)
    partners = (_attempt_base(number, directory, state) for number in plan.partners)
    return Context(
        role=plan.role,
        problem=subject.problem,
        facts=subject.facts,
        gpu=subject.gpu,
        stage=plan.stage,
        base=_base(plan, subject, directory, state),
        metrics=metrics,
        missing_metrics=missing_metrics(plan.stage, metrics, profile.missing if profile else None),
        history=past_attempts(state),
        hint=plan.hint,
        partners=tuple(partner for partner in partners if partner is not None),
        memories=most_relevant(subject.memories, plan.stage.key) if plan.role != "repair" else (),
        tune_points=subject.tune_points,
        searches=searches(state, plan),
        cards=subject.cards if plan.stage.shows_cards and plan.role != "repair" else (),
    )


def searches(state: RunState, plan: Plan) -> tuple[Search, ...]:
    """The points that were tried of the code to start from and, where that is another, of the last attempt."""
    last = state.attempts[-1].number if state.attempts else None
    attempts = (state.attempt(number) for number in dict.fromkeys((plan.parent, last)) if number is not None)
    return tuple(Search(attempt=a.number, tuning=a.tuning) for a in attempts if a and a.tuning and a.tuning.points)


def past_attempts(state: RunState) -> tuple[PastAttempt, ...]:
    """Every attempt so far, oldest first; how many of them a prompt lists is the template's choice."""
    return tuple(_past(attempt) for attempt in state.attempts)


def measured(profile: Profile | None, stage: Stage) -> Metrics:
    """What of a profile a stage is shown: its own metrics and those that every profile has; empty where none ran."""
    shown = {*ALWAYS, LAUNCHES, *stage.measured_names}
    by_kernel = profile.by_kernel if profile else {}
    return {
        kernel: {name: float(f"{value:.5g}") for name, value in figures.items() if name in shown}
        for kernel, figures in by_kernel.items()
    }


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
        measured_ms=evaluation.timing.latency.median_ms if evaluation and evaluation.timing else None,
        note="; ".join(
            (*attempt.knob_violations, *([attempt.tuning.note] if attempt.tuning and attempt.tuning.note else []))
        ),
    )


def _message(evaluation: Evaluation | None, attempt: Attempt) -> str:
    if evaluation is None:
        return attempt.reply_problem
    return evaluation.message if evaluation.verdict != "passed" else attempt.reason
