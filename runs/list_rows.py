"""A run in the list of `agent runs`: as it is shown, and as values.

Limits: what runs/listing.py read; nothing is read here.
"""

from typing import Any

from runs.inert import one_line
from runs.listing import Line
from runs.show import cost_text


def list_row(line: Line) -> dict[str, Any]:
    """One run in one line of `agent runs`, as it is shown; a measured column is there only if the best has it."""
    estimate = "-" if line.best_ms is None else f"{line.best_ms:.3g}{'' if line.is_bound_complete else '?'}"
    return {
        "run": line.id,
        "bench": line.bench,
        "model": one_line(line.model, 40),
        "attempts": line.attempts,
        "best": line.best or "-",
        **line.measured,
        "estimated_ms": estimate,
        "cost": cost_text(line.cost_usd, line.requests),
        "ended": one_line(line.ended, 60) or "not ended",
    }


def list_json(line: Line) -> dict[str, Any]:
    """The same as values; what is not known is None."""
    return {
        "run": line.id,
        "bench": line.bench or None,
        "problem": line.problem,
        "gpu": line.gpu,
        "model": line.model,
        "attempts": line.attempts,
        "passed": line.passed,
        "best": line.best,
        "measured": line.figures,
        "estimated_ms": line.best_ms,
        "is_bound_complete": line.is_bound_complete if line.best_ms is not None else None,
        "requests": line.requests,
        "cost_usd": line.cost_usd if line.requests else None,
        "ended": line.ended or None,
    }
