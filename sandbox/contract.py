"""The words of the sandbox: what limits a program, how it ended, and the two ways a request can fail.

Limits: values only. A program that misbehaves is `ChildEnded` with its `Outcome`; a machine that cannot run programs
safely is `SandboxUnavailable`, which is never a statement about the program.
"""

from dataclasses import dataclass
from typing import Any, Literal

Killed = Literal["timeout", "memory", "processes", "disk", "output", "protocol", "cancelled"]
Message = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What one program may use. Memory counts the whole tree, anonymous and shared, memfds included."""

    wall_s: float = 60.0
    memory_mb: int = 8192
    scratch_mb: int = 2048
    processes: int = 512
    output_kb: int = 128  # kept of stdout and stderr together: half from the start, half from the end
    output_kill_mb: int = 64


@dataclass(frozen=True)
class Outcome:
    """How a program ended, as its supervisor saw it. Exit code 0 alone never means that the work was done."""

    exit_code: int | None
    signal: int | None
    killed: Killed | None
    output: str
    wall_s: float
    memory_peak_mb: int = 0
    tier: str = ""

    def describe(self) -> str:
        """One line for a person: 'killed: memory', 'signal 11', 'exit code 1'."""
        if self.killed:
            return f"killed: {self.killed} after {self.wall_s:.1f} s"
        if self.signal is not None:
            return f"ended by signal {self.signal} after {self.wall_s:.1f} s"
        return f"ended with exit code {self.exit_code} after {self.wall_s:.1f} s"


class ChildEnded(Exception):
    """The program ended, was killed, or broke the protocol before it answered."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        """Keep the outcome; `detail` says what the host was waiting for."""
        super().__init__(f"{detail}: {outcome.describe()}" if detail else outcome.describe())
        self.outcome = outcome
        self.detail = detail


class SandboxUnavailable(Exception):
    """This machine cannot run a program safely; the message says which layer failed and what to do."""
