"""A run as far as it can be read: a damaged head, journal or file is named, and the rest is still there.

    reading = read_run(path)
    reading = read_on(reading)    # with what the journal got meanwhile; only that is read

Limits: for looking only. Whoever goes on with a run reads it with runs/store.py, which refuses what is damaged.
"""

import json
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from evaluators.errors import AgentError
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem, ProblemFacts
from runs.inert import one_line
from runs.nouns import SCHEMA, AnyEvent, Run, event_adapter
from runs.state import RunState, after, fold

FACTS_FILE = "facts.json"
MAX_FILE_BYTES = 4 << 20  # of one text of an attempt: beyond it is shown cut, the file itself stays as it is


@dataclass(frozen=True)
class Reading:
    """What could be read of a run; the journal was read up to byte `offset`, which is behind its line `lines`.

    found: in words what could not be read; unfinished_bytes: of a last line without its end.
    """

    path: Path
    run: Run | None
    state: RunState
    problem: Problem | None
    gpu: GpuSpec | None
    facts: ProblemFacts | None
    found: tuple[str, ...]
    offset: int
    lines: int
    unfinished_bytes: int

    @property
    def damage(self) -> tuple[str, ...]:
        """In words what could not be read."""
        torn = f"journal.jsonl: the last line is not finished ({self.unfinished_bytes} bytes)"
        return (*self.found, torn) if self.unfinished_bytes else self.found

    @property
    def id(self) -> str:
        """The run's id, which is the directory's name."""
        return self.path.name

    def text(self, number: int, name: str) -> str | None:
        """A text of an attempt, None where it is absent or unreadable."""
        path = self.path / "attempts" / f"{number:03d}" / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        text = data[:MAX_FILE_BYTES].decode("utf-8", "replace")
        return text if len(data) <= MAX_FILE_BYTES else f"{text}\n[cut at {MAX_FILE_BYTES} bytes; see {name}]"


def read_run(path: Path) -> Reading:
    """Read the run in `path`, whatever state it is in."""
    damage: list[str] = []
    run = _head(path, damage)
    lines, offset, unfinished_bytes = _lines(path / "journal.jsonl", 0, damage)
    events = _events(lines, 0, damage)
    problem = _problem(run, damage)
    return Reading(
        path=path.resolve(),
        run=run,
        state=fold(events),
        problem=problem,
        gpu=_gpu(run, damage),
        facts=_facts(path / FACTS_FILE, damage),
        found=tuple(damage),
        offset=offset,
        lines=len(lines),
        unfinished_bytes=unfinished_bytes,
    )


def read_on(reading: Reading) -> Reading:
    """The reading with the lines that were added since; all anew where the journal is shorter than it was."""
    journal, damage = reading.path / "journal.jsonl", list[str]()
    try:
        is_shorter = journal.stat().st_size < reading.offset
    except OSError:
        is_shorter = True
    if is_shorter or reading.run is None:
        return read_run(reading.path)
    lines, offset, unfinished_bytes = _lines(journal, reading.offset, damage)
    events = _events(lines, reading.lines, damage)
    return replace(
        reading,
        state=reduce(after, events, reading.state),
        facts=reading.facts or _facts(reading.path / FACTS_FILE, []),  # written after the run's head
        found=(*reading.found, *damage),
        offset=offset,
        lines=reading.lines + len(lines),
        unfinished_bytes=unfinished_bytes,
    )


def _head(path: Path, damage: list[str]) -> Run | None:
    try:
        return Run.model_validate_json((path / "run.json").read_bytes())
    except OSError as error:
        damage.append(f"run.json: {error.strerror}")
    except ValidationError as error:
        damage.append(f"run.json: {_first(error)}")
    return None


def _lines(path: Path, offset: int, damage: list[str]) -> tuple[list[bytes], int, int]:
    """Whole lines from byte `offset` on, the byte behind them, and how many bytes of an unfinished line follow."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError as error:
        damage.append(f"journal.jsonl: {error.strerror}")
        return [], offset, 0
    end = data.rfind(b"\n") + 1
    return data[:end].split(b"\n")[:-1], offset + end, len(data) - end


def _events(lines: list[bytes], before: int, damage: list[str]) -> list[AnyEvent]:
    """The readable events of lines that stand behind line `before`."""
    found = (_event(line, number, damage) for number, line in enumerate(lines, before + 1) if line)
    return [event for event in found if event]


def _event(line: bytes, number: int, damage: list[str]) -> AnyEvent | None:
    try:
        record = json.loads(line)
        version = record.pop("schema", SCHEMA)
        if version > SCHEMA:
            damage.append(f"journal.jsonl line {number}: written by a newer agent (schema {version})")
            return None
        return event_adapter.validate_python(record)
    except ValidationError as error:
        damage.append(f"journal.jsonl line {number}: {_first(error)}")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        damage.append(f"journal.jsonl line {number}: {one_line(str(error), 100)}")
    return None


def _problem(run: Run | None, damage: list[str]) -> Problem | None:
    try:
        return Problem.model_validate_json(run.config.problem_source) if run else None
    except ValidationError as error:
        damage.append(f"run.json, problem: {_first(error)}")
        return None


def _gpu(run: Run | None, damage: list[str]) -> GpuSpec | None:
    try:
        return load_gpu(run.config.gpu) if run else None
    except AgentError as error:
        damage.append(f"GPU: {error}")
        return None


def _facts(path: Path, damage: list[str]) -> ProblemFacts | None:
    try:
        return ProblemFacts.model_validate_json(path.read_bytes()) if path.exists() else None
    except (OSError, ValidationError) as error:
        damage.append(f"{FACTS_FILE}: {_first(error) if isinstance(error, ValidationError) else error.strerror}")
        return None


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in details["loc"])
    return one_line(f"{where}: {details['msg']}" if where else details["msg"], 160)
