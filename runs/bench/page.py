"""The page of a benchmark: bench.html, with a link to the report of each run. One file, no network.

Limits: layout is templates/bench.html.j2 of runs/report; figures come from figures.py.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from evaluators.errors import AgentError
from runs.bench.rows import Row
from runs.bench.store import BenchDirectory
from runs.bench.text import cells, summary_lines
from runs.report import REPORT_FILE, write_report
from runs.report.page import page
from runs.store import write_durably

PAGE = "bench.html"


def write_page(directory: BenchDirectory, rows: Sequence[Row]) -> Path:
    """Write the page beside the runs and return where it is. Raises RecordNotWritten."""
    path = directory.path / PAGE
    shown = [(row, cells(row), _link(directory, row)) for row in rows]
    write_durably(path, page("bench.html.j2", directory=directory, rows=shown, summary=summary_lines(rows)))
    return path


def _link(directory: BenchDirectory, row: Row) -> str:
    """Where the report of the run is, seen from the page; empty where there is none.

    A run that was killed after its last attempt was on record has none yet.
    """
    run = directory.path / row.run if row.run else None
    if run is not None and row.attempts and not (run / REPORT_FILE).exists():
        with suppress(AgentError):
            write_report(run)
    return f"{row.run}/{REPORT_FILE}" if run is not None and (run / REPORT_FILE).exists() else ""
