"""Proposers: who writes the next kernel. One file per kind; `proposer_for` finds it by the model's name.

    playbook        the built-in, rule-based kernel author (default, no key, no network)
    replay:RUN      the replies of a recorded run, in order
    KIND:ARGUMENT   any module agent/proposers/KIND.py that has `proposer(argument, runs_dir, caller)`
    anything else   a model behind an OpenAI-compatible endpoint (agent/proposers/openai.py)

Limits: a proposer returns text. Reading a candidate out of it is agent/reply.py, judging it is evaluators/.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evaluators.errors import MachineError
from evaluators.frozen import Frozen
from prompts.context import Context
from runs.nouns import Usage


class Proposal(Frozen):
    """A reply, verbatim, and what it cost. `reasoning` is the provider's separate thinking text, if it sent any."""

    reply: str
    reasoning: str = ""
    model: str
    finish_reason: str = "stop"  # stop | length | ...
    usage: Usage = Usage()
    request_ids: tuple[str, ...] = ()
    prompt_chars: int = 0
    prompt_dropped: tuple[str, ...] = ()  # parts left out so that the prompt fits (prompts/shrink.py)


class Proposer(Protocol):
    """Answers one prompt. `context` is what `prompt` was rendered from: a model reads the text, the playbook the value.

    Raises `agent.proposers.errors.ProposerError` (an AgentError) when no reply can be had; never an empty excuse.
    """

    name: str

    def propose(self, context: Context, prompt: str) -> Proposal: ...

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """The most this call could cost; 0.0 where it is free, None where the price is unknown."""
        ...

    def worst_case_tokens(self, prompt: str) -> int:
        """The most tokens this call could take, in and out; 0 where nothing is metered."""
        ...


def _no_limit() -> float | None:
    return None


def _ignore(*_: object) -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True)
class Caller:
    """What whoever asks lends a proposer: its limits and whom to tell."""

    max_output_tokens: int = 16384
    remaining_s: Callable[[], float | None] = _no_limit  # what the run has left; None: no limit
    on_wait: Callable[[float, str], None] = _ignore  # before each wait: seconds, why
    on_note: Callable[[str], None] = _ignore  # something worth a line, nothing that stops


NO_LIMITS = Caller()
_FOR_ENDPOINTS = ("openai", "tenacity")
Make = Callable[[str, Path | None, Caller], Proposer]


def proposer_for(
    model: str, base_url: str | None = None, *, runs_dir: Path | None = None, caller: Caller = NO_LIMITS
) -> Proposer:
    """The proposer a model name stands for. Raises ProposerError where it cannot even be asked: no key, bad URL."""
    if model == "playbook":
        from agent.proposers.playbook import PlaybookProposer

        return PlaybookProposer()
    kind, _, argument = model.partition(":")
    make = _own_kind(kind)
    if make is not None:
        return make(argument, runs_dir, caller)
    require_endpoint_packages()
    from agent.proposers.openai import OpenAIProposer

    return OpenAIProposer(model, base_url, caller=caller)


def require_endpoint_packages() -> None:
    """What a bare machine may lack and nothing else needs. Raises MachineError that names it."""
    missing = []
    for name in _FOR_ENDPOINTS:
        try:
            missing += [] if importlib.util.find_spec(name) else [name]
        except ModuleNotFoundError:
            missing.append(name)
    if missing:
        raise MachineError(f"a model at an endpoint needs {' and '.join(missing)}: pip install {' '.join(missing)}")


def _own_kind(kind: str) -> Make | None:
    """The `proposer` function of agent/proposers/KIND.py; None where this is not the name of a kind."""
    if not kind.isidentifier() or importlib.util.find_spec(f"{__name__}.{kind}") is None:
        return None
    module: Any = importlib.import_module(f"{__name__}.{kind}")
    make: Make | None = getattr(module, "proposer", None)
    return make
