"""A benchmark on the terminal: one table, the figures below it. The same as JSON.

Limits: words and columns; the page is page.py.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from runs.bench.figures import Centre, Speedups, Totals, speedups, totals
from runs.bench.rows import Row
from runs.inert import one_line
from runs.live import clock
from runs.show import cost_text
from runs.table import table

COLUMNS = (
    "problem",
    "outcome",
    "correct",
    "vs_eager",
    "vs_best",
    "measured_ms",
    "estimated_ms",
    "attempts",
    "cost",
    "s",
)
_WIDTH, _WHY_CHARACTERS = 120, 1200
BASELINES = {"eager": "eager", "best": "the best setting of the library"}


def bench_lines(rows: Sequence[Row]) -> list[str]:
    """The table and what it comes to."""
    return [
        *table(COLUMNS, [tuple(cells(row)) for row in rows]).split("\n"),
        "vs_eager, vs_best, measured_ms: by a clock (-: not measured). estimated_ms: a model's lower bound, no time.",
        "correct: - where there is no kernel to judge.",
        *_reasons(rows),
        "",
        *summary_lines(rows),
    ]


def cells(row: Row) -> list[str]:
    """The cells of a row, by COLUMNS."""
    return [
        one_line(row.member.key, 40),
        row.outcome,
        {"passed": "yes", "unverified": "?", "failed": "no"}.get(row.outcome, "-"),
        _ratio(row.speedup_over_eager),
        _ratio(row.speedup_over_best),
        _figure(row.measured_ms),
        _figure(row.estimated_ms),
        str(row.attempts),
        cost_text(row.usage.cost_usd, row.usage.requests),
        f"{row.seconds:.0f}",
    ]


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Why, in full, each reason once with the problems it holds for."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.why:
            by_reason.setdefault(f"{row.outcome}: {one_line(row.why, _WHY_CHARACTERS)}", []).append(row.member.key)
    said = [f"{one_line(', '.join(names), 400)}: {why}" for why, names in by_reason.items()]
    lines = [
        line for text in said for line in textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]
    return ["", "why:", *lines] if lines else []


def summary_lines(rows: Sequence[Row]) -> list[str]:
    """Outcomes, speedups, cost."""
    total = totals(rows)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in total.outcomes.items())
    return [
        f"{len(rows)} problems: {counts}",
        f"correct: {total.outcomes.get('passed', 0)} of {len(rows)}",
        *(line for name in BASELINES for line in speedup_lines(speedups(rows, name), name)),
        f"{total.attempts} attempts, {clock(total.seconds)} of work, {_spent(total)}",
    ]


def speedup_lines(found: Speedups | None, name: str) -> list[str]:
    """fast_p, geometric mean and median over one baseline, or that nothing was measured."""
    over = f"over {BASELINES[name]}"
    if found is None:
        return [f"fast_p, geometric mean and median {over}: - (no speedup was measured)"]
    fast_p = ", ".join(f"fast_{p:g} {share:.3f}" for p, share in found.fast_p.items())
    return [
        f"{fast_p} ({over}; of all {found.problems} problems, {found.measured} measured)",
        f"speedup {over}: geometric mean {centre_text(found.geometric_mean)}, median {centre_text(found.median)}",
    ]


def centre_text(centre: Centre) -> str:
    """`1.52x [1.31, 1.80]`."""
    interval = "" if centre.low is None else f" [{centre.low:.2f}, {centre.high:.2f}]"
    return f"{centre.value:.2f}x{interval}"


def bench_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The table and the figures as plain values."""
    total = totals(rows)
    return {
        "problems": [_row_json(row) for row in rows],
        "outcomes": total.outcomes,
        "attempts": total.attempts,
        "seconds": round(total.seconds, 1),
        "tokens": total.tokens,
        "cost_usd": total.cost_usd if total.requests else 0.0,
        "speedups": {name: _speedups_json(speedups(rows, name)) for name in BASELINES},
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "problem": row.member.key,
        "outcome": row.outcome,
        "why": row.why,
        "run": row.run,
        "attempts": row.attempts,
        "seconds": round(row.seconds, 1),
        "cost_usd": row.usage.cost_usd,
        "measured_ms": row.measured_ms,
        "speedup_over_eager": row.speedup_over_eager,
        "speedup_over_best": row.speedup_over_best,
        "estimated_ms": row.estimated_ms,
    }


def _speedups_json(found: Speedups | None) -> dict[str, Any] | None:
    if found is None:
        return None
    fast_p = {f"{p:g}": share for p, share in found.fast_p.items()}
    return {**vars(found), "fast_p": fast_p, "geometric_mean": vars(found.geometric_mean), "median": vars(found.median)}


def _spent(total: Totals) -> str:
    if not total.requests:
        return "no model was paid"
    return f"{total.requests} requests, {total.tokens} tokens, cost {cost_text(total.cost_usd, total.requests)}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
