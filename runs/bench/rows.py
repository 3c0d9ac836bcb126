"""What became of each problem of a benchmark: one row per problem, read from its run.

Measured and estimated figures are fields of their own. A problem is correct where a kernel passed; `unverified` is
neither correct nor wrong.

Limits: facts of the record; sums over the rows are figures.py.
"""

from dataclasses import dataclass, field
from typing import Literal

from evaluators.evaluation import Evaluation
from evaluators.problem_sets import Member
from runs.bench.store import BenchDirectory
from runs.nouns import Attempt, Usage
from runs.state import RunState
from runs.store import RunDirectory

Outcome = Literal["passed", "unverified", "failed", "nothing proposed", "broken", "not finished", "not begun"]
BROKEN = "broken problem: "  # begins the reason of a run whose problem the judge could not load
STOPPED = "stopped by an error: "  # begins the reason of a run to be taken up again


@dataclass(frozen=True)
class Row:
    """One problem. The figures are those of the best kernel; None where there is none."""

    member: Member
    outcome: Outcome
    why: str = ""
    run: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    evaluation: Evaluation | None = None
    last: Evaluation | None = None  # of the last attempt, where none was kept

    @property
    def is_correct(self) -> bool:
        """Whether a kernel passed."""
        return self.outcome == "passed"

    @property
    def measured_ms(self) -> float | None:
        """The kernel's latency by a clock."""
        timing = self.evaluation.timing if self.evaluation else None
        return timing.latency.median_ms if timing else None

    @property
    def speedup_over_eager(self) -> float | None:
        """Measured, of a kernel that passed."""
        timing = self.evaluation.timing if self.evaluation and self.is_correct else None
        return timing.speedup_over_eager if timing else None

    @property
    def speedup_over_best(self) -> float | None:
        """Measured, against the best setting of the library, of a kernel that passed."""
        timing = self.evaluation.timing if self.evaluation and self.is_correct else None
        return timing.speedup_over_best if timing else None

    @property
    def estimated_ms(self) -> float | None:
        """A model's lower bound, never a time; None also where work was left out of it."""
        estimate = self.evaluation.estimate if self.evaluation else None
        return estimate.value_ms if estimate and not estimate.left_out else None


def rows_of(directory: BenchDirectory) -> list[Row]:
    """A row per problem, in the set's order."""
    runs = directory.runs()
    return [row_of(member, runs.get(member.key)) for member in directory.bench.members]


def row_of(member: Member, run: RunDirectory | None) -> Row:
    """What became of one problem."""
    if member.problem is None:
        return Row(member, "broken", member.broken)
    if run is None:
        return Row(member, "not begun", "not begun")
    state = run.state()
    outcome, why = _outcome(state)
    return Row(
        member=member,
        outcome=outcome,
        why=why,
        run=run.id,
        attempts=len(state.attempts),
        seconds=state.seconds,
        usage=state.usage,
        evaluation=state.best.evaluation if state.best else None,
        last=state.attempts[-1].evaluation if state.attempts and not state.best else None,
    )


def _outcome(state: RunState) -> tuple[Outcome, str]:
    reason = state.finished or ""
    if reason.startswith(BROKEN):
        return "broken", reason.removeprefix(BROKEN)
    best = state.best.evaluation if state.best else None
    if best is not None and best.verdict != "failed":
        return best.verdict, best.message if best.verdict == "unverified" else ""
    if state.finished is None or reason.startswith((STOPPED, "interrupted")):
        return "not finished", reason or "not finished"
    if state.attempts:
        return "failed", _last_failure(state.attempts)
    return "nothing proposed", reason.removeprefix("nothing left to propose: ")


def _last_failure(attempts: tuple[Attempt, ...]) -> str:
    last = attempts[-1]
    if last.evaluation is None:
        return last.reply_problem or last.reason
    return f"{last.evaluation.kind} at {last.evaluation.rung}: {last.evaluation.message}"
