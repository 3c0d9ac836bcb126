"""`agent diff`: two attempts of a run side by side in words: what the code changed and what the figures did.

Limits: recorded figures only; an estimate against an estimate is no speedup.
"""

import json
import sys
from pathlib import Path
from typing import Any

from evaluators.errors import UsageError
from runs.difference import change_text, difference
from runs.inert import harmless, one_line
from runs.nouns import Attempt
from runs.report.figures import Change, Figure, changes, figures_of
from runs.show import no_code_text
from runs.store import RunDirectory, open_run, runs_directory
from runs.table import table
from runs.terminal import coloured_difference, has_colour
from runs.verdict_text import verdict_text

NAME_CHARS = 100  # a kernel and the profiler's name of a metric


def diff(run: str, named: tuple[int | None, int | None], *, runs_dir: Path | None, as_json: bool) -> None:
    """Print the comparison of two attempts; of one with its parent; of the best with its parent."""
    directory = open_run(run, runs_directory(runs_dir))
    numbers = _numbers(directory, *named)
    figures = tuple(_figures(directory, number) for number in numbers)
    changed = changes(figures[0], figures[1])
    lines, said = _code(directory, numbers)
    if as_json:
        print(json.dumps(_as_json(directory.id, numbers, changed, lines)))
        return
    print("\n".join([*_heads(directory, numbers), "", *_table(changed), "", f"code: {said}"]))
    shown = [harmless(line) for line in lines or ()]
    print("\n".join(coloured_difference(shown) if has_colour(sys.stdout) else shown))


def _numbers(directory: RunDirectory, first: int | None, second: int | None) -> tuple[int, int]:
    if first is not None and second is not None:
        return first, second
    best = directory.state().best
    if not directory.state().attempts:
        raise UsageError(f"{directory.id} has no attempt yet, so there is nothing to compare")
    if first is None and best is None:
        raise UsageError(f"{directory.id} has no best; name two attempts: agent diff {directory.argument} A B")
    attempt = _attempt(directory, first) if first is not None else best
    assert attempt is not None, "one of the two is there"
    if attempt.parent is None:
        raise UsageError(
            f"attempt {attempt.number} of {directory.id} was built on nothing earlier; "
            f"name what to compare: agent diff {directory.argument} A {attempt.number}"
        )
    return attempt.parent, attempt.number


def _attempt(directory: RunDirectory, number: int) -> Attempt:
    attempt = directory.state().attempt(number)
    if attempt is None:
        raise UsageError(f"{directory.id} has no attempt {number}; it has {len(directory.state().attempts)}")
    return attempt


def _figures(directory: RunDirectory, number: int) -> dict[str, Figure]:
    return figures_of(_attempt(directory, number).evaluation)


def _code(directory: RunDirectory, numbers: tuple[int, int]) -> tuple[list[str] | None, str]:
    """What changed, and how much in words; None where one of the two has no code."""
    before, after = (directory.read(number, "kernel.py") for number in numbers)
    if before is None or after is None:
        return None, no_code_text(_attempt(directory, numbers[0] if before is None else numbers[1]))
    lines = difference(before, after, (f"attempt {numbers[0]}", f"attempt {numbers[1]}"))
    return lines, change_text(lines)


def _heads(directory: RunDirectory, numbers: tuple[int, int]) -> list[str]:
    state = directory.state()
    found = [attempt for number in numbers if (attempt := state.attempt(number))]
    return [
        f"attempt {attempt.number} ({attempt.stage}): {verdict_text(attempt.evaluation)}; {one_line(attempt.reason)}"
        for attempt in found
    ]


def _table(changed: list[Change]) -> list[str]:
    if not changed:
        return ["no figure that both have differs"]
    judged_first = sorted(changed, key=lambda change: not change.after.better)  # where a direction is better; stable
    rows = [
        (
            one_line(change.after.name, NAME_CHARS),
            change.before.text,
            change.after.text,
            change.after.unit or "-",
            change.percent or "-",
            change.direction or "-",
            change.after.source,
        )
        for change in judged_first
    ]
    return table(("figure", "before", "after", "unit", "change", "is", "origin"), rows).split("\n")


def _as_json(run: str, numbers: tuple[int, int], changed: list[Change], lines: list[str] | None) -> dict[str, Any]:
    return {
        "run": run,
        "before": numbers[0],
        "after": numbers[1],
        "changes": [
            {
                "figure": change.after.name,
                "unit": change.after.unit,
                "origin": change.after.origin,
                "device": change.after.device,
                "before": change.before.value,
                "after": change.after.value,
                "direction": change.direction,
            }
            for change in changed
        ],
        "difference": None if lines is None else "\n".join(lines),
    }
