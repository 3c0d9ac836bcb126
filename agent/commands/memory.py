"""`agent memory`: list, export, renew and forget what earlier runs found out.

Limits: the store is runs/memory.py; which outcomes a prompt shows is decided there, too.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.opening import replayed_run
from evaluators.errors import AgentError
from evaluators.gpu_catalog import load_gpu
from runs.errors import UnknownRun
from runs.inert import one_line
from runs.memory import MemoryStore, Outcome, outcomes_of
from runs.store import RunDirectory, open_run, run_paths, runs_dir_option, runs_directory
from runs.table import table

_COLUMNS = ("operator", "problem", "gpu", "stage", "outcome", "origin", "before_ms", "after_ms", "change", "from")


def memory(
    *, operator: str | None, gpu: str | None, forget: str | None, sync: bool, runs_dir: Path | None, as_json: bool
) -> None:
    """List the outcomes, after forgetting or renewing some where that is asked."""
    directory = runs_directory(runs_dir)
    store = MemoryStore(directory)
    if forget is not None:
        name = None if forget == "all" else _run_id(forget, directory, store)
        print(f"forgot {store.forget(name)} outcomes", file=sys.stderr)
    if sync:
        print(f"added {_sync(store, directory)} outcomes", file=sys.stderr)
    target = load_gpu(gpu).key if gpu else None
    chosen = [o for o in store.outcomes() if operator in (None, o.operator) and target in (None, o.gpu)]
    if as_json:
        print(json.dumps([outcome.model_dump(mode="json") for outcome in chosen]))
    elif not chosen:
        print(_nothing(store.outcomes(), directory, operator, target))
    else:
        print(table(_COLUMNS, [_row(outcome) for outcome in chosen]))


def _nothing(known: Sequence[Outcome], directory: Path, operator: str | None, target: str | None) -> str:
    if not known:
        return (
            f"nothing is remembered in {directory}; every run adds to it, "
            f"`agent memory --sync{runs_dir_option(directory)}` reads those there are"
        )
    wanted = " and ".join([*([f"operator {operator}"] if operator else []), *([f"GPU {target}"] if target else [])])
    operators = ", ".join(sorted({outcome.operator for outcome in known}))
    return f"no outcome for {wanted} among the {len(known)} in {directory}, which are for {operators}"


def _run_id(name: str, directory: Path, store: MemoryStore) -> str:
    """The run's full id; of a run whose directory is gone the name as it is, if something is remembered of it."""
    try:
        return open_run(name, directory).id
    except UnknownRun as error:
        if all(outcome.run != name for outcome in store.outcomes()):
            raise UnknownRun(f"{error}; nothing is remembered of it either") from None
        return name


def _sync(store: MemoryStore, directory: Path) -> int:
    """Read every run again; one that cannot be read is named and left out."""
    found: list[Outcome] = []
    for path in run_paths(directory):
        try:
            run = RunDirectory(path)
            facts = run.facts()
            if facts is not None and replayed_run(run.run.config) is None:
                found += outcomes_of(run, facts, load_gpu(run.run.config.gpu), run.state())
        except AgentError as error:
            print(f"left out {path.name}: {error}", file=sys.stderr)
    return store.add(found)


def _row(outcome: Outcome) -> tuple[str, ...]:
    detail = f" ({outcome.detail})" if outcome.detail else ""
    return (
        outcome.operator,
        outcome.problem,
        outcome.gpu,
        outcome.stage,
        outcome.outcome,
        outcome.origin if outcome.after_ms is not None else "-",
        *("-" if value is None else f"{value:.3g}" for value in (outcome.before_ms, outcome.after_ms)),
        one_line(outcome.change + detail, 80),
        f"{outcome.run} #{outcome.attempt}",
    )
