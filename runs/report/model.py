"""What the page shows, as values: rows of attempts, their code, failures, open checks. Templates only lay it out.

Limits: derived from a Reading alone; nothing here is HTML.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluators.evaluation import Evaluation
from evaluators.measurement import Timing
from runs.difference import change_text, difference
from runs.inert import one_line
from runs.measured import timing_of
from runs.nouns import Attempt, Confirmed
from runs.report.figures import Change, Figure, changes, figures_of
from runs.report.reading import Reading
from runs.verdict_text import confirmation_text, verdict_text

MAX_DIFF_LINES = 250  # of one attempt in the page; its code is there in full


@dataclass(frozen=True)
class Row:
    """One attempt as shown."""

    attempt: Attempt
    figures: dict[str, Figure]
    changes: tuple[Change, ...]
    is_best: bool = False
    on_path: bool = False  # the best stands on it
    confirmation: Confirmed | None = None  # it was judged once more

    @property
    def is_refuted(self) -> bool:
        """Whether judging it once more found it wrong, or could not say."""
        return self.confirmation is not None and self.confirmation.evaluation.verdict != "passed"

    @property
    def verdict(self) -> str:
        """In words, with what judging it once more gave."""
        return ", ".join(filter(None, (_verdict(self.attempt), confirmation_text(self.confirmation))))

    @property
    def status(self) -> str:
        """passed | failed | unverified | none: a class of the style sheet."""
        if self.is_refuted:
            return "failed"
        return self.attempt.evaluation.verdict if self.attempt.evaluation else "none"

    @property
    def evaluation(self) -> Evaluation | None:
        """The verdict with its evidence."""
        return self.attempt.evaluation

    @property
    def timing(self) -> Timing | None:
        """The time that counts."""
        return timing_of(self.evaluation)

    @property
    def is_bound_complete(self) -> bool:
        """Whether nothing was left out of the bound; otherwise it is too low to compare."""
        estimate = self.evaluation.estimate if self.evaluation else None
        return estimate is None or not estimate.left_out

    @property
    def cost(self) -> str:
        """What it cost, `n/a` where the price is unknown."""
        usage = self.attempt.usage
        if not usage.requests:
            return "-"
        return "n/a" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"


@dataclass(frozen=True)
class Code:
    """The code of an attempt (None: there is none) and how it differs from what it was made of."""

    source: str | None
    compared_with: str
    difference: tuple[str, ...] = ()

    @property
    def change_text(self) -> str:
        """`+12 -3` lines."""
        return change_text(list(self.difference))


def rows_of(reading: Reading, known: Sequence[Row] = ()) -> list[Row]:
    """Every attempt, in order; `known` are the rows of the first attempts, made when the journal was shorter."""
    state, best = reading.state, reading.state.best
    path = set(path_to(best, state.attempts)) if best else set()
    rows = list(known)
    figures = {row.attempt.number: row.figures for row in rows}
    for attempt in state.attempts[len(known) :]:
        own = figures_of(attempt.evaluation)
        changed = changes(figures.get(attempt.parent or 0, {}), own)
        figures[attempt.number] = own
        rows.append(Row(attempt, figures=own, changes=tuple(changed)))
    return [
        _placed(
            row,
            is_best=row.attempt is best,
            on_path=row.attempt.number in path,
            confirmation=state.confirmation(row.attempt.number),
        )
        for row in rows
    ]


def code_of(reading: Reading, attempt: Attempt) -> Code:
    """The code of an attempt and its diff to the parent's, or to what the user brought, or to nothing."""
    source = reading.text(attempt.number, "kernel.py")
    given = reading.run.config.seed_code if reading.run else None
    name = f"attempt {attempt.parent}" if attempt.parent is not None else "the given code" if given else "nothing"
    if source is None:
        return Code(None, name)
    before = reading.text(attempt.parent, "kernel.py") if attempt.parent is not None else given
    return Code(source, name, tuple(difference(before or "", source, (name, f"attempt {attempt.number}"))))


def _placed(row: Row, **place: Any) -> Row:
    """The row at its place in the run as it is now; the same one where nothing changed."""
    return row if all(getattr(row, name) == value for name, value in place.items()) else replace(row, **place)


def path_to(best: Attempt, attempts: Iterable[Attempt]) -> list[int]:
    """Numbers from the first ancestor to the best."""
    by_number = {attempt.number: attempt for attempt in attempts}
    path = [best.number]
    parent = best.parent
    while parent in by_number and parent not in path:
        path.append(parent)
        parent = by_number[parent].parent
    return path[::-1]


def failures(rows: Iterable[Row]) -> dict[str, list[tuple[Row, str]]]:
    """Attempts that failed, by kind, the most frequent kind first; with the first line of why."""
    groups: dict[str, list[tuple[Row, str]]] = {}
    for row in rows:
        evaluation = row.evaluation
        if evaluation is None:
            kind = "not judged" if row.attempt.candidate_id else "no candidate in the reply"
            groups.setdefault(kind, []).append((row, one_line(row.attempt.reply_problem, 200)))
        elif row.is_refuted and row.confirmation is not None:
            why = one_line(row.confirmation.evaluation.message, 200)
            groups.setdefault("refuted on fresh seeds", []).append((row, why))
        elif evaluation.verdict == "failed":
            groups.setdefault(f"{evaluation.kind} at {evaluation.rung}", []).append(
                (row, one_line(evaluation.message, 200))
            )
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def open_checks(rows: Iterable[Row]) -> dict[str, dict[str, list[int]]]:
    """What was not checked: check -> reason -> the attempts it holds for."""
    found: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        for check in row.evaluation.checks if row.evaluation else ():
            if check.status == "not_checked":
                reason = one_line(check.detail, 300)
                found.setdefault(check.name, {}).setdefault(reason, []).append(row.attempt.number)
    return found


def _verdict(attempt: Attempt) -> str:
    if attempt.evaluation is None and attempt.candidate_id is not None:
        return "not judged"
    reused = f" (as attempt {attempt.reused_from})" if attempt.reused_from is not None else ""
    return verdict_text(attempt.evaluation) + reused
