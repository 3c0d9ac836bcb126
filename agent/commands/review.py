"""`agent runs` and `agent show`: look at what is recorded.

Limits: reading only. How a run is drawn is runs/show.py.
"""

import json
import sys
from pathlib import Path

from evaluators.errors import UsageError
from runs.list_rows import list_json, list_row
from runs.listing import Listing
from runs.measured import COLUMNS
from runs.show import attempt_json, attempt_lines, run_json, run_lines
from runs.store import existing_runs_directory, open_run, runs_dir_option, runs_directory
from runs.table import table
from runs.terminal import has_colour


def list_runs(runs_dir: Path | None, *, as_json: bool) -> None:
    """One line per run, oldest first; a damaged run is named, not skipped."""
    directory = existing_runs_directory(runs_dir)
    lines = Listing(directory).lines()[::-1]
    rows = [list_row(line) for line in lines]
    if as_json:
        print(json.dumps([list_json(line) for line in lines]))
    elif not rows:
        command = f"agent optimize --problem convt3d --gpu 4090{runs_dir_option(directory)}"
        print(f"no runs in {directory}; start one: {command}")
    else:
        measured = [column.title for column in COLUMNS if any(row.get(column.title) for row in rows)]
        benches = ("bench",) if any(row["bench"] for row in rows) else ()
        columns = ("run", *benches, "model", "attempts", "best", *measured, "estimated_ms", "cost", "ended")
        print(table(columns, [tuple(str(row.get(column) or "-") for column in columns) for row in rows]))


def show(run: str, *, attempt: int | None, runs_dir: Path | None, as_json: bool) -> None:
    """The attempts of a run, or one attempt in full."""
    directory = open_run(run, runs_directory(runs_dir))
    if attempt is not None and directory.state().attempt(attempt) is None:
        raise UsageError(f"{directory.id} has no attempt {attempt}; it has {len(directory.state().attempts)}")
    if as_json:
        print(json.dumps(run_json(directory) if attempt is None else attempt_json(directory, attempt)))
    else:
        is_coloured = has_colour(sys.stdout)
        lines = run_lines(directory) if attempt is None else attempt_lines(directory, attempt, is_coloured=is_coloured)
        print("\n".join(lines))
