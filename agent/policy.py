"""What a search strategy decides: the plan of the next attempt, from the record so far.

A strategy is a pure function of the record, so a resumed run continues as the uninterrupted one would. One file per
strategy in agent/strategies/; its name is the file's.

    linear    stages in order, always from the best so far (default)
    beam      the best few candidates in parallel lines, each explored through the stages
    evolve    islands, an archive of unlike kernels, crossover and migration

Limits: the choice only. Building the context is agent/context.py, deciding what to keep agent/decision.py.
"""

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from typing import Protocol

import agent.strategies
from agent.gates import Evidence, evidence_of
from evaluators.errors import UsageError
from prompts.stage import Stage
from runs.nouns import Attempt, Role
from runs.state import RunState


@dataclass(frozen=True)
class Position:
    """Where a run stands: what was attempted, and the stages.

    in_flight: numbers of attempts in `state` that are being written now; nothing has come of them yet.
    """

    state: RunState
    stages: tuple[Stage, ...]
    in_flight: frozenset[int] = frozenset()

    def evidence(self, attempt: Attempt) -> Evidence:
        """What the gates of the stages look at."""
        return evidence_of(attempt.evaluation)


@dataclass(frozen=True)
class Plan:
    """The next attempt: its stage, its role, and the attempt it starts from (None: from nothing or the user's code).

    skipped: stages passed over on the way to this one, each with the reason. partners: other attempts whose code is
    shown beside the parent's. hint: what the strategy tells the proposer.
    """

    stage: Stage
    role: Role
    parent: int | None
    skipped: tuple[str, ...] = ()
    partners: tuple[int, ...] = ()
    hint: str = ""


class Strategy(Protocol):
    """Chooses the next attempt; no state of its own. An attempt in flight counts as made, and as not kept."""

    name: str

    def next(self, position: Position) -> Plan: ...


def strategy_for(name: str) -> Strategy:
    """The strategy a name stands for, `NAME` or `NAME:OPTION=VALUE,...`. Raises UsageError naming those there are."""
    key, _, options = name.partition(":")
    known = sorted(module.name for module in pkgutil.iter_modules(agent.strategies.__path__))
    if key not in known:
        raise UsageError(f"unknown strategy {key!r}; known: {', '.join(known)}")
    module = importlib.import_module(f"agent.strategies.{key}")
    strategy: Strategy = module.strategy(_options(name, options))
    return strategy


def whole_number(options: dict[str, str], name: str, default: int) -> int:
    """Take an option out of `options` as a number of at least 1. Raises UsageError."""
    text = options.pop(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--strategy: {name}={text!r} is not a whole number of at least 1")
    return int(text)


def no_more(options: dict[str, str], known: str) -> None:
    """Refuse options a strategy does not know. Raises UsageError."""
    if options:
        raise UsageError(f"--strategy: unknown option {', '.join(options)}; known: {known or 'none'}")


def _options(name: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    wrong = [key for key, sign, value in pairs if not (key and sign and value)]
    if wrong:
        raise UsageError(f"--strategy {name}: write options as NAME=VALUE, like beam:width=3")
    return {key.strip(): value.strip() for key, _, value in pairs}
