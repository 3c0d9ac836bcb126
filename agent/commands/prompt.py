"""`agent prompt`: the exact text a model would be sent.

Limits: prints only; the words are prompts/templates and prompts/stages.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from agent.commands.choice import chosen
from agent.commands.evaluate import read_candidate
from agent.context import past_attempts
from agent.tuner import TUNE_POINTS
from evaluators.client import JudgeClient
from evaluators.errors import UsageError
from prompts.cards import cards_for
from prompts.category import adapted
from prompts.context import Base, Context, Metrics
from prompts.render import render
from prompts.stages import load_stage, missing_metrics
from runs.store import open_run, runs_directory


@dataclass(frozen=True)
class Moment:
    """The moment of a run that a prompt is for."""

    stage: str
    code: Path | None
    metrics: Path | None
    run: str | None
    playbook_hints: bool


def print_prompt(problem: str, gpu: str, moment: Moment, *, runs_dir: Path | None, as_json: bool = False) -> None:
    """Render the prompt for these choices and print it."""
    step = load_stage(moment.stage)
    subject, target = chosen(problem, gpu)
    source = read_candidate(moment.code).source if moment.code else None
    measured = _metrics(moment.metrics) if moment.metrics else {}
    history = past_attempts(open_run(moment.run, runs_directory(runs_dir)).state()) if moment.run else ()
    with JudgeClient(facts_only=True) as judge:
        facts = judge.facts(subject)
    step = adapted(step, facts)
    context = Context(
        role="optimize" if source else "propose",
        problem=subject,
        facts=facts,
        gpu=target,
        stage=step,
        base=Base(number=None, source=source) if source else None,
        metrics=measured,
        missing_metrics=missing_metrics(step, measured),
        history=history,
        tune_points=TUNE_POINTS,
        cards=cards_for(facts, target) if moment.playbook_hints and step.shows_cards else (),
    )
    text = render(context)
    if as_json:
        about = {"problem": subject.key, "gpu": target.key, "stage": step.key, "role": context.role}
        print(json.dumps({**about, "missing_metrics": context.missing_metrics, "prompt": text}))
    else:
        print(text, end="")


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {option} {path}: {error}") from None


def _metrics(path: Path) -> Metrics:
    try:
        parsed = json.loads(_read(path, "--metrics"))
    except ValueError as error:
        raise UsageError(f"--metrics {path} is not JSON: {error}") from None
    if not isinstance(parsed, dict) or not all(isinstance(values, dict) for values in parsed.values()):
        raise UsageError(f'--metrics {path}: expected {{"kernel": {{"metric": value}}}}')
    return parsed
