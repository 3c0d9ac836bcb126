"""A run from its opened record to its end: begin, plan, propose, judge, report, remember.

`agent optimize`, `agent resume` and `agent bench` all go through here.

Limits: the attempts are agent/loop.py; who judges and who watches is given.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.draft import Planner
from agent.loop import Loop
from agent.opening import begin, planner_for, remember
from agent.proposers import NO_LIMITS, Caller, Proposer, proposer_for
from agent.proposers.start import PlaybookStart
from agent.team import Team
from evaluators.errors import AgentError
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.judging import Judge
from runs.export import export_best
from runs.live import View
from runs.nouns import Budget, RunConfig
from runs.record import Record
from runs.report import write_report
from runs.store import RunDirectory

_VERSIONED = ("kernel-agent", "torch", "triton", "openai", "genai-prices")


def carry_on(record: Record, judge: Judge, view: View, budget: Budget) -> str:
    """Make the attempts the budget allows, from wherever the record ends; returns why it ended. Raises AgentError."""
    directory = record.directory
    begin(directory, judge)
    planner = planner_for(directory)
    for line in _remarks(planner, judge.device()):
        view.note(line)
    export_best(directory, record.state.best)
    with _team(directory, view) as team:
        try:
            reason = Loop(planner, team, judge, record, view, directory.run.config.parallel).run(budget)
        finally:
            _report(directory, view)
    remember(record)
    return reason


def versions() -> dict[str, str]:
    """The versions a run is made with, for its head."""
    found = {"python": sys.version.split()[0]}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if found["kernel-agent"] == "not installed":
        found["kernel-agent"] = "run from a checkout, not installed"
    return found


def _report(directory: RunDirectory, view: View) -> None:
    """Write the page of the run; where that fails the run is as good without it."""
    try:
        write_report(directory.path)
    except AgentError as error:
        view.note(f"no report: {error}")


def _remarks(planner: Planner, device: str | None) -> Iterator[str]:
    """What a user should know before the first attempt."""
    subject, gpu = planner.subject, planner.subject.gpu
    yield from subject.problem.notes
    yield from filter(None, [gpu.notes])
    yield f"target {gpu.name} ({gpu.arch}); {_where(device, gpu)}"
    yield from (f"problem: {warning}" for warning in (subject.facts.warnings if subject.facts else ()))
    needed_gib = subject.facts.bytes_moved / 2**30 if subject.facts else 0.0
    if needed_gib > gpu.memory_gb:  # a vendor's GB of memory are GiB
        yield f"problem: its tensors take {needed_gib:.4g} GiB, {gpu.name} has {gpu.memory_gb:g}: it cannot run there"
    if subject.memories:
        yield f"outcomes of earlier runs at hand: {len(subject.memories)} (agent memory)"


def _where(device: str | None, gpu: GpuSpec) -> str:
    """What figures of this run will be of."""
    if device is None:
        return "no clock: figures are compiled or estimated"
    elsewhere = "" if _is(device, gpu) else ", which is not the target: kernels are compiled for the target as well"
    return f"measured on {device}{elsewhere}"


def _is(device: str, gpu: GpuSpec) -> bool:
    try:
        return load_gpu(device).key == gpu.key
    except AgentError:
        return False


@contextmanager
def _team(directory: RunDirectory, view: View) -> Iterator[Team]:
    caller = Caller(on_wait=lambda seconds, why: view.note(f"waiting {seconds:.0f} s: {why}"), on_note=view.note)
    team = members(directory.run.config, directory.path.parent, caller)
    try:
        yield team
    finally:
        for member in team:
            close = getattr(member, "close", None)
            if close is not None:
                close()


def members(config: RunConfig, runs_dir: Path, caller: Caller = NO_LIMITS) -> Team:
    """One proposer for each model that is named. Raises ProposerError where one cannot even be asked."""

    def member(model: str | None) -> Proposer | None:
        return proposer_for(model, config.base_url, runs_dir=runs_dir, caller=caller) if model else None

    author = proposer_for(config.model, config.base_url, runs_dir=runs_dir, caller=caller)
    starter = PlaybookStart(author, note=caller.on_note) if config.start else None
    return Team(author, member(config.analyst_model), member(config.repair_model), starter)
