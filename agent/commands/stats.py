"""`agent stats`: what became of the attempts, what each stage brought, where time and money went.

Limits: counts and sums of what is recorded; the picture of it is `agent report`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from runs.report.model import Row, StageReturn, failures, rows_of, stage_returns
from runs.report.reading import read_run
from runs.show import cost_text
from runs.store import open_run, runs_directory
from runs.table import table


def stats(run: str, *, runs_dir: Path | None, as_json: bool) -> None:
    """Print the statistics of a run."""
    directory = open_run(run, runs_directory(runs_dir))
    directory.events()  # a damaged journal is an error here, not a smaller number
    rows, state = rows_of(read_run(directory.path)), directory.state()
    found = {
        "run": directory.id,
        "attempts": len(rows),
        "verdicts": dict(Counter(row.status for row in rows)),
        "decisions": dict(Counter(row.attempt.decision for row in rows)),
        "failures": {kind: [row.attempt.number for row, _ in group] for kind, group in failures(rows).items()},
        "reused": sum(row.attempt.reused_from is not None for row in rows),
        "stages": [_stage(stage) for stage in stage_returns(rows)],
        "seconds": {"attempts": round(state.seconds, 1), **_rung_seconds(rows)},
        "usage": state.usage.model_dump(mode="json"),
    }
    print(
        json.dumps(found)
        if as_json
        else "\n".join(_lines(found, cost_text(state.usage.cost_usd, state.usage.requests)))
    )


def _stage(stage: StageReturn) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "attempts": stage.attempts,
        "kept": stage.kept,
        "estimated_bound_lowered_by": round(stage.gain, 4) if stage.kept else None,
        "seconds": round(stage.seconds, 1),
        "tokens": stage.tokens,
        "cost_usd": stage.cost_usd,
    }


def _rung_seconds(rows: list[Row]) -> dict[str, float]:
    """Seconds of each rung over the attempts that were judged, not reused."""
    spent: Counter[str] = Counter()
    for row in rows:
        if row.evaluation is not None and row.attempt.reused_from is None:
            spent.update(row.evaluation.rung_seconds)
    return {rung: round(seconds, 1) for rung, seconds in spent.items()}


def _lines(found: dict[str, Any], cost: str) -> list[str]:
    usage = found["usage"]
    tokens = f"{usage['input_tokens']} + {usage['output_tokens']} tokens, {usage['requests']} requests, cost {cost}"
    columns = ("stage", "attempts", "kept", "estimated_bound_lowered_by", "seconds", "tokens")
    rows = [tuple(_cell(stage[column]) for column in columns) for stage in found["stages"]]
    return [
        f"run {found['run']}: {found['attempts']} attempts, {_counts(found['verdicts'])}",
        f"decisions: {_counts(found['decisions'])}",
        f"judged before (equal code): {found['reused']}",
        *(f"failed, {kind}: attempts {', '.join(map(str, numbers))}" for kind, numbers in found["failures"].items()),
        f"seconds: {_counts(found['seconds'])}",
        tokens if usage["requests"] else "no model was paid",
        "",
        *table(columns, rows).split("\n"),
        "estimated_bound_lowered_by: ratio of two lower bounds, no speedup",
    ]


def _cell(value: object) -> str:
    return "-" if value is None else f"{value}"


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
