"""The points of a SPACE that were tried, as a table: what was compiled, estimated and measured in columns of their own.

Limits: says what is recorded and compares nothing.
"""

from prompts.context import TunedPoint, Tuning
from runs.inert import one_line
from runs.table import table

COLUMNS = ("point", "verdict", "regs", "spill_bytes", "smem_bytes", "occ_<=%", "estimated_ms", "measured_ms", "why")
LEGEND = (
    "`*` became the candidate; compiled: it builds, its numbers were not checked. regs to occ: compiled, not measured;"
    " estimated_ms: a lower bound. measured_ms: on the device that the verdict names."
)


def tuning_lines(tuning: Tuning | None) -> list[str]:
    """The table with its legend and what was not searched; nothing where there was no SPACE."""
    if tuning is None:
        return []
    notes = [one_line(tuning.note)] if tuning.note else []
    if not tuning.points:
        return [f"SPACE {note}" for note in notes]
    rows = [point_cells(point, is_chosen=point.candidate_id == tuning.chosen) for point in tuning.points]
    return [tuning_text(tuning), *table(COLUMNS, rows).split("\n"), LEGEND, *notes]


def tuning_text(tuning: Tuning) -> str:
    """The search in one line: how many points, how long, which became the candidate and why. Empty without points."""
    if not tuning.points:
        return ""
    chosen = next((point.name for point in tuning.points if point.candidate_id == tuning.chosen), "none")
    is_own = tuning.points[0].candidate_id == tuning.chosen
    seconds = "" if tuning.seconds is None else f" in {tuning.seconds:.1f} s beside the verdict above"
    why = one_line(tuning.reason, 300) if tuning.reason else "why was not recorded"
    values = f"{one_line(chosen, 120)}{', as written' if is_own else ''}"
    return f"SPACE: {len(tuning.points)} points tried{seconds}; chosen: {values} ({why})"


def point_cells(point: TunedPoint, *, is_chosen: bool) -> tuple[str, ...]:
    """One row."""
    return (
        one_line(point.name, 80) + (" *" if is_chosen else ""),
        point.verdict,
        *(_cell(value) for value in (point.registers, point.spills, point.shared_memory_bytes)),
        _cell(point.theoretical_occupancy_pct),
        _cell(point.estimate_ms),
        _cell(point.latency_ms),
        one_line(point.detail, 60),
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
