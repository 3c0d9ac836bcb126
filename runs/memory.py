"""Memory across runs: what was changed on which problem and what came of it, in `memory.jsonl` of the runs directory.

Everything in it is derived from the journals, so `sync` can always make it again; `forget` is remembered in
`memory.forgotten` so that a sync does not bring it back. A run takes its snapshot when it begins, so that a resumed or
replayed run is told the same.

Limits: candidates that compiled. Likeness is by operator, hyperparameters, architecture and stage; no embeddings.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.problem import ProblemFacts
from prompts.context import Memory
from runs.errors import RecordNotWritten
from runs.measured import timing_of
from runs.nouns import Attempt
from runs.state import RunState
from runs.store import RunDirectory, write_durably

SHOWN = 6  # memories in one prompt
SNAPSHOT = 24  # memories a run keeps for its prompts
_NEGATIVES = 2  # of those shown, at least, where there are any
_CHANGE_CHARS = 240
_TOLD_FAILURES = ("incorrect_numerical", "out_of_memory", "timeout", "runtime_error", "crashed")


class Outcome(Memory):
    """One remembered outcome and what it is about."""

    operator: str
    hyperparameters: dict[str, str] = {}
    arch: str
    run: str
    attempt: int
    at: str


class MemoryStore:
    """The outcomes of all runs below one runs directory."""

    def __init__(self, runs_dir: Path) -> None:
        self.path = runs_dir / "memory.jsonl"
        self._forgotten = runs_dir / "memory.forgotten"

    def outcomes(self) -> list[Outcome]:
        """All of them, oldest first; a line that cannot be read is left out, because a sync makes it again."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        return [outcome for outcome in map(_outcome, lines) if outcome is not None]

    def add(self, outcomes: Iterable[Outcome]) -> int:
        """Add those that are not known and not forgotten; returns how many. Raises RecordNotWritten."""
        with self._alone():
            return self._add(outcomes)

    def _add(self, outcomes: Iterable[Outcome]) -> int:
        known = self.outcomes()
        present = {(outcome.run, outcome.attempt) for outcome in known}
        forgotten = self._forgotten_runs()
        new = [o for o in outcomes if (o.run, o.attempt) not in present and o.run not in forgotten]
        if new:
            self._write([*known, *new])
        return len(new)

    def forget(self, run: str | None) -> int:
        """Drop the outcomes of one run, or all of them; a later sync leaves them dropped. Returns how many."""
        known = self.outcomes()
        gone = [outcome for outcome in known if run is None or outcome.run == run]
        runs = sorted(self._forgotten_runs() | {outcome.run for outcome in gone} | ({run} if run else set()))
        if gone or run:
            write_durably(self._forgotten, "".join(f"{name}\n" for name in runs))
            self._write([outcome for outcome in known if outcome not in gone])
        return len(gone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Runs end at once, in threads and processes; each reads and writes the whole file."""
        try:
            lock = self.path.with_suffix(".lock").open("a")
        except OSError as error:
            raise RecordNotWritten(f"cannot write beside {self.path}: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        write_durably(self.path, "".join(outcome.model_dump_json() + "\n" for outcome in outcomes))

    def _forgotten_runs(self) -> set[str]:
        return set(self._forgotten.read_text(encoding="utf-8").split()) if self._forgotten.exists() else set()


def outcomes_of(directory: RunDirectory, facts: ProblemFacts, gpu: GpuSpec, state: RunState) -> list[Outcome]:
    """What a run found out, one outcome per candidate that says something."""
    told = ((attempt, _told(attempt, state)) for attempt in state.attempts)
    return [
        Outcome(
            **{**fields, "problem": directory.run.config.problem, "gpu": gpu.key, "run": directory.id},
            operator=facts.operator,
            hyperparameters=facts.hyperparameters,
            arch=gpu.arch,
            attempt=attempt.number,
            at=attempt.started_at,
        )
        for attempt, fields in told
        if fields is not None
    ]


def snapshot(outcomes: Sequence[Outcome], problem: str, facts: ProblemFacts, gpu: GpuSpec) -> tuple[Memory, ...]:
    """The outcomes that are most about this problem and target, best first, as a run keeps them."""
    about = [outcome for outcome in outcomes if outcome.operator == facts.operator]
    ranked = sorted(about, key=lambda outcome: -_likeness(outcome, problem, facts, gpu))  # stable: older ones first
    return tuple(Memory(**outcome.model_dump(include=set(Memory.model_fields))) for outcome in ranked[:SNAPSHOT])


def most_relevant(memories: Sequence[Memory], stage: str) -> tuple[Memory, ...]:
    """The few a prompt for this stage shows: gains and, always, some of what did not work."""
    ranked = sorted(memories, key=lambda memory: memory.stage != stage)  # stable: likeness stays the second key
    positive = [memory for memory in ranked if memory.outcome in ("gain", "first")]
    negative = [memory for memory in ranked if memory.outcome in ("no gain", "failed")]
    unranked = [memory for memory in ranked if memory.outcome == "not ranked"]
    kept = positive[: SHOWN - min(_NEGATIVES, len(negative))]
    return (*kept, *negative, *unranked)[:SHOWN]


def _likeness(outcome: Outcome, problem: str, facts: ProblemFacts, gpu: GpuSpec) -> float:
    shared = sum(outcome.hyperparameters.get(name) == value for name, value in facts.hyperparameters.items())
    return (
        4 * (outcome.problem == problem) + 2 * (outcome.arch == gpu.arch) + shared / max(len(facts.hyperparameters), 1)
    )


def _told(attempt: Attempt, state: RunState) -> dict[str, Any] | None:
    """The outcome of an attempt against what it started from; None where there is nothing to learn."""
    evaluation = attempt.evaluation
    if evaluation is None or attempt.reused_from is not None:
        return None
    common = {"stage": attempt.stage, "change": " ".join(attempt.plan.split())[:_CHANGE_CHARS]}
    if evaluation.verdict == "failed":
        if evaluation.kind not in _TOLD_FAILURES:
            return None
        first_line = evaluation.message.split("\n", 1)[0][:_CHANGE_CHARS]
        return {
            **common,
            "outcome": "failed",
            "detail": f"{evaluation.kind}: {first_line}",
            "decision": attempt.decision,
        }
    parent = state.attempt(attempt.parent) if attempt.parent is not None else None
    origin, before, after = _figures(parent.evaluation if parent else None, evaluation)
    detail = evaluation.verdict if evaluation.verdict != "passed" else ""
    return {
        **common,
        "before_ms": before,
        "after_ms": after,
        "origin": origin,
        "outcome": _outcome_text(attempt, parent, is_ranked=before is not None and after is not None),
        "detail": detail,
        "decision": attempt.decision,
    }


def _outcome_text(attempt: Attempt, parent: Attempt | None, *, is_ranked: bool) -> str:
    if parent is None or parent.evaluation is None or parent.evaluation.verdict == "failed":
        return "first"
    if attempt.decision == "keep":
        return "gain"
    return "no gain" if is_ranked else "not ranked"


def _figures(parent: Evaluation | None, own: Evaluation) -> tuple[str, float | None, float | None]:
    """Origin, figure of the parent, own figure: times where there are any, of one device; else complete bounds."""
    old, new = timing_of(parent), timing_of(own)
    if new is not None and (parent is None or old is None or old.device == new.device):
        return "measured", old.latency.median_ms if old else None, new.latency.median_ms
    return "estimated", _bound(parent), _bound(own) if old is None else None


def _bound(evaluation: Evaluation | None) -> float | None:
    estimate = evaluation.estimate if evaluation else None
    return estimate.value_ms if estimate and not estimate.left_out else None


def _outcome(line: str) -> Outcome | None:
    try:
        return Outcome.model_validate(json.loads(line)) if line.strip() else None
    except (ValueError, ValidationError):
        return None
