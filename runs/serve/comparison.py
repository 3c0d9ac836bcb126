"""Two runs beside each other: their facts, their progress, and how their best kernels differ.

Limits: figures of different problems or GPUs stand side by side but are not compared.
"""

from pathlib import Path
from typing import Any

from runs.difference import change_text, difference
from runs.report import charts, words
from runs.report.figures import changes
from runs.report.model import Row, rows_of
from runs.report.page import page
from runs.report.reading import Reading, read_run
from runs.report.roofline import roof_of
from runs.report.time_chart import times


def comparison_html(first: Path, second: Path) -> str:
    """The page that compares two runs."""
    sides = [_side(read_run(path)) for path in (first, second)]
    best = [side["best"] for side in sides]
    lines, sources = [], [side["source"] for side in sides]
    if all(source is not None for source in sources):
        lines = difference(sources[0], sources[1], (sides[0]["id"], sides[1]["id"]))
    return page(
        "compare.html.j2",
        sides=sides,
        is_same=sides[0]["subject"] == sides[1]["subject"],
        changes=changes(*(row.figures if row else {} for row in best)),
        lines=lines,
        change_text=change_text(lines),
    )


def _side(reading: Reading) -> dict[str, Any]:
    rows = rows_of(reading)
    best: Row | None = next((row for row in rows if row.is_best), None)
    config = reading.run.config if reading.run else None
    return {
        "id": reading.id,
        "subject": (reading.problem.id if reading.problem else None, config.gpu if config else None),
        "facts": words.facts_of_run(reading, rows),
        "verdict": words.verdict_words(reading, rows, roof_of(reading.facts, reading.gpu)),
        "times": times(rows),
        "progress": charts.progress(rows),
        "best": best,
        "source": reading.text(best.attempt.number, "kernel.py") if best else None,
        "damage": reading.damage,
    }
