"""`agent optimize` and `agent resume`: put the collaborators of a run together, start the loop, say how it ended.

Limits: wiring and the final word; the run itself is agent/loop.py.
"""

import json
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from agent.commands.evaluate import read_candidate
from agent.engines import Engine, Wish, engine_for
from agent.exits import finish
from agent.opening import facts_for, keep_facts, replayed_run
from agent.policy import strategy_for
from agent.proposers.providers import base_url_of
from agent.reply import missing_in
from agent.running import carry_on, members, versions
from agent.time_limit import time_limit
from agent.tuner import TUNE_POINTS
from evaluators.client import JudgeClient
from evaluators.errors import AgentError, BadProblem, UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.judging import Judge
from evaluators.problem import Problem
from evaluators.problem_catalog import load_problem
from prompts.stages import all_stages
from runs.live import view_for
from runs.nouns import Budget, Resumed, Run, RunConfig
from runs.record import open_record
from runs.store import RunDirectory, create_run, new_run_id, now, open_run, require_writable, runs_directory
from runs.verdicts import RecordedJudge


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
    max_tokens: int | None
    strategy: str | None
    stages_dir: Path | None
    analyst_model: str | None
    repair_model: str | None
    parallel: int | None
    tune_points: int | None
    start: str | None
    playbook_hints: bool
    provider: str | None
    recorded_verdicts: bool
    sandbox: str
    device: str
    engine: str
    devices: str | None
    precision: str
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
    max_tokens: int | None
    engine: str
    devices: str | None
    runs_dir: Path | None
    plain: bool
    as_json: bool


def optimize(request: Request) -> None:
    """Start a new run."""
    config, directory = _config(request), runs_directory(request.runs_dir)
    _require_model(request.code, config.seed_code)
    require_writable(directory)
    strategy_for(config.strategy), all_stages(request.stages_dir)  # fail before a run exists
    members(config, directory)
    run = Run(id=new_run_id(config.problem, config.gpu), created_at=now(), config=config, versions=versions())
    if choice := load_gpu(request.gpu).choice:
        print(choice, file=sys.stderr)
    with ExitStack() as stack:
        judge = _judge(request, config, directory, stack)
        if config.device == "cuda":
            judge.device()  # fails where there is none, before a run exists
        facts = facts_for(config, judge)  # a reference that is broken is met before a run exists
        created = create_run(directory, run)
        keep_facts(created, facts)
        if _waits(config):
            print(created.id if not request.as_json else json.dumps({"run": created.id, "path": str(created.path)}))
            print(f"run {created.id} waits for replies: agent ask {created.argument}", file=sys.stderr)
            return
        _go(created, judge, plain=request.plain, as_json=request.as_json)


def resume(extension: Extension) -> None:
    """Take up a run where its journal ends."""
    directory = open_run(extension.run, runs_directory(extension.runs_dir))
    old = directory.state().budget or directory.run.config.budget
    budget = Budget(
        max_attempts=extension.max_attempts or old.max_attempts,
        max_seconds=old.max_seconds if extension.max_seconds is None else extension.max_seconds,
        max_cost_usd=old.max_cost_usd if extension.max_cost_usd is None else extension.max_cost_usd,
        max_tokens=old.max_tokens if extension.max_tokens is None else extension.max_tokens,
    )
    made, most = len(directory.state().attempts), extension.max_attempts
    if most is not None and made >= most:
        raise UsageError(f"--max-attempts counts all attempts of a run and {directory.id} has made {made}: name more")
    if edited := _edited_reference(directory.run.config):
        kept = "this run keeps its own copy; begin a new run for the new one"
        print(f"{edited} changed since the run began: {kept}", file=sys.stderr)
    with one_judge(extension.engine, directory.run.config, extension.devices) as judge:
        _go(directory, judge, plain=extension.plain, as_json=extension.as_json, resumed=budget)


def _edited_reference(config: RunConfig) -> str | None:
    """The file the run's problem was read from, where it holds something else by now."""
    problem = Problem.model_validate_json(config.problem_source)
    try:
        is_same = problem.path is None or Path(problem.path).read_text("utf-8", "replace") == problem.source
    except OSError:  # gone, or the run comes from another machine
        return None
    return None if is_same else problem.path


def _config(request: Request) -> RunConfig:
    """What the run is asked to do; a replay searches as the recorded run did unless it is told otherwise."""
    problem, gpu = load_problem(request.problem).at_precision(request.precision), load_gpu(request.gpu)
    config = RunConfig(
        problem=problem.key,
        problem_source=problem.model_dump_json(),
        gpu=gpu.key,
        model=request.model,
        base_url=base_url_of(request.provider, request.base_url),
        provider=request.provider,
        budget=Budget(
            max_attempts=request.max_attempts or 8,
            max_seconds=request.max_seconds,
            max_cost_usd=request.max_cost_usd,
            max_tokens=request.max_tokens,
        ),
        seed_code=_read_code(request.code),
        sandbox=request.sandbox,
        device=request.device,
        stages_dir=str(request.stages_dir.resolve()) if request.stages_dir else None,
        start=request.start,
        playbook_hints=request.playbook_hints,
    )
    if config.start and (config.seed_code or replayed_run(config) is not None):
        raise UsageError("--start makes the first attempt, and so do --code and a replayed run: choose one of them")
    replayed, directory = replayed_run(config), runs_directory(request.runs_dir)
    if not replayed:
        return config.model_copy(update=_search(request, config, None))
    recorded = open_run(replayed, directory)
    named = config.model_copy(update={"model": _lasting_name(recorded, directory)})
    return named.model_copy(update=_search(request, named, recorded.run.config))


def _lasting_name(recorded: RunDirectory, directory: Path) -> str:
    """`last`, or a path from here, would be another run or none when this run is resumed."""
    path = recorded.path.resolve()
    return f"replay:{recorded.id if path.parent == directory.resolve() else path}"


def _search(request: Request, config: RunConfig, recorded: RunConfig | None) -> dict[str, Any]:
    """How the run searches: as it was told, else as the replayed run did, else by default. Raises UsageError."""
    told = {
        "strategy": request.strategy,
        "stages_dir": config.stages_dir,
        "seed_code": config.seed_code,
        "analyst_model": request.analyst_model,
        "repair_model": request.repair_model,
        "parallel": request.parallel,
        "tune_points": request.tune_points,
        "playbook_hints": None if request.playbook_hints else False,
    }
    usual = {"strategy": "linear", "parallel": 1, "tune_points": TUNE_POINTS, "playbook_hints": True}
    if recorded is not None:
        usual = recorded.model_dump(include=told.keys() - {"analyst_model", "repair_model"})
        usual["analyst_model"] = config.model if recorded.analyst_model else None
    chosen = {name: usual.get(name) if value is None else value for name, value in told.items()}
    if (request.parallel or 1) > 1 and config.model in ("playbook", "manual"):
        raise UsageError(f"--parallel is for models behind an endpoint; {config.model} answers one prompt at a time")
    return chosen


def _judge(request: Request, config: RunConfig, directory: Path, stack: ExitStack) -> Judge:
    replayed = replayed_run(config)
    if not request.recorded_verdicts and _waits(config):  # nothing is judged yet
        return stack.enter_context(JudgeClient(config.sandbox, facts_only=True, device=config.device))
    if not request.recorded_verdicts:
        return stack.enter_context(one_judge(request.engine, config, request.devices))
    if replayed is None:
        raise UsageError("--recorded-verdicts goes with --model replay:RUN")
    return RecordedJudge(open_run(replayed, directory))


def _waits(config: RunConfig) -> bool:
    """Whether the replies come from somebody who is not at this terminal: the run is only made."""
    return config.model == "manual" and not sys.stdin.isatty() and not config.start


def one_judge(engine: str, config: RunConfig, devices: str | None) -> Engine:
    """The engine for one run, which judges one candidate at a time."""
    wish = Wish(jobs=1, devices=devices, sandbox=config.sandbox, device=config.device, gpu=config.gpu)
    made = engine_for(engine, wish)
    for note in made.notes:
        print(note, file=sys.stderr)
    return made


def _go(directory: RunDirectory, judge: Judge, *, plain: bool, as_json: bool, resumed: Budget | None = None) -> None:
    signal.signal(signal.SIGTERM, interrupt)
    with ExitStack() as stack:
        record = stack.enter_context(open_record(directory))
        if resumed is not None:
            record.append(Resumed(at=now(), budget=resumed))
        budget = resumed or directory.run.config.budget
        view = stack.enter_context(view_for(sys.stderr, budget=budget, plain=plain, state=record.state))
        view.note(f"run {directory.id} in {directory.path}")
        try:
            with time_limit(budget.max_seconds, record.state.seconds):
                reason = carry_on(record, judge, view, budget)
        except BadProblem:
            view.note("the run keeps its own copy of the reference: mend the file, then start anew with agent optimize")
            raise
        except AgentError:
            view.note(f"stopped by an error; everything so far is kept: agent resume {directory.argument}")
            raise
        view.finish(reason)
    finish(directory, reason, as_json=as_json)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does."""
    raise KeyboardInterrupt


def _read_code(path: Path | None) -> str | None:
    return None if path is None else read_candidate(path).source


def _require_model(path: Path | None, source: str | None) -> None:
    """Refuse given code that would cost an attempt for nothing; what does not parse is for the author to mend."""
    if path is not None and (fault := missing_in(source or "")):
        raise UsageError(f"--code {path}: {fault}; name a file that defines ModelNew, or a reply that holds one")
