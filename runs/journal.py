"""The journal of a run: one fsynced JSON line per event, append-only, safe against `kill -9` at any byte.

A torn last line (a write cut short) is cut off and kept beside the journal as `journal.jsonl.torn`; a damaged line
anywhere else is an error that names the line, because guessing would lose or invent an attempt. One writer at a
time (flock).

Limits: events only. Long texts (prompt, reply, kernel) are files of the attempt, written before their event.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import jsonlines
from pydantic import ValidationError

from runs.errors import DamagedJournal, NewerRun, RecordNotWritten, RunBusy
from runs.nouns import SCHEMA, AnyEvent, event_adapter


def read_events(path: Path) -> Iterator[AnyEvent]:
    """Yield the events of a journal in order; a torn last line is left out.

    Raises DamagedJournal (file, line number) for any other unreadable line, NewerRun for a newer schema.
    """
    with path.open("rb") as file:
        data = file.read()
    whole, torn = _split_torn_tail(data)
    if torn and _is_json(torn):
        whole += torn
    # not splitlines(): a reply may hold U+2028, which that would take for the end of a line
    lines = whole.decode("utf-8", "replace").removesuffix("\n").split("\n") if whole else []
    reader = jsonlines.Reader(lines)
    number = 0
    while True:
        number += 1
        try:
            record = reader.read(type=dict)
        except EOFError:
            return
        except jsonlines.InvalidLineError as error:
            raise DamagedJournal(_damage(path, number, str(error).split(" (line")[0])) from None
        yield _event(path, number, record)


class Journal:
    """The journal open for appending. Use as a context manager; the lock lasts as long as it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_locked(path)
        try:
            _recover(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def append(self, event: AnyEvent) -> None:
        """Write one event and return when it is on disk. Raises RecordNotWritten and leaves the journal whole."""
        record = {"schema": SCHEMA, **event.model_dump(mode="json")}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
        end = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, line + b"\n")
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), end)
            raise RecordNotWritten(
                f"cannot write {self._path}: {error.strerror}; free space and `agent resume`"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte: on a disk that fills up the first write is short without an error, only the next one fails."""
    while data:
        data = data[file.write(data) :]


def open_locked(path: Path) -> BinaryIO:
    """Open a file for appending, for one process at a time. Raises RunBusy, RecordNotWritten."""
    try:
        file = path.open("a+b", buffering=0)
    except OSError as error:
        remedy = "make it writable, or copy the run to another folder and name that with --runs-dir"
        raise RecordNotWritten(f"cannot open {path} for writing: {error.strerror}; {remedy}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RunBusy(f"{path.parent.name} is being written by another process; wait for it or stop it") from None
    return file


def _recover(path: Path, file: BinaryIO) -> None:
    """Complete or cut off a torn last line so that the next append cannot glue itself to it."""
    file.seek(0)
    whole, torn = _split_torn_tail(file.read())
    if not torn:
        return
    if _is_json(torn):
        file.write(b"\n")
    else:
        with path.with_name(path.name + ".torn").open("ab") as kept:
            kept.write(torn + b"\n")
        os.ftruncate(file.fileno(), len(whole))
    os.fsync(file.fileno())


def _split_torn_tail(data: bytes) -> tuple[bytes, bytes]:
    cut = data.rfind(b"\n") + 1
    return data[:cut], data[cut:]


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _event(path: Path, number: int, record: dict[str, object]) -> AnyEvent:
    schema = record.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerRun(
            f"{path} line {number} has schema {schema}, this program reads up to {SCHEMA}: upgrade the agent"
        )
    try:
        return event_adapter.validate_python(record, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedJournal(_damage(path, number, f"{where}: {first['msg']}")) from None


def _damage(path: Path, number: int, what: str) -> str:
    return f"{path} line {number} is damaged ({what}); restore it from a backup or remove it; nothing was guessed"
