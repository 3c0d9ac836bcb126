"""What the page shows, as values: rows of attempts, stages, failures, open checks. Templates only lay it out.

Limits: derived from a Reading alone; nothing here is HTML.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from evaluators.evaluation import Evaluation
from runs.difference import change_text, difference
from runs.inert import one_line
from runs.nouns import Attempt
from runs.report.figures import BOUND, Change, Figure, changes, figures_of
from runs.report.reading import Reading
from runs.verdict_text import verdict_text

MAX_DIFF_LINES = 250  # of one attempt in the page; its code is there in full


@dataclass(frozen=True)
class Row:
    """One attempt as shown."""

    attempt: Attempt
    verdict: str
    status: str  # passed | failed | unverified | none: a class of the style sheet
    figures: dict[str, Figure]
    changes: tuple[Change, ...]
    difference: tuple[str, ...]
    change_text: str
    compared_with: str
    source: str | None
    is_best: bool = False
    on_path: bool = False  # the best stands on it

    @property
    def evaluation(self) -> Evaluation | None:
        """The verdict with its evidence."""
        return self.attempt.evaluation

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


@dataclass
class StageReturn:
    """What a stage was given and what it brought."""

    stage: str
    attempts: int = 0
    kept: int = 0
    seconds: float = 0.0
    tokens: int = 0
    cost_usd: float | None = 0.0
    gain: float = 1.0  # product of bound-before / bound-after over kept attempts
    numbers: list[int] = field(default_factory=list)


def rows_of(reading: Reading) -> list[Row]:
    """Every attempt, in order."""
    state, best = reading.state, reading.state.best
    figures: dict[int, dict[str, Figure]] = {}
    sources: dict[int, str | None] = {}
    path = set(path_to(best, state.attempts)) if best else set()
    rows = []
    for attempt in state.attempts:
        number = attempt.number
        sources[number] = reading.text(number, "kernel.py")
        figures[number] = figures_of(attempt.evaluation, reading.text(number, "metrics.json"))
        lines, name = _difference(reading, attempt, sources)
        rows.append(
            Row(
                attempt=attempt,
                verdict=_verdict(attempt),
                status=attempt.evaluation.verdict if attempt.evaluation else "none",
                figures=figures[number],
                changes=tuple(changes(figures.get(attempt.parent or 0, {}), figures[number])),
                difference=tuple(lines),
                change_text=change_text(lines),
                compared_with=name,
                source=sources[number],
                is_best=best is not None and best.number == number,
                on_path=number in path,
            )
        )
    return rows


def path_to(best: Attempt, attempts: Iterable[Attempt]) -> list[int]:
    """Numbers from the first ancestor to the best."""
    by_number = {attempt.number: attempt for attempt in attempts}
    path = [best.number]
    parent = best.parent
    while parent in by_number and parent not in path:
        path.append(parent)
        parent = by_number[parent].parent
    return path[::-1]


def stage_returns(rows: Iterable[Row]) -> list[StageReturn]:
    """What each stage brought, in the order they first ran."""
    stages: dict[str, StageReturn] = {}
    incumbent: float | None = None
    for row in rows:
        attempt = row.attempt
        stage = stages.setdefault(attempt.stage, StageReturn(attempt.stage))
        stage.attempts += 1
        stage.numbers.append(attempt.number)
        stage.seconds += attempt.seconds
        stage.tokens += attempt.usage.input_tokens + attempt.usage.output_tokens
        stage.cost_usd = _sum(stage.cost_usd, attempt.usage.cost_usd if attempt.usage.requests else 0.0)
        if attempt.decision == "keep":
            stage.kept += 1
            bound = row.figures[BOUND].value if BOUND in row.figures else None
            if incumbent and bound:
                stage.gain *= incumbent / bound
            incumbent = bound
    return list(stages.values())


def failures(rows: Iterable[Row]) -> dict[str, list[tuple[Row, str]]]:
    """Attempts that failed, by kind, the most frequent kind first; with the first line of why."""
    groups: dict[str, list[tuple[Row, str]]] = {}
    for row in rows:
        evaluation = row.evaluation
        if evaluation is None:
            kind = "not judged" if row.attempt.candidate_id else "no candidate in the reply"
            groups.setdefault(kind, []).append((row, one_line(row.attempt.reply_problem, 200)))
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


def _difference(reading: Reading, attempt: Attempt, sources: dict[int, str | None]) -> tuple[list[str], str]:
    """The diff to the parent's code, or to what the user brought, or to nothing; and what it is a diff to."""
    after = sources[attempt.number]
    given = reading.run.config.seed_code if reading.run else None
    parent = sources.get(attempt.parent) if attempt.parent is not None else given
    name = f"attempt {attempt.parent}" if attempt.parent is not None else "the given code" if given else "nothing"
    if after is None:
        return [], name
    return difference(parent or "", after, (name, f"attempt {attempt.number}")), name


def _sum(total: float | None, part: float | None) -> float | None:
    return None if total is None or part is None else total + part
