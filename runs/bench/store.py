"""Bench directories: made, found, opened; the run of each problem in them.

Limits: directories and the head; what became of the problems is rows.py.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from evaluators.frozen import Frozen
from evaluators.problem_sets import Member
from runs.errors import DamagedJournal, UnknownRun
from runs.journal import open_locked
from runs.nouns import Budget, RunConfig
from runs.store import RunDirectory, new_directory, run_paths, slug, write_durably

HEAD = "bench.json"
PREFIX = "bench-"


class Bench(Frozen):
    """The head of a bench directory (bench.json). `config` is that of every run, less the problem.

    budget: attempts of each problem; dollars and tokens of all of them.
    """

    schema_version: int = 1
    source: str  # what the user named: a folder or kernelbench:LEVEL
    created_at: str
    members: tuple[Member, ...]
    config: RunConfig
    budget: Budget


class BenchDirectory:
    """One benchmark on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bench = _read(path)

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    def lock(self) -> BinaryIO:
        """Keep other processes from working on it until the file is closed. Raises RunBusy."""
        return open_locked(self.path / HEAD)

    def runs(self) -> dict[str, RunDirectory]:
        """The run of each problem that has one, by the problem's key."""
        found = (RunDirectory(path) for path in run_paths(self.path))
        return {run.run.config.problem: run for run in found}


def create_bench(directory: Path, bench: Bench) -> BenchDirectory:
    """Make the directory with its head. Raises RecordNotWritten."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    name = f"{PREFIX}{stamp}-{slug(Path(bench.source).name)}-{slug(bench.config.gpu)}"
    path = new_directory(directory, name)
    write_durably(path / HEAD, bench.model_dump_json(indent=1) + "\n")
    return BenchDirectory(path)


def open_bench(name: str, directory: Path) -> BenchDirectory:
    """Open a benchmark by path, by a unique beginning of its name, or `last`. Raises UnknownRun."""
    if (Path(name) / HEAD).exists():
        return BenchDirectory(Path(name) if Path(name).name.strip(".") else Path(name).resolve())
    known = sorted(path.parent for path in directory.glob(f"*/{HEAD}"))
    matches = known[-1:] if name == "last" else [path for path in known if path.name.startswith(name)]
    if len(matches) != 1:
        shown = ", ".join(path.name for path in (matches or known)[-3:]) or "none: start one with `agent bench FOLDER`"
        raise UnknownRun(f"no single benchmark {name!r} in {directory}; there is {shown}")
    return BenchDirectory(matches[0])


def _read(path: Path) -> Bench:
    try:
        return Bench.model_validate_json((path / HEAD).read_bytes())
    except OSError as error:
        raise UnknownRun(f"{path} is no bench directory: {error.strerror} ({HEAD})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DamagedJournal(f"{path / HEAD}: {first['loc']}: {first['msg']}; restore it from a backup") from None
