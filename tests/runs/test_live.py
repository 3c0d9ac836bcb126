"""The live view, seen as a terminal, a pipe and a broken pipe see it."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import measured
import pytest

from evaluators.evaluation import Estimate, Failed, Passed, Unverified
from runs.live import Progress, clock, dollars, view_for
from runs.nouns import Attempt, Budget, Usage
from runs.state import RunState

JUDGED = {"candidate_id": "c", "problem": "p", "gpu": "g"}
ESTIMATE = Estimate(value_ms=1.23456, limiter="memory", assumptions=(), unmodelled=())


def attempt(number, *, evaluation=None, decision="discard", cost=0.0, seconds=10.0, **fields):
    return Attempt(
        number=number,
        parent=None,
        stage="tiling",
        role="optimize",
        plan="",
        candidate_id="c" if evaluation else None,
        evaluation=evaluation,
        decision=decision,
        reason="",
        usage=Usage(requests=1, cost_usd=cost),
        started_at="2026-01-01T00:00:00Z",
        seconds=seconds,
        **fields,
    )


PASSED = attempt(2, evaluation=Passed(**JUDGED, estimate=ESTIMATE), decision="keep", cost=0.02)
FAILED = attempt(
    1, evaluation=Failed(**JUDGED, rung="build", kind="compile_error", message="line 3:\n\x1b[31mno\x07 \u202etl")
)
EVIL = attempt(3, reply_problem="\x1b]0;title\x07[red]no code[/red]\x9b2J\r\n")


def plain(*attempts, budget=None, **options):
    stream = io.StringIO()
    with view_for(stream, budget=budget or Budget(), **options) as view:
        for one in attempts:
            view.phase(one.number, one.stage, "build")
            view.attempt(one)
    return stream.getvalue().splitlines()


def test_one_line_per_attempt_where_there_is_no_terminal():
    lines = plain(FAILED, PASSED, EVIL, budget=Budget(max_attempts=4, max_cost_usd=1.0))
    assert lines == [
        "attempt 1/4 tiling optimize: discard, compile_error at build: line 3: [31mno tl | no kernel yet | "
        "0:00 elapsed, 0:30 left | spent $0.00/$1.00",
        "attempt 2/4 tiling optimize: keep, passed >= 1.235 ms (estimated) | best >= 1.235 ms (estimated) (attempt 2) | "
        "0:00 elapsed, 0:20 left | spent $0.0200/$1.00",
        "attempt 3/4 tiling optimize: discard, no verdict: ]0;title [red]no code[/red] 2J | "
        "best >= 1.235 ms (estimated) (attempt 2) | 0:00 elapsed, 0:10 left | spent $0.0200/$1.00",
    ]


def test_an_unknown_price_is_shown_as_unknown():
    assert plain(PASSED, attempt(3, cost=None))[-1].endswith("spent n/a")
    assert plain(attempt(1, cost=None), budget=Budget(max_cost_usd=2))[0].endswith("spent n/a/$2.00")


def test_unverified_says_what_could_not_be_checked():
    evaluation = Unverified(**JUDGED, rung="correctness", message="no CUDA device")
    assert "discard, unverified: no CUDA device |" in plain(attempt(1, evaluation=evaluation))[0]


def test_what_passed_and_is_not_kept_says_why_on_its_line():
    evaluation = Passed(**JUDGED, estimate=ESTIMATE)
    lost = attempt(1, evaluation=evaluation).model_copy(update={"reason": "1.23 ms against 1.24 ms: no gain"})
    assert "discard, passed >= 1.235 ms (estimated): 1.23 ms against 1.24 ms: no gain |" in plain(lost)[0]
    tied = attempt(2, evaluation=evaluation, decision="keep").model_copy(
        update={
            "reason": "estimated bound 1.235 ms against 1.234 ms of attempt 1: equal, but 0 bytes spilled in place of 8"
        }
    )
    assert "1.234 ms of attempt 1: equal, but 0 bytes spilled in place of 8 |" in plain(tied)[0]
    unfigured = attempt(2, evaluation=Passed(**JUDGED), decision="keep")
    assert "keep, passed, neither measured nor estimated | best attempt 2, neither measured" in plain(unfigured)[0]


def test_a_resumed_run_is_counted_on():
    state = RunState(attempts=(FAILED, PASSED))
    (line,) = plain(EVIL, budget=Budget(max_attempts=4), state=state)
    assert (
        line.startswith("attempt 3/4") and "best >= 1.235 ms (estimated) (attempt 2) | 0:20 elapsed, 0:10 left" in line
    )


def test_the_time_left_is_the_median_of_the_attempts_within_the_time_budget():
    state = RunState(
        attempts=tuple(attempt(number, seconds=seconds) for number, seconds in enumerate((1.0, 2.0, 90.0), 1))
    )
    assert Progress(Budget(max_attempts=8), state).eta_s == 10.0
    assert Progress(Budget(max_attempts=3), state).eta_s == 0.0
    assert Progress(Budget(max_attempts=8, max_seconds=98.0), state).eta_s == pytest.approx(5.0, abs=0.5)
    assert Progress(Budget(max_attempts=8, max_seconds=50.0), state).eta_s == 0.0
    assert Progress(Budget(), RunState()).eta_s is None


def test_figures_are_short_and_never_zero_for_something():
    assert [clock(seconds) for seconds in (0.4, 61, 3725)] == ["0:00", "1:01", "1:02:05"]
    assert [dollars(amount) for amount in (0, 0.0012, 0.5, 12.345)] == ["$0.00", "$0.0012", "$0.5000", "$12.35"]


class Terminal:
    """A pseudo-terminal and everything that was written to it."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w")
        self.seen = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                block = os.read(self.master, 65536)
            except OSError:
                return
            self.seen += block

    def close(self):
        self.stream.close()
        self._reader.join(5)
        os.close(self.master)
        return self.seen.decode()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    return Terminal()


def test_the_screen_of_a_terminal(terminal):
    attempts = [FAILED, PASSED, EVIL, *(attempt(number, evaluation=FAILED.evaluation) for number in range(4, 13))]
    with view_for(terminal.stream, budget=Budget(max_attempts=20, max_cost_usd=1.0)) as view:
        view.note("run \x1b[2Jone")
        for one in attempts:
            view.phase(one.number + 1, "memory", "asking [bold]gpt[/bold]")
            view.attempt(one)
        view.finish("ended: attempts used up")
    seen = terminal.close()
    last = seen[seen.rindex("12/20") :]
    assert "best >= 1.235 ms (estimated) (attempt 2)  spent $0.0200/$1.00" in last and "ended: attempts used up" in last
    assert [f"{number}" for number in range(5, 13)] == [
        line.split()[0].rpartition("m")[2] for line in last.splitlines() if "compile_error" in line
    ]
    assert "run  [2Jone" in seen and "\x1b[2J" not in seen and "\x1b[31mno" not in seen and "\u202e" not in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor comes back


def test_the_screen_has_measured_columns_of_their_own_where_something_was_measured(terminal):
    timed = PASSED.evaluation.model_copy(update={"timing": measured.timing()})
    with view_for(terminal.stream, budget=Budget(max_attempts=4)) as view:
        view.attempt(PASSED)
        view.attempt(attempt(3, evaluation=timed, decision="keep"))
    lines = re.sub("\x1b\\[[0-9;]*m", "", terminal.close()).splitlines()[::-1]
    head, row = (
        next(line for line in lines if text in line) for text in ("x_best", "tiling  optimize  keep      10.0  2.5")
    )
    assert head.split()[-5:] == ["ms", "x_eager", "x_best", "floor_%", "outcome"]
    assert row.split()[5:10] == ["2.5", "4", "2", "40", "passed"]


def test_plain_is_plain_on_a_terminal_and_so_is_a_dumb_one(terminal, monkeypatch):
    with view_for(terminal.stream, budget=Budget(), plain=True) as view:
        view.attempt(PASSED)
    monkeypatch.setenv("TERM", "dumb")
    with view_for(terminal.stream, budget=Budget()) as view:
        view.attempt(PASSED)
    seen = terminal.close()
    assert seen.count("attempt 2/8") == 2 and "\x1b" not in seen


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_a_lost_stream_does_not_end_the_run(is_terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty() if is_terminal else os.pipe()
    stream = os.fdopen(writer, "w", buffering=1)
    with view_for(stream, budget=Budget()) as view:
        os.close(reader)
        for _ in range(3):
            view.note("into nowhere")
            view.attempt(PASSED)
        view.finish("done")
    with suppress(OSError):  # what is still buffered has nowhere to go
        stream.close()


def test_ctrl_c_inside_the_screen_gives_the_cursor_back(terminal):
    with pytest.raises(KeyboardInterrupt), view_for(terminal.stream, budget=Budget()):
        raise KeyboardInterrupt
    assert terminal.close().endswith("\x1b[?25h")


def test_rich_is_loaded_for_a_terminal_only():
    program = (
        "import io, sys; from runs.live import view_for; from runs.nouns import Budget\n"
        "with view_for(io.StringIO(), budget=Budget()) as view: view.note('x')\n"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "False\n"
