"""One run as its live page shows it: read once, then only what the journal got since.

A page says how many attempts it shows and which of them as the best; the answer is the overview anew, the attempts it
lacks and the two that changed places at the top. Nothing is remembered of a page, so one that was away, or two of them,
get exactly what they lack.

Limits: an attempt never changes once it is in the journal, but for being the best.
"""

import threading
from pathlib import Path
from typing import Any

from runs.inert import harmless
from runs.report.model import Row, rows_of
from runs.report.page import live_article, live_html, overview_html, text_names, text_of
from runs.report.reading import Reading, read_on, read_run
from runs.report.texts import lines_of


class Followed:
    """A run and its rows; every answer is of the journal as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # several tabs ask at once, each in a thread of the server
        self._reading: Reading | None = None
        self._rows: list[Row] = []

    def page(self) -> str:
        """The whole page."""
        reading, rows = self._now()
        return live_html(reading, rows)

    def changes(self, shown: int, best: int) -> dict[str, Any]:
        """What a page lacks that shows the first `shown` attempts and number `best` (0: none) as the best."""
        reading, rows = self._now()
        if shown > len(rows):
            return {"reload": True}
        moved = [row for row in rows[:shown] if row.is_best != (row.attempt.number == best)]
        articles = [(f"a{row.attempt.number}", live_article(reading, row)) for row in (*moved, *rows[shown:])]
        return {"reload": False, "overview": overview_html(reading, rows), "articles": articles}

    def text(self, number: int, name: str) -> str | None:
        """A text of an attempt with every letter that hides or reorders written out; None where there is none."""
        reading, rows = self._now()
        row = next((row for row in rows if row.attempt.number == number), None)
        text = text_of(reading, row, name) if row and name in text_names() else None
        return "\n".join(map(harmless, lines_of(text))) if text else None

    def _now(self) -> tuple[Reading, list[Row]]:
        with self._lock:
            before = self._reading
            self._reading = read_on(before) if before else read_run(self._path)
            is_longer = before is not None and self._reading.state.attempts[: len(self._rows)] == before.state.attempts
            self._rows = rows_of(self._reading, self._rows if is_longer else ())
            return self._reading, self._rows
