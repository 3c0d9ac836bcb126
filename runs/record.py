"""A run open for writing: its directory, its locked journal, and the state that follows every event.

Limits: it appends what it is given; what happens next is agent/loop.py.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runs.journal import Journal
from runs.nouns import AnyEvent
from runs.state import RunState, after
from runs.store import RunDirectory


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
    """Lock the journal of a run, recover a torn last line, and yield its record."""
    with directory.journal() as journal:
        yield Record(directory, journal)
