"""`agent bench`: many problems, one budget, one table; started anew or taken up where it was stopped.

Limits: wiring and the final word; the work is agent/bench/, the record runs/bench/.
"""

import json
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from agent.bench.board import Board
from agent.bench.purse import Purse, spent_by
from agent.bench.schedule import Schedule, is_done
from agent.commands.optimize import interrupt
from agent.engines import Engine, Wish, engine_for
from agent.policy import strategy_for
from agent.proposers import proposer_for
from agent.proposers.providers import base_url_of
from agent.tuner import TUNE_POINTS
from evaluators.errors import AgentError, UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_sets import load_problem_set
from prompts.stages import all_stages
from runs.bench.kernelbench import write_kernelbench
from runs.bench.page import write_page
from runs.bench.rows import Row, rows_of
from runs.bench.store import Bench, BenchDirectory, create_bench, open_bench
from runs.bench.text import bench_json, bench_lines
from runs.nouns import Budget, RunConfig
from runs.store import now, runs_dir_option, runs_directory


@dataclass(frozen=True)
class Request:
    """What `agent bench` was asked for. `resume`: the benchmark to go on with; then the problems are its own."""

    source: str | None
    resume: str | None
    gpu: str | None
    model: str
    provider: str | None
    base_url: str | None
    strategy: str | None
    stages_dir: Path | None
    limits: dict[str, float | None]  # of a Budget, by name; None: as it was, or as it is by default
    engine: str
    wish: Wish
    precision: str
    at_once: int | None
    runs_dir: Path | None
    plain: bool
    as_json: bool


def bench(request: Request) -> None:
    """Start a benchmark, or go on with one; leaves with an exit code. Raises the AgentError that stopped it."""
    found, budget = _found(request)
    failure: AgentError | None = None
    stopped = False
    with ExitStack() as stack:
        if isinstance(found, BenchDirectory):
            stack.enter_context(found.lock())  # before an engine is started for nothing
        engine = stack.enter_context(engine_for(request.engine, _wish(request, found)))
        signal.signal(signal.SIGTERM, interrupt)  # after the engine: Ray sets its own
        if isinstance(found, Bench) and found.config.device == "cuda":
            engine.device()  # fails where there is none, before a benchmark exists
        directory = _created(request, found, stack) if isinstance(found, Bench) else found
        try:
            _work(directory, engine, budget, request)
        except KeyboardInterrupt:
            stopped = True
        except AgentError as error:
            failure = error
    rows = rows_of(directory)
    _show(directory, rows, stopped=stopped, as_json=request.as_json)
    if failure is not None:
        raise failure
    sys.exit(_code_of(rows))


def _created(request: Request, new: Bench, stack: ExitStack) -> BenchDirectory:
    directory = create_bench(runs_directory(request.runs_dir), new)
    stack.enter_context(directory.lock())
    return directory


def _found(request: Request) -> tuple[Bench | BenchDirectory, Budget]:
    """The benchmark on disk, or what a new one shall be; and the budget that holds now."""
    if request.resume is not None:
        if request.source is not None:
            raise UsageError("name a folder to begin with, or --resume to go on with a benchmark, not both")
        directory = open_bench(request.resume, runs_directory(request.runs_dir))
        return directory, _extended(directory.bench.budget, request.limits)
    if request.source is None or request.gpu is None:
        raise UsageError("name a folder or kernelbench:LEVEL and a --gpu, or a benchmark to go on with: --resume last")
    config = _config(request, request.gpu)
    budget = _extended(Budget(), request.limits)
    members = tuple(member.at_precision(request.precision) for member in load_problem_set(request.source))
    if not any(member.problem for member in members):
        raise UsageError(f"{request.source} holds no problem that can be read; the first: {members[0].broken}")
    return Bench(source=request.source, created_at=now(), members=members, config=config, budget=budget), budget


def _wish(request: Request, found: Bench | BenchDirectory) -> Wish:
    config = found.config if isinstance(found, Bench) else found.bench.config
    return replace(request.wish, sandbox=config.sandbox, device=config.device, gpu=config.gpu)


def _config(request: Request, gpu: str) -> RunConfig:
    """What all runs have in common; whatever is wrong with it is said before a benchmark exists."""
    if request.model == "manual":
        raise UsageError("--model manual answers one run at a time: agent optimize --model manual")
    strategy = request.strategy or "linear"
    base_url = base_url_of(request.provider, request.base_url)
    strategy_for(strategy), all_stages(request.stages_dir)
    proposer_for(request.model, base_url=base_url, runs_dir=request.runs_dir)
    return RunConfig(
        problem="",
        problem_source="",
        gpu=load_gpu(gpu).key,
        model=request.model,
        base_url=base_url,
        provider=request.provider,
        sandbox=request.wish.sandbox,
        device=request.wish.device,
        strategy=strategy,
        tune_points=TUNE_POINTS,
        stages_dir=str(request.stages_dir.resolve()) if request.stages_dir else None,
    )


def _extended(old: Budget, limits: dict[str, float | None]) -> Budget:
    """The old limits, replaced by those that are given now; seconds always begin anew."""
    given = {name: value for name, value in limits.items() if value is not None}
    return old.model_copy(update={"max_seconds": None, **given})


def _work(directory: BenchDirectory, engine: Engine, budget: Budget, request: Request) -> None:
    runs, members = directory.runs(), directory.bench.members
    left = [member for member in members if member.problem and not is_done(runs.get(member.key), budget)]
    board = Board(sys.stderr, total=len(members), done=len(members) - len(left), is_live=_is_live(request))
    board.note(f"{directory.id} in {directory.path}: {len(left)} of {len(members)} problems to do, {engine.about}")
    for text in (*engine.notes, *(f"broken: {member.broken}" for member in members if member.broken)):
        board.note(text)
    at_once = min(request.at_once or engine.slots, len(left)) or 1
    spent = [spent_by(run.state()) for run in runs.values()]
    purse = Purse(budget, spent, left=len(left), at_once=at_once)
    try:
        Schedule(directory, engine, purse, board).work(left, at_once)
    finally:
        board.clear()


def _show(directory: BenchDirectory, rows: list[Row], *, stopped: bool, as_json: bool) -> None:
    """The table, and where the rest is."""
    page, results = write_page(directory, rows), write_kernelbench(directory, rows)
    if as_json:
        head = {"bench": directory.id, "path": str(directory.path), "gpu": directory.bench.config.gpu}
        print(json.dumps(head | bench_json(rows)))
    else:
        print("\n".join(bench_lines(rows)))
    if stopped or any(row.outcome in ("not finished", "not begun") for row in rows):
        state = "interrupted" if stopped else "not finished"
        named = f"{directory.id}{runs_dir_option(directory.path.parent)}"
        print(f"{state}; go on: agent bench --resume {named}", file=sys.stderr)
    print(f"page: {page}; for KernelBench's analysis: {results}", file=sys.stderr)


def _code_of(rows: list[Row]) -> int:
    """0 where every problem has a kernel that passed, 4 where the others are unverified, else 1."""
    outcomes = {row.outcome for row in rows}
    return 0 if outcomes <= {"passed"} else 4 if outcomes <= {"passed", "unverified"} else 1


def _is_live(request: Request) -> bool:
    return not request.plain and sys.stderr.isatty()
