"""The live view of a run on stderr: on a terminal, with rich, a screen that redraws itself, else a line per attempt.

A view never ends a run: when its stream is gone (a closed pipe, a lost terminal), it falls silent. Text of models and
candidates is freed of control characters before it is shown.

Limits: shows what it is told and keeps no record. The screen itself is runs/live_screen.py.
"""

import importlib.util
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from runs.measured import timing_of
from runs.measured_text import on_device
from runs.nouns import Attempt, Attempted, Budget
from runs.numbers import number_text, ratio_text
from runs.state import RunState, after

NO_FIGURE = "neither measured nor estimated"
_REASON_CHARACTERS = 110


class View(Protocol):
    """What the loop tells whoever watches."""

    def phase(self, number: int, stage: str, what: str) -> None:
        """Attempt `number` now does `what`."""
        ...

    def attempt(self, attempt: Attempt) -> None:
        """An attempt is finished and on record."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        ...

    def finish(self, summary: str) -> None:
        """The run is over."""
        ...


class Progress:
    """How far a run is: its attempts so far, resumed ones included, against its budget."""

    def __init__(self, budget: Budget, state: RunState) -> None:
        self.budget = budget
        self.state = state
        self._earlier_s = state.seconds
        self._started = time.monotonic()

    def take(self, attempt: Attempt) -> None:
        """Count a finished attempt."""
        self.state = after(self.state, Attempted(attempt=attempt))

    @property
    def elapsed_s(self) -> float:
        """Seconds the run has taken, earlier processes included."""
        return self._earlier_s + time.monotonic() - self._started

    @property
    def eta_s(self) -> float | None:
        """Median attempt time x attempts to come, cut at the time budget; None before the first attempt."""
        times = [attempt.seconds for attempt in self.state.attempts]
        if not times:
            return None
        to_come = max(self.budget.max_attempts - len(times), 0)
        seconds = statistics.median(times) * to_come
        limit = self.budget.max_seconds
        return seconds if limit is None else min(seconds, max(limit - self.elapsed_s, 0.0))

    @property
    def count(self) -> str:
        """Finished attempts of all, `3/8`."""
        return f"{len(self.state.attempts)}/{self.budget.max_attempts}"

    @property
    def best(self) -> str:
        """The best so far, in words."""
        best = self.state.best
        if best is None:
            return "no kernel yet"
        found = figure(best)
        return f"best attempt {best.number}, {found}" if found == NO_FIGURE else f"best {found} (attempt {best.number})"

    @property
    def spend(self) -> str:
        """What was paid, and the cap if there is one; n/a where a price is unknown."""
        cost, cap = self.state.usage.cost_usd, self.budget.max_cost_usd
        spent = "n/a" if cost is None else dollars(cost)
        return spent if cap is None else f"{spent}/{dollars(cap)}"


class PlainView:
    """One line per attempt and note, for logs, pipes and `--plain`."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def phase(self, number: int, stage: str, what: str) -> None:
        """Nothing: a log wants results."""

    def attempt(self, attempt: Attempt) -> None:
        """One line: where, what came out, the best, time and money."""
        self._progress.take(attempt)
        eta_s = self._progress.eta_s
        self._write(
            f"attempt {attempt.number}/{self._progress.budget.max_attempts} {attempt.stage} {attempt.role}: "
            f"{attempt.decision}, {outcome(attempt)} | {self._progress.best} | "
            f"{clock(self._progress.elapsed_s)} elapsed, {'?' if eta_s is None else clock(eta_s)} left | "
            f"spent {self._progress.spend}"
        )

    def note(self, text: str) -> None:
        """One line."""
        self._write(text)

    def finish(self, summary: str) -> None:
        """Nothing: the program's last words say it."""

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(printable(text) + "\n")
            self._stream.flush()


@contextmanager
def view_for(stream: TextIO, *, budget: Budget, plain: bool = False, state: RunState | None = None) -> Iterator[View]:
    """The view that suits the stream: a live screen on a terminal, else lines. `state`: what a resumed run did."""
    progress = Progress(budget, state or RunState())
    if plain or not _is_terminal(stream) or not _has_rich():
        yield PlainView(stream, progress)
        return
    from runs.live_screen import ScreenView

    with ScreenView(stream, progress) as view:
        yield view


def outcome(attempt: Attempt) -> str:
    """What came out of an attempt: the verdict with its figure or the reason of the failure."""
    evaluation = attempt.evaluation
    if evaluation is None:
        return _short(f"no verdict: {attempt.reply_problem or attempt.reason}")
    if evaluation.verdict == "failed":
        return _short(f"{evaluation.kind} at {evaluation.rung}: {evaluation.message}")
    if evaluation.verdict == "unverified":
        known = "" if figure(attempt) == NO_FIGURE else f" {figure(attempt)}"
        return _short(f"unverified{known}: {evaluation.message}")
    is_told = attempt.decision == "discard" or ": equal, but " in attempt.reason  # the figure alone does not say why
    why = f": {attempt.reason}" if is_told and attempt.reason else ""
    return f"passed{',' if figure(attempt) == NO_FIGURE else ''} {figure(attempt)}{_short(why)}"


def figure(attempt: Attempt) -> str:
    """The latency of an attempt: measured, with its speedups; or estimated, a lower bound, which says so."""
    timing = timing_of(attempt.evaluation)
    if timing is not None:
        over = (("eager", timing.speedup_over_eager), ("best baseline", timing.speedup_over_best))
        speedups = "".join(f", {ratio_text(value)}x over {name}" for name, value in over if value is not None)
        return f"{number_text(timing.latency.median_ms)} ms (measured{on_device(timing)}){speedups}"
    estimate = attempt.evaluation.estimate if attempt.evaluation else None
    if estimate is None:
        return NO_FIGURE
    incomplete = ", incomplete: not ranked" if estimate.left_out else ""
    return f">= {estimate.value_ms:.4g} ms (estimated{incomplete})"


def printable(text: str) -> str:
    """`text` as one line that cannot move the cursor, ring, hide or reorder: no control or format characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def clock(seconds: float) -> str:
    """`m:ss` or `h:mm:ss`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def dollars(amount: float) -> str:
    """Cents where that says something, else four decimals."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def _short(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 3] + "..."


def _has_rich() -> bool:
    """Bare machines may lack it (docs/gpu_boxes.md)."""
    try:
        return importlib.util.find_spec("rich") is not None
    except ModuleNotFoundError:
        return False


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}
