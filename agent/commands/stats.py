"""`agent stats`: what became of the attempts, what each stage brought, where time and money went.

Limits: counts and sums of what is recorded; the picture of it is `agent report`.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from runs.measured import timing_of
from runs.measured_text import floor_text, speedup_text, time_text
from runs.report.model import Row, failures, rows_of
from runs.report.reading import read_run
from runs.show import usage_text
from runs.stage_return import stage_return_json, stage_return_lines
from runs.state import RunState
from runs.store import open_run, runs_directory


def stats(run: str, *, runs_dir: Path | None, as_json: bool) -> None:
    """Print the statistics of a run."""
    directory = open_run(run, runs_directory(runs_dir))
    state = directory.state()  # a damaged journal is an error here, not a smaller number
    rows = rows_of(read_run(directory.path))
    found = {
        "run": directory.id,
        "attempts": len(rows),
        "verdicts": dict(Counter(row.status for row in rows)),
        "decisions": dict(Counter(row.attempt.decision for row in rows)),
        "failures": {kind: [row.attempt.number for row, _ in group] for kind, group in failures(rows).items()},
        "reused": sum(row.attempt.reused_from is not None for row in rows),
        "timed": sum(row.timing is not None for row in rows),
        "stages": stage_return_json(state),
        "seconds": {"attempts": round(state.seconds, 1), **_rung_seconds(rows)},
        "usage": state.usage.model_dump(mode="json"),
    }
    print(json.dumps(found) if as_json else "\n".join(_lines(found, state)))


def _rung_seconds(rows: list[Row]) -> dict[str, float]:
    """Seconds of each rung over the attempts that were judged, not reused, and of the other points of their SPACE."""
    spent: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.evaluation is not None and row.attempt.reused_from is None:
            for rung, seconds in row.evaluation.rung_seconds.items():
                spent[rung] += seconds
        if row.attempt.tuning is not None and row.attempt.tuning.seconds:
            spent["points of SPACE"] += row.attempt.tuning.seconds
    return {rung: round(seconds, 1) for rung, seconds in spent.items()}


def _lines(found: dict[str, Any], state: RunState) -> list[str]:
    return [
        f"run {found['run']}: {found['attempts']} attempts, {_counts(found['verdicts'])}",
        f"decisions: {_counts(found['decisions'])}",
        f"judged before (equal code): {found['reused']}",
        *(f"failed, {kind}: attempts {', '.join(map(str, numbers))}" for kind, numbers in found["failures"].items()),
        f"seconds: {_seconds(found['seconds'])}",
        usage_text(state.usage),
        *_best(found, state),
        "",
        *stage_return_lines(state),
    ]


def _best(found: dict[str, Any], state: RunState) -> list[str]:
    """The time of the best, where one was taken."""
    timing = timing_of(state.best.evaluation) if state.best else None
    if timing is None or state.best is None:
        return []
    words = f"{time_text(timing)}; {speedup_text(timing)}; {floor_text(timing)}"
    return [f"timed: {found['timed']} attempts; the best, attempt {state.best.number}: {words}"]


def _seconds(seconds: dict[str, float]) -> str:
    """The whole, what is known of it, and what is not: waiting for the author, starting a judge, writing."""
    parts = {name: value for name, value in seconds.items() if name != "attempts"}
    rest = max(seconds["attempts"] - sum(parts.values()), 0.0)
    return f"attempts {seconds['attempts']:.1f}: {_counts(parts)}, the rest {rest:.1f}"


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
