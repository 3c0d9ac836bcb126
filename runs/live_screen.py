"""The live screen of a run: a bar, what is going on, and the last attempts; redrawn in place by rich.

Limits: needs a terminal and rich; imported only where both are there. What it shows is decided in runs/live.py.
"""

import io
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runs.live import Progress, clock, outcome, printable
from runs.measured import Column, columns
from runs.nouns import Attempt

SHOWN_ATTEMPTS = 8
_MEASURED = ("ms", "x_eager", "x_best", "floor_%", "measured_on")  # more would leave no room for the outcome
REFRESHES_PER_SECOND = 4
_STYLES = {"keep": "green", "discard": "", "crash": "red"}


class _MayBeLost(io.TextIOBase):
    """The stream as rich sees it; writing to a terminal that is gone does nothing instead of ending the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()


class ScreenView:
    """A View that redraws itself while it is open. Lines noted scroll away above it."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._progress = progress
        self._phase = "starting"
        self._lock = threading.Lock()  # the refresh thread draws while the loop tells
        self._console = Console(file=cast(IO[str], _MayBeLost(stream)), highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=REFRESHES_PER_SECOND, transient=False
        )

    def phase(self, number: int, stage: str, what: str) -> None:
        """Show what attempt `number` is doing."""
        with self._lock:
            self._phase = printable(f"attempt {number}, {stage}: {what}")

    def attempt(self, attempt: Attempt) -> None:
        """Add a row."""
        with self._lock:
            self._progress.take(attempt)

    def note(self, text: str) -> None:
        """Print a line above the screen."""
        self._console.print(Text(printable(text)))

    def finish(self, summary: str) -> None:
        """Leave the last screen standing with the summary in the place of the phase."""
        with self._lock:
            self._phase = printable(summary)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        with self._lock:
            phase = Text(self._phase, no_wrap=True, overflow="ellipsis")
            rows = [self._rows()] if self._progress.state.attempts else []
            return Group(self._bar(), phase, *rows)

    def _bar(self) -> Table:
        progress = self._progress
        eta_s = progress.eta_s
        words = (
            f"{progress.count}  {clock(progress.elapsed_s)} elapsed, {'?' if eta_s is None else clock(eta_s)} left  "
            f"{progress.best}  spent {progress.spend}"
        )
        row = Table.grid(padding=(0, 1))
        done, total = len(progress.state.attempts), max(progress.budget.max_attempts, 1)
        row.add_row(ProgressBar(total=total, completed=done, width=24, complete_style="green"), Text(words))
        return row

    def _rows(self) -> Table:
        """The last attempts; where it is narrow, the outcome alone is cut."""
        shown = self._progress.state.attempts[-SHOWN_ATTEMPTS:]
        measured = [column for column in columns(a.evaluation for a in shown) if column.title in _MEASURED]
        titles = ("no.", "stage", "role", "decision", "s", *(column.title for column in measured))
        rows = [_cells(attempt, measured) for attempt in shown]
        table = Table(box=None, padding=(0, 1), expand=False)
        for place, title in enumerate(titles):
            width = max(len(title), *(cells[place].cell_len for cells in rows))
            table.add_column(title, justify="left" if title in titles[1:4] else "right", no_wrap=True, min_width=width)
        table.add_column("outcome", no_wrap=True, overflow="ellipsis")
        for attempt, cells in zip(shown, rows, strict=True):
            table.add_row(*cells, style=_STYLES[attempt.decision])
        return table


def _cells(attempt: Attempt, measured: Sequence[Column]) -> list[Text]:
    words = (
        str(attempt.number),
        attempt.stage,
        attempt.role,
        attempt.decision,
        f"{attempt.seconds:.1f}",
        *(column.cell(attempt.evaluation) if attempt.evaluation else "" for column in measured),
        outcome(attempt),
    )
    return [Text(printable(word)) for word in words]
