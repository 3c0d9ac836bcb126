"""`agent export-run`: hand a recorded run to a tracing or experiment tool, after the fact.

Limits: choosing the destination; each is a file of runs/exporters/.
"""

import importlib
from pathlib import Path

from agent.options import STDOUT
from runs.report.reading import read_run
from runs.store import open_run, runs_directory


def export_run(run: str, to: str, *, output: Path | None, endpoint: str | None, runs_dir: Path | None) -> None:
    """Send the run and say where it went."""
    directory = open_run(run, runs_directory(runs_dir))
    directory.events()  # a damaged journal is an error: a part of a run would look like a whole one elsewhere
    destination = importlib.import_module(f"runs.exporters.{to}")
    target = None if output == STDOUT else output
    print(destination.send(read_run(directory.path), output=target, endpoint=endpoint))
