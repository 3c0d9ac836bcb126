"""How far a benchmark is, on stderr: a line for every problem that ends, on a terminal also what is going on.

Limits: shows what it is told; safe for threads.
"""

import threading
import time
from typing import TextIO

from runs.bench.rows import Row
from runs.bench.text import cells
from runs.inert import one_line
from runs.live import clock, printable
from runs.nouns import Attempt

_WIDTH, _WHY_CHARACTERS = 110, 400


class Board:
    """The progress of all problems."""

    def __init__(self, stream: TextIO, *, total: int, done: int, is_live: bool) -> None:
        """`done`: problems that ended before this process began."""
        self._stream = stream
        self._total, self._before, self._done = total, done, 0
        self._started = time.monotonic()
        self._is_live = is_live
        self._doing: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """One line."""
        with self._lock:
            self._write(text)

    def doing(self, problem: str, what: str) -> None:
        """A problem is at this."""
        with self._lock:
            self._doing[problem] = what
            self._redraw()

    def ended(self, row: Row) -> None:
        """A problem has ended: its line, with how many are left and for how long."""
        with self._lock:
            self._done += 1
            self._doing.pop(row.member.key, None)
            name, outcome, *_, measured, estimated, attempts, _, seconds = cells(row)
            figure = f"{measured} ms measured" if measured != "-" else f">= {estimated} ms (estimated)"
            said = figure if row.evaluation else one_line(row.why, _WHY_CHARACTERS)
            self._write(
                f"[{self._before + self._done}/{self._total}] {name}: {outcome}, {said}; "
                f"{attempts} attempts, {seconds} s | {self._outlook()}"
            )

    def clear(self) -> None:
        """Take the line of what is going on away."""
        with self._lock:
            self._doing.clear()
            self._erase()

    def _outlook(self) -> str:
        left = self._total - self._before - self._done
        elapsed_s = time.monotonic() - self._started
        eta = f", about {clock(elapsed_s / self._done * left)} left" if self._done and left else ""
        return f"{left} to go, {clock(elapsed_s)} elapsed{eta}"

    def _write(self, text: str) -> None:
        self._erase()
        self._stream.write(printable(text) + "\n")
        self._redraw()
        self._stream.flush()

    def _redraw(self) -> None:
        if self._is_live and self._doing:
            line = "; ".join(f"{problem}: {what}" for problem, what in self._doing.items())
            self._stream.write(f"\r\x1b[K{printable(line)[:_WIDTH]}")
            self._stream.flush()

    def _erase(self) -> None:
        if self._is_live:
            self._stream.write("\r\x1b[K")


class RunView:
    """What one run of the benchmark tells the board."""

    def __init__(self, board: Board, problem: str) -> None:
        self._board = board
        self._problem = problem

    def phase(self, number: int, stage: str, what: str) -> None:
        """Shown as what is going on."""
        self._board.doing(self._problem, f"attempt {number} {what}")

    def attempt(self, attempt: Attempt) -> None:
        """Shown as what is going on: the journal has it."""
        self._board.doing(self._problem, f"attempt {attempt.number} {attempt.decision}")

    def note(self, text: str) -> None:
        """What keeps a run waiting is worth a line; the rest is in the run's report."""
        if text.startswith("waiting"):
            self._board.note(f"{self._problem}: {text}")

    def finish(self, summary: str) -> None:
        """Nothing: the problem's line says it."""
