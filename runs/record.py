"""A run open for writing: its directory, its locked journal, and the state that follows every event.

A journal that lost lines is not written to: the attempts it forgot would be made again over their files.

Limits: it appends what it is given; what happens next is agent/loop.py.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs.errors import DamagedJournal
from runs.journal import Journal
from runs.nouns import AnyEvent
from runs.state import RunState, after
from runs.store import RunDirectory

_AFTER_REPLY = ("kernel.py", "points")  # files of an attempt that are written only when its reply is in the journal


class Record:
    """Append events; `state` is always the fold of what is on disk. Thread-safe: one writer, one line at a time."""

    def __init__(self, directory: RunDirectory, journal: Journal) -> None:
        self.directory = directory
        self.state: RunState = directory.state()
        self._journal = journal
        self._lock = threading.Lock()

    def append(self, event: AnyEvent) -> None:
        """Put one event on disk, then advance the state. Raises RecordNotWritten; the state then stays as it was."""
        with self._lock:
            self._journal.append(event)
            self.state = after(self.state, event)


@contextmanager
def open_record(directory: RunDirectory) -> Iterator[Record]:
    """Lock the journal of a run, recover a torn last line, and yield its record. Raises DamagedJournal, RunBusy."""
    if lost := lost_lines(directory):
        raise DamagedJournal(lost)
    with directory.journal() as journal:
        yield Record(directory, journal)


def lost_lines(directory: RunDirectory) -> str:
    """What to tell where the journal lacks an attempt that has files; nothing where a crash could have left it so."""
    found = sorted((directory.path / "attempts").glob("*"))  # before the journal is read: files follow their lines
    folders = [folder for folder in found if folder.name.isdecimal()]
    journal, state = directory.path / "journal.jsonl", directory.state()
    lost = folders if not journal.exists() else [folder for folder in folders if _is_lost(folder, state)]
    if not lost:
        return ""
    fault = "is missing" if not journal.exists() else "lacks lines" if journal.stat().st_size else "is empty"
    return (
        f"{journal} {fault}: attempts/{lost[0].name} is not in it; the attempt folders are untouched: "
        "restore the journal from a copy, or begin a new run with agent optimize"
    )


def _is_lost(folder: Path, state: RunState) -> bool:
    """The next attempt may have a prompt and a reply before its first line; later ones begin with their plan."""
    number = int(folder.name)
    if state.attempt(number) or any(reply.number == number for reply in state.replies):
        return False
    is_begun = number == state.next_number or any(plan.number == number for plan in state.planned)
    return not is_begun or any((folder / name).exists() for name in _AFTER_REPLY)
