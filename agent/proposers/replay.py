"""The replies of a recorded run, attempt by attempt: no key, no network, no cost.

Limits: replays replies, not verdicts; candidates are judged anew. A prompt that differs from the recorded one is noted,
not refused, because templates change while the replies stay useful.
"""

import threading
from pathlib import Path

from agent.proposers import NO_LIMITS, Caller, Proposal
from agent.proposers.errors import NothingToPropose, NotReplayable
from prompts.context import Context
from runs.nouns import Analyzed, Proposed
from runs.store import RunDirectory, open_run, runs_directory


class ReplayProposer:
    """Answers with the recorded reply of the same attempt, outside a run with the next one. Thread-safe."""

    def __init__(self, run: RunDirectory, *, caller: Caller = NO_LIMITS) -> None:
        self.name = f"replay:{run.id}"
        self._run = run
        self._caller = caller
        events = run.events()
        self._replies = {event.number: event for event in events if isinstance(event, Proposed)}
        self._analyses = {event.number: event for event in events if isinstance(event, Analyzed)}
        self._next = 0
        self._lock = threading.Lock()
        if not self._replies:
            raise NotReplayable(f"run {run.id} holds no reply to replay; choose another with `agent runs`")

    def propose(self, context: Context, prompt: str) -> Proposal:
        """The recorded reply; recorded tokens, cost 0. Raises NothingToPropose at the end."""
        number, is_analysis = self._number(context), context is not None and context.role == "analyze"
        recorded = (self._analyses if is_analysis else self._replies).get(number)
        if recorded is None:
            raise NothingToPropose(
                f"run {self._run.id} holds {len(self._replies)} replies and all are used; "
                "limit the replay with --max-attempts or go on with another --model"
            )
        prompt_name, reply_name = ("analysis-prompt.md", "analysis.md") if is_analysis else ("prompt.md", "reply.md")
        reply = self._run.attempt_file(number, reply_name)
        if not reply.is_file():
            raise NotReplayable(f"{reply} is missing; the run cannot be replayed from attempt {number} on")
        self._compare(prompt, self._run.attempt_file(number, prompt_name), number)
        return Proposal(
            reply=reply.read_bytes().decode("utf-8", "replace"),
            model=self._run.run.config.model,
            usage=recorded.usage.model_copy(update={"requests": 0, "cost_usd": 0.0, "cost_source": "free (replay)"}),
        )

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """Free."""
        return 0.0

    def worst_case_tokens(self, prompt: str) -> int:
        """None: nothing is metered."""
        return 0

    def _number(self, context: Context | None) -> int:
        """Which attempt is asked for; a prompt outside a run is one more of those asked for so far."""
        if context is not None and context.number:
            return context.number
        with self._lock:
            self._next += 1
            return self._next

    def _compare(self, prompt: str, recorded: Path, number: int) -> None:
        if not recorded.is_file() or recorded.read_bytes().decode("utf-8", "replace") != prompt:
            self._caller.on_note(
                f"the prompt of attempt {number} differs from the recorded one; its reply is used all the same"
            )


def proposer(argument: str, runs_dir: Path | None, caller: Caller) -> ReplayProposer:
    """`replay:RUN`, where RUN is a run's id, a unique beginning of it, its path, or `last`."""
    if not argument:
        raise NotReplayable("replay needs a run: --model replay:RUN (see `agent runs`)")
    return ReplayProposer(open_run(argument, runs_directory(runs_dir)), caller=caller)
