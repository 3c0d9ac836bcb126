"""A run from its opened record to its end: begin, plan, propose, judge, report, remember.

`agent optimize`, `agent resume` and `agent bench` all go through here.

Limits: the attempts are agent/loop.py; who judges and who watches is given.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from agent.draft import Planner
from agent.loop import Loop
from agent.opening import begin, planner_for, remember
from agent.proposers import Caller, Proposer, proposer_for
from evaluators.errors import AgentError
from evaluators.judging import Judge
from runs.export import export_best
from runs.live import View
from runs.nouns import Budget
from runs.record import Record
from runs.report import write_report
from runs.store import RunDirectory

_VERSIONED = ("kernel-agent", "torch", "triton", "openai", "genai-prices")


def carry_on(record: Record, judge: Judge, view: View, budget: Budget) -> str:
    """Make the attempts the budget allows, from wherever the record ends; returns why it ended. Raises AgentError."""
    directory = record.directory
    begin(directory, judge)
    planner = planner_for(directory)
    for line in _remarks(planner):
        view.note(line)
    if record.state.best:
        export_best(directory)
    with _proposer(directory, view) as proposer:
        try:
            reason = Loop(planner, proposer, judge, record, view).run(budget)
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
    return found


def _report(directory: RunDirectory, view: View) -> None:
    """Write the page of the run; where that fails the run is as good without it."""
    try:
        write_report(directory.path)
    except AgentError as error:
        view.note(f"no report: {error}")


def _remarks(planner: Planner) -> Iterator[str]:
    """What a user should know before the first attempt."""
    subject, gpu = planner.subject, planner.subject.gpu
    yield from subject.problem.notes
    yield from filter(None, [gpu.notes])
    yield f"target {gpu.name} ({gpu.arch}); no clock: figures are compiled or estimated"
    yield from (f"problem: {warning}" for warning in (subject.facts.warnings if subject.facts else ()))
    if subject.memories:
        yield f"{len(subject.memories)} outcomes of earlier runs are at hand (agent memory)"


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
