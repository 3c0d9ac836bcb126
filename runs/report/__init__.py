"""The report of a run: one self-contained HTML page, written when a run ends and by `agent report`.

    write_report(Path("transcripts/2026..."))    # report.html beside the journal

Every word of a model or candidate is data in it: escaped, with control letters written out, under a policy that runs
one script, known by its hash.

Limits: it reads what is recorded and judges nothing. A damaged directory gives a report of what can be read.
"""

from pathlib import Path

from runs.report.page import report_html
from runs.store import write_durably

__all__ = ["report_html", "write_report"]

REPORT_FILE = "report.html"


def write_report(run_path: Path, output: Path | None = None, *, option: str = "--runs-dir") -> Path:
    """Write the report of the run in `run_path` and return where it is. Raises RecordNotWritten.

    `option`: what chooses another place for it.
    """
    target = output or run_path / REPORT_FILE
    side_files = run_path if output is None or output.resolve().parent == run_path.resolve() else None
    html = report_html(run_path, links_side_files=side_files is not None)
    write_durably(target, html, option=option)
    return target
