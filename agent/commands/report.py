"""`agent report`: write the page of a run; also of one whose journal or head is damaged.

Limits: finding the directory; the page is runs/report/.
"""

import json
from pathlib import Path

from agent.options import STDOUT
from evaluators.errors import UsageError
from runs.errors import UnknownRun
from runs.report import report_html, write_report
from runs.store import bench_run_paths, run_paths, runs_directory, unknown_run


def report(run: str, *, output: Path | None, runs_dir: Path | None, as_json: bool = False) -> None:
    """Write the report and say where it is."""
    path = find_run_path(run, runs_directory(runs_dir))
    if output == STDOUT:
        if as_json:
            raise UsageError("-o - prints the page and --json an object: choose one of them")
        print(report_html(path, links_side_files=False))
        return
    written = write_report(path, output, option="-o")
    print(json.dumps({"run": path.name, "report": str(written)}) if as_json else f"wrote {written}")


def find_run_path(run: str, directory: Path) -> Path:
    """The run's directory, by path, id, unique beginning or `last`; unlike `open_run` it accepts a damaged one."""
    given = Path(run)
    if given.is_dir() and ((given / "journal.jsonl").exists() or (given / "run.json").exists()):
        return given
    known = all_run_paths(directory)
    if run == "last" and known:
        return known[-1]
    every = [*known, *bench_run_paths(directory)]
    matches = [path for path in every if path.name == run] or [path for path in every if path.name.startswith(run)]
    if len(matches) != 1:
        raise UnknownRun(unknown_run(run, directory, matches, known or every))
    return matches[0]


def all_run_paths(directory: Path) -> list[Path]:
    """Every run directory, those that lost their head included."""
    headless = [path.parent for path in directory.glob("*/journal.jsonl")] if directory.is_dir() else []
    return sorted({*run_paths(directory), *headless})  # those of benchmarks aside
