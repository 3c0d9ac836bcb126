"""Run directories: `transcripts/<run-id>/` with run.json, journal.jsonl, best.py and attempts/NNN/*.

Every file is written beside its name and moved into place, so a reader never sees half of one. Limits: files and
folds of the journal; what is shown of them is show.py, what leaves the house is export.py.
"""

import errno
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evaluators.errors import UsageError
from evaluators.problem import ProblemFacts
from prompts.context import Memory
from runs.errors import DamagedJournal, NewerRun, RecordNotWritten, UnknownRun
from runs.journal import Journal, read_events
from runs.nouns import SCHEMA, AnyEvent, Run
from runs.state import RunState, fold

IN_BENCHES = "bench-*/*"  # the runs of benchmarks, seen from the runs directory
_ROOM_BYTES = 1 << 18  # the longest of five recorded replies has 74 kB and is written twice
_memories: TypeAdapter[tuple[Memory, ...]] = TypeAdapter(tuple[Memory, ...])


def now() -> str:
    """The present moment as the record writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def runs_directory(given: Path | None = None) -> Path:
    """Where runs live: the given directory, else AGENT_RUNS_DIR, else ./transcripts. Raises UsageError for a file."""
    directory = given or _usual_directory()
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is no directory that could hold runs; choose another --runs-dir")
    return directory


def runs_dir_option(directory: Path) -> str:
    """The option of a follow-up command for runs in `directory`; nothing where a plain `agent` here looks there."""
    is_usual = directory.resolve() == _usual_directory().resolve()
    return "" if is_usual else f" --runs-dir {shlex.quote(str(directory))}"


def _usual_directory() -> Path:
    return Path(os.environ.get("AGENT_RUNS_DIR") or "transcripts")


def existing_runs_directory(given: Path | None) -> Path:
    """The same for a reader. Raises UsageError where a directory that was named is not there."""
    directory = runs_directory(given)
    if given is not None and not directory.exists():
        raise UsageError(f"there is no directory {directory}; --runs-dir names the one that holds the runs")
    return directory


class RunDirectory:
    """One run on disk. Reading needs no lock; `journal()` opens it for the one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = _read_head(path)

    @property
    def id(self) -> str:
        """The run's id, which is the directory's name."""
        return self.path.name

    @property
    def argument(self) -> str:
        """How a follow-up command names the run: `agent show ARGUMENT`, with the runs directory where it is needed."""
        holder = self.path.parents[1] if self.path.match(IN_BENCHES) else self.path.parent
        return f"{shlex.quote(self.id)}{runs_dir_option(holder)}"

    def journal(self) -> Journal:
        """Open the journal for appending (recovers a torn last line)."""
        return Journal(self.path / "journal.jsonl")

    def events(self) -> list[AnyEvent]:
        """All events in order."""
        path = self.path / "journal.jsonl"
        return list(read_events(path)) if path.exists() else []

    def state(self) -> RunState:
        """The fold of the journal: attempts, the best, what was spent."""
        return fold(self.events())

    def facts(self) -> ProblemFacts | None:
        """What the judge found out about the problem when the run began (facts.json), if that is kept."""
        path = self.path / "facts.json"
        return ProblemFacts.model_validate_json(path.read_bytes()) if path.exists() else None

    def memories(self) -> tuple[Memory, ...]:
        """The outcomes of earlier runs as this run was told them when it began (memory.json)."""
        path = self.path / "memory.json"
        return _memories.validate_json(path.read_bytes()) if path.exists() else ()

    def keep_beginning(self, facts: ProblemFacts, memories: tuple[Memory, ...]) -> None:
        """Write down what is known at the beginning, so that later prompts are made of the same."""
        write_durably(self.path / "facts.json", facts.model_dump_json(indent=2) + "\n")
        write_durably(self.path / "memory.json", _memories.dump_json(memories, indent=2).decode() + "\n")

    def attempt_file(self, number: int, name: str) -> Path:
        """Path of a file of an attempt, e.g. `attempt_file(3, "reply.md")`."""
        return self.path / "attempts" / f"{number:03d}" / name

    def write(self, number: int, name: str, text: str) -> None:
        """Write a file of an attempt durably. Raises RecordNotWritten."""
        write_durably(self.attempt_file(number, name), text)

    def write_all(self, number: int, texts: Mapping[str, str], *, copies: Mapping[str, str] | None = None) -> None:
        """Write several files of an attempt durably, waiting once for their folder. Raises RecordNotWritten.

        `copies` hold what the journal or another file holds, too: nobody waits until the disk has them.
        """
        write_all_durably(self.attempt_file(number, ""), texts, copies or {})

    @contextmanager
    def room(self, number: int) -> Iterator[None]:
        """Hold disk space for a reply while it is asked for, so that a full disk is met before it is paid for."""
        path = self.attempt_file(number, "room")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)  # blocks are taken at once; nothing to wait for
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _not_written(path, error) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def read(self, number: int, name: str) -> str | None:
        """Text of a file of an attempt, None where it is absent."""
        path = self.attempt_file(number, name)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def point_file(candidate_id: str, *, is_full: bool) -> str:
    """Under which name an attempt keeps the evaluation of a point of its SPACE, judged in full or compiled only."""
    return f"points/{candidate_id}.{'full' if is_full else 'compiled'}.json"


def require_writable(directory: Path) -> None:
    """Raises RecordNotWritten where no run can be made in `directory`, before anything was spent on one."""
    nearest = next(path for path in (directory, *directory.absolute().parents) if os.access(path, os.F_OK))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise RecordNotWritten(f"cannot make {directory}: {nearest} cannot be written to; choose another --runs-dir")


def create_run(directory: Path, run: Run) -> RunDirectory:
    """Make a new run directory with its head. Raises RecordNotWritten where the directory cannot be made."""
    path = new_directory(directory, run.id)
    write_durably(path / "run.json", run.model_copy(update={"id": path.name}).model_dump_json(indent=2) + "\n")
    with Journal(path / "journal.jsonl"):
        pass
    return RunDirectory(path)


def new_directory(parent: Path, name: str) -> Path:
    """Make the directory, with a counter where another process or run has the name. Raises RecordNotWritten."""
    path, number = parent / name, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = parent / f"{name}-{number}"
        except OSError as error:
            raise RecordNotWritten(f"cannot make {path}: {error.strerror}; choose another --runs-dir") from None
        else:
            return path


def new_run_id(problem: str, gpu: str) -> str:
    """`YYYYMMDD-HHMMSS-problem-gpu`; create_run() counts those of one second."""
    return f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-{slug(problem)}-{slug(gpu)}"


def open_run(name: str, directory: Path) -> RunDirectory:
    """Open a run by id, by path, by a unique beginning of its id, or `last`. Raises UnknownRun naming what there is."""
    as_path = Path(name)
    if (as_path / "run.json").exists():
        return RunDirectory(as_path if as_path.name.strip(".") else as_path.resolve())  # `.` has no name
    known = run_paths(directory)
    every = [*known, *bench_run_paths(directory)]
    if name == "last" and every:
        return RunDirectory((known or every)[-1])
    matches = [path for path in every if path.name == name] or [path for path in every if path.name.startswith(name)]
    if len(matches) == 1:
        return RunDirectory(matches[0])
    raise UnknownRun(unknown_run(name, directory, matches, known or every))


def run_paths(directory: Path) -> list[Path]:
    """Run directories below `directory`, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if (path / "run.json").exists())


def bench_run_paths(directory: Path) -> list[Path]:
    """Run directories of the benchmarks below `directory`, oldest first."""
    return sorted((path.parent for path in directory.glob(f"{IN_BENCHES}/run.json")), key=lambda path: path.name)


def write_durably(path: Path, text: str, *, option: str = "--runs-dir") -> None:
    """Write text beside `path`, fsync, move it into place, fsync the directory. `option`: what named the path."""
    write_all_durably(path.parent, {path.name: text}, {}, option=option)


def write_all_durably(
    folder: Path, texts: Mapping[str, str], copies: Mapping[str, str], *, option: str = "--runs-dir"
) -> None:
    """The same for several files of one folder, by name; the folder is made where it is missing."""
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (*copies.items(), *texts.items()):
            path = folder / name
            if not path.name:  # `.` or `/`, which no file beside it could be moved to
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _put(path, text, is_awaited=name in texts)
        _fsync_directory(folder)
    except OSError as error:
        raise _not_written(path, error, option) from None


def _put(path: Path, text: str, *, is_awaited: bool) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            if is_awaited:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _not_written(path: Path, error: OSError, option: str = "--runs-dir") -> RecordNotWritten:
    remedy = "free space or choose" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose"
    return RecordNotWritten(f"cannot write {path}: {error.strerror}; {remedy} another {option}")


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_head(path: Path) -> Run:
    try:
        head = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise UnknownRun(f"{path} is not a run directory: {error.strerror} (run.json)") from None
    except ValueError as error:
        raise DamagedJournal(f"{path}/run.json is damaged ({error}); restore it from a backup") from None
    if isinstance(head, dict) and isinstance(head.get("schema_version"), int) and head["schema_version"] > SCHEMA:
        raise NewerRun(
            f"{path} was written by a newer agent (schema {head['schema_version']}, this one reads {SCHEMA}): upgrade"
        )
    try:
        return Run.model_validate(head)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DamagedJournal(f"{path}/run.json: {first['loc']}: {first['msg']}") from None


def unknown_run(name: str, directory: Path, matches: Sequence[Path], known: Sequence[Path]) -> str:
    """Why a name stands for no run: a folder without run.json, several runs that begin so, or none; with what to do."""
    if Path(name).is_dir() and name != "last":
        return f"{name} is no run directory: run.json is missing in it"
    if matches:
        shown = ", ".join(path.name for path in matches[-3:])
        return f"{name!r} is the beginning of {len(matches)} runs in {directory}; the latest are {shown}: name one"
    option = runs_dir_option(directory)
    if not known:
        return f"no run {name!r}: {directory} holds no runs yet; start one with `agent optimize{option}`"
    shown = ", ".join(path.name for path in known[-3:])
    return f"no run {name!r} in {directory}; the latest are {shown} (see `agent runs{option}`)"


def slug(text: str) -> str:
    """The text as part of a directory's name."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text).strip("-") or "x"
