"""A person, a chat window or a coding agent writes the replies: the prompt is shown, the reply is typed or named.

On a terminal the prompt's path is printed and the reply is pasted, ended by a line with a single dot, or given as the
path of a file. Elsewhere nobody can be asked: the run waits for `agent ask` and `agent tell`.

Limits: tokens and cost of whoever writes are not known.
"""

import sys
from pathlib import Path
from typing import TextIO

from agent.proposers import Caller, Proposal
from agent.proposers.errors import NothingToPropose, ReplyAwaited
from prompts.context import Context
from runs.nouns import Usage

NOT_METERED = Usage(cost_usd=None, cost_source="not metered")


class ManualProposer:
    """Reads replies from a terminal."""

    name = "manual"

    def __init__(self, terminal: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._terminal = sys.stdin if terminal is None else terminal
        self._screen = sys.stderr if screen is None else screen

    def propose(self, context: Context, prompt: str) -> Proposal:
        """Show the prompt and read the reply. Raises NothingToPropose where nobody sits at the terminal."""
        if not self._terminal.isatty():
            raise ReplyAwaited("nobody sits at a terminal: `agent ask` prints the prompt, `agent tell` takes the reply")
        print(prompt, file=self._screen)
        print("--- paste the reply and end it by a line with a single dot, or name a file:", file=self._screen)
        reply = self._read()
        if not reply.strip():
            raise NothingToPropose("no reply was given")
        return Proposal(reply=reply, model=self.name, usage=NOT_METERED)

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """Whoever writes is not paid by this program."""
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        """None that are counted."""
        return 0

    def _read(self) -> str:
        first = self._terminal.readline()
        path = Path(first.strip()) if first.strip() else None
        if path is not None and path.is_file():
            return path.read_text(encoding="utf-8", errors="replace")
        lines = [first]
        while lines[-1] and lines[-1] != ".\n":
            lines.append(self._terminal.readline())
        return "".join(lines[:-1])


def proposer(argument: str, runs_dir: Path | None, caller: Caller) -> ManualProposer:
    """`manual`; it takes no argument."""
    return ManualProposer()
