"""`agent optimize` and `agent resume`: put the collaborators of a run together, start the loop, say how it ended.

Limits: wiring and the final word; the run itself is agent/loop.py.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from agent.context import Subject
from agent.exits import finish
from agent.loop import Loop
from agent.proposers import Caller, Proposer, proposer_for
from evaluators.client import JudgeClient
from evaluators.errors import AgentError, UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from prompts.stages import all_stages
from runs.export import export_best
from runs.live import View, view_for
from runs.nouns import Budget, Resumed, Run, RunConfig
from runs.record import open_record
from runs.report import write_report
from runs.report.reading import FACTS_FILE
from runs.store import RunDirectory, create_run, new_run_id, now, open_run, runs_directory, write_durably

_VERSIONED = ("kernel-agent", "torch", "triton", "openai", "genai-prices")


@dataclass(frozen=True)
class Request:
    """What `agent optimize` was asked for."""

    problem: str
    gpu: str
    model: str
    base_url: str | None
    code: Path | None
    max_attempts: int | None
    max_seconds: float | None
    max_cost_usd: float | None
    sandbox: str
    runs_dir: Path | None
    plain: bool
    as_json: bool


@dataclass(frozen=True)
class Extension:
    """What `agent resume` was asked for; None keeps the limit the run has."""

    run: str
    max_attempts: int | None
    max_seconds: float | None
    max_cost_usd: float | None
    runs_dir: Path | None
    plain: bool
    as_json: bool


def optimize(request: Request) -> None:
    """Start a new run."""
    problem, gpu = load_problem(request.problem), load_gpu(request.gpu)
    proposer_for(
        request.model, base_url=request.base_url, runs_dir=runs_directory(request.runs_dir)
    )  # fail before a run exists
    directory = runs_directory(request.runs_dir)
    run = Run(
        id=new_run_id(directory, problem.key, gpu.key),
        created_at=now(),
        config=RunConfig(
            problem=problem.key,
            problem_source=problem.model_dump_json(),
            gpu=gpu.key,
            model=request.model,
            base_url=request.base_url,
            budget=Budget(
                max_attempts=request.max_attempts or 8,
                max_seconds=request.max_seconds,
                max_cost_usd=request.max_cost_usd,
            ),
            seed_code=_read_code(request.code),
            sandbox=request.sandbox,
        ),
        versions=_versions(),
    )
    with JudgeClient(request.sandbox) as judge:
        _go(create_run(directory, run), judge, plain=request.plain, as_json=request.as_json)


def resume(extension: Extension) -> None:
    """Take up a run where its journal ends."""
    directory = open_run(extension.run, runs_directory(extension.runs_dir))
    old = directory.state().budget or directory.run.config.budget
    budget = Budget(
        max_attempts=extension.max_attempts or old.max_attempts,
        max_seconds=old.max_seconds if extension.max_seconds is None else extension.max_seconds,
        max_cost_usd=old.max_cost_usd if extension.max_cost_usd is None else extension.max_cost_usd,
    )
    with JudgeClient(directory.run.config.sandbox) as judge:
        _go(directory, judge, plain=extension.plain, as_json=extension.as_json, resumed=budget)


def _go(
    directory: RunDirectory, judge: JudgeClient, *, plain: bool, as_json: bool, resumed: Budget | None = None
) -> None:
    config = directory.run.config
    problem = Problem.model_validate_json(config.problem_source)
    gpu = load_gpu(config.gpu)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        record = stack.enter_context(open_record(directory))
        if resumed is not None:
            record.append(Resumed(at=now(), budget=resumed))
        budget = resumed or config.budget
        view = stack.enter_context(view_for(sys.stderr, budget=budget, plain=plain, state=record.state))
        view.note(f"run {directory.id} in {directory.path}")
        for line in (
            *problem.notes,
            *filter(None, [gpu.notes]),
            f"target {gpu.name} ({gpu.arch}); no clock: figures are compiled or estimated",
        ):
            view.note(line)
        subject = Subject(problem, judge.facts(problem), gpu, config.seed_code)
        if subject.facts:
            write_durably(directory.path / FACTS_FILE, subject.facts.model_dump_json(indent=2) + "\n")
        for warning in subject.facts.warnings if subject.facts else ():
            view.note(f"problem: {warning}")
        if record.state.best:
            export_best(directory)
        proposer = stack.enter_context(_proposer(directory, view))
        loop = Loop(subject, all_stages(), proposer, judge, record, view)
        try:
            reason = loop.run(budget)
        except AgentError:
            view.note(f"stopped by an error; everything so far is kept: agent resume {directory.id}")
            raise
        finally:
            _report(directory, view)
        view.finish(reason)
    finish(directory, reason, as_json=as_json)


def _report(directory: RunDirectory, view: View) -> None:
    """Write the page of the run; where that fails the run is as good without it."""
    try:
        write_report(directory.path)
    except AgentError as error:
        view.note(f"no report: {error}")


@contextmanager
def _proposer(directory: RunDirectory, view: View) -> Iterator[Proposer]:
    config = directory.run.config
    caller = Caller(on_wait=lambda seconds, why: view.note(f"waiting {seconds:.0f} s: {why}"), on_note=view.note)
    proposer = proposer_for(config.model, config.base_url, runs_dir=directory.path.parent, caller=caller)
    try:
        yield proposer
    finally:
        close = getattr(proposer, "close", None)
        if close is not None:
            close()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _read_code(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read --code {path}: {error.strerror}") from None


def _versions() -> dict[str, str]:
    found: dict[str, Any] = {"python": sys.version.split()[0]}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
