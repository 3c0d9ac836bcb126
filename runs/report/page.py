"""The report page: data in, one self-contained HTML text out.

The policy of the page allows the one script and the one style sheet it carries, by their hashes, and no connection
(the live page: to its own server only). A script planted in a text could therefore not run even if it were not escaped.

Limits: layout is templates/*.j2; what is shown comes from model.py, charts.py and words.py.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runs.inert import inert
from runs.report import charts, code, words
from runs.report.figures import BOUND, ERROR, number_text
from runs.report.model import MAX_DIFF_LINES, Row, failures, open_checks, rows_of, stage_returns
from runs.report.reading import Reading, read_run
from runs.report.roofline import Roof, roof_of
from runs.report.texts import Texts

TEMPLATES = Path(__file__).parent / "templates"
SIDE_FILES = ("kernel.py", "prompt.md", "analysis.md", "reply.md", "evaluation.json", "build.log", "metrics.json")
PACKED = {"prompt": "prompt.md", "analysis": "analysis.md", "reply": "reply.md", "code": "kernel.py"}


def report_html(run_path: Path, *, links_side_files: bool = True, live: bool = False) -> str:
    """The page of the run in `run_path`; a `live` one follows the journal from the byte it was made of."""
    reading = read_run(run_path)
    rows = rows_of(reading)
    roof = roof_of(reading.facts, reading.gpu)
    texts = Texts()
    packed = {row.attempt.number: _pack(reading, row, texts) for row in rows}
    return page(
        "report.html.j2",
        live=f"journal?from={reading.offset}" if live else "",
        reading=reading,
        rows=rows,
        best=next((row for row in rows if row.is_best), None),
        roof=roof,
        facts=words.facts_of_run(reading, rows),
        verdict=words.verdict_words(reading, rows, roof),
        charts=_charts(reading, rows, roof),
        stages=stage_returns(rows),
        failures=failures(rows),
        open_checks=open_checks(rows),
        packed=packed,
        side_files=_side_files(reading, rows) if links_side_files else {},
        metric_columns=_metric_columns(rows),
        block=texts.packed(),
    )


def page(template: str, *, live: str = "", has_form: bool = False, **values: Any) -> str:
    """A page of templates/ under the policy."""
    connect, form = ("'self'" if is_allowed else "'none'" for is_allowed in (live, has_form))
    script, style = _asset("page.js"), _asset("page.css") + code.style_sheet()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            f"connect-src {connect}",
            "base-uri 'none'",
            f"form-action {form}",
        )
    )
    rendered = _environment().get_template(template)
    return rendered.render(policy=policy, script=Markup(script), style=Markup(style), live=live, **values)  # noqa: S704 - our own files


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(inert=inert, number=number_text, held=words.held)
    environment.globals.update(
        difference_html=code.difference_html,
        highlighted=code.highlighted,
        MAX_DIFF_LINES=MAX_DIFF_LINES,
        BOUND=BOUND,
        ERROR=ERROR,
    )
    return environment


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _charts(reading: Reading, rows: Sequence[Row], roof: Roof | None) -> dict[str, Markup | None]:
    return {
        "progress": charts.progress(rows),
        "roofline": charts.roofline(rows, roof, reading.gpu) if roof and reading.gpu and rows else None,
        "spending": charts.spending(rows),
        "tree": charts.tree(rows),
    }


def _pack(reading: Reading, row: Row, texts: Texts) -> list[str]:
    """Put the texts of an attempt into the block; names of those there are."""
    number = row.attempt.number
    found = [
        name
        for name, file in PACKED.items()
        if texts.add(f"{number}/{name}", row.source if name == "code" else reading.text(number, file))
    ]
    log = row.evaluation.build_log if row.evaluation else ""
    return [*found, *(["compiler output"] if texts.add(f"{number}/compiler output", log) else [])]


def _side_files(reading: Reading, rows: Sequence[Row]) -> dict[int, list[str]]:
    """Files beside the report, PTX and SASS included where they were kept."""
    found = {}
    for row in rows:
        folder = reading.path / "attempts" / f"{row.attempt.number:03d}"
        names = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
        found[row.attempt.number] = sorted(
            name for name in names if name in SIDE_FILES or name.endswith((".ptx", ".sass", ".csv"))
        )
    return found


def _metric_columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Columns of the profiler that some attempt has: title and the end of the metric's name."""
    wanted = (
        ("DRAM %", "dram__throughput.avg.pct_of_peak_sustained_elapsed"),
        ("tensor %", "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active"),
    )
    names = {name for row in rows for name in row.figures}
    return [(title, metric) for title, metric in wanted if any(name.endswith(metric) for name in names)]
