"""A run as far as it can be read: a damaged head, journal or file is named, and the rest is still there.

Limits: for looking only. Whoever goes on with a run reads it with runs/store.py, which refuses what is damaged.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from evaluators.errors import AgentError
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem, ProblemFacts
from runs.inert import one_line
from runs.nouns import SCHEMA, AnyEvent, Run, event_adapter
from runs.state import RunState, fold

FACTS_FILE = "facts.json"
MAX_FILE_BYTES = 4 << 20  # of one text of an attempt: beyond it is shown cut, the file itself stays as it is


@dataclass(frozen=True)
class Reading:
    """What could be read of a run; `damage` says in words what could not; the journal was read up to byte `offset`."""

    path: Path
    run: Run | None
    state: RunState
    problem: Problem | None
    gpu: GpuSpec | None
    facts: ProblemFacts | None
    damage: tuple[str, ...]
    offset: int

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
    events, offset = _events(path / "journal.jsonl", damage)
    problem = _problem(run, damage)
    return Reading(
        path=path.resolve(),
        run=run,
        state=fold(events),
        problem=problem,
        gpu=_gpu(run, damage),
        facts=_facts(path / FACTS_FILE, damage),
        damage=tuple(damage),
        offset=offset,
    )


def _head(path: Path, damage: list[str]) -> Run | None:
    try:
        return Run.model_validate_json((path / "run.json").read_bytes())
    except OSError as error:
        damage.append(f"run.json: {error.strerror}")
    except ValidationError as error:
        damage.append(f"run.json: {_first(error)}")
    return None


def _events(path: Path, damage: list[str]) -> tuple[list[AnyEvent], int]:
    """The readable events and the byte after the last whole line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        damage.append(f"journal.jsonl: {error.strerror}")
        return [], 0
    end = data.rfind(b"\n") + 1
    events = []
    for number, line in enumerate(data[:end].split(b"\n"), 1):
        if line:
            event = _event(line, number, damage)
            events += [event] if event else []
    if data[end:]:
        damage.append(f"journal.jsonl: the last line is not finished ({len(data) - end} bytes)")
    return events, end


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
