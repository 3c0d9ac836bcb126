"""The report page: data in, one self-contained HTML text out.

The policy of the page allows the one script and the one style sheet it carries, by their hashes, and no connection
(the live page: to its own server only). A script planted in a text could therefore not run even if it were not escaped.

Limits: layout is templates/*.j2; what is shown comes from model.py, charts.py and words.py.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evaluators.errors import AgentError
from evaluators.gpu_catalog import load_gpu
from runs.inert import inert
from runs.measured import columns
from runs.measured_text import BASELINE_COLUMNS, baseline_rows, on_device, profile_lines, time_lines
from runs.numbers import number_text, ratio_text
from runs.report import charts, code, words
from runs.report.figures import BOUND, ERROR
from runs.report.model import MAX_DIFF_LINES, Row, code_of, failures, open_checks, rows_of
from runs.report.reading import Reading, read_run
from runs.report.roofline import Roof, roof_of
from runs.report.roofline_chart import roofline
from runs.report.texts import Texts
from runs.report.time_chart import times
from runs.stage_return import stage_returns
from runs.tuning_text import tuning_text

TEMPLATES = Path(__file__).parent / "templates"
SIDE_FILES = ("kernel.py", "prompt.md", "analysis.md", "reply.md", "evaluation.json", "build.log", "metrics.json")
PACKED = {"prompt": "prompt.md", "analysis": "analysis.md", "reply": "reply.md", "code": "kernel.py"}
COMPILER_OUTPUT = "compiler output"


def report_html(run_path: Path, *, links_side_files: bool = True) -> str:
    """The page of the run in `run_path`, complete in itself."""
    reading, texts = read_run(run_path), Texts()
    rows = rows_of(reading)
    articles = [
        article_html(reading, row, texts=_pack(reading, row, texts), is_linked=links_side_files) for row in rows
    ]
    return _whole(reading, rows, articles, block=texts.packed())


def live_html(reading: Reading, rows: Sequence[Row]) -> str:
    """The page that follows the journal from the byte it was made of; it asks its server for texts and changes."""
    articles = [live_article(reading, row) for row in rows]
    return _whole(reading, rows, articles, live=f"journal?from={reading.offset}")


def live_article(reading: Reading, row: Row) -> Markup:
    """One attempt of the live page."""
    return article_html(reading, row, texts=[name for name in text_names() if text_of(reading, row, name)])


def article_html(reading: Reading, row: Row, *, texts: Sequence[str], is_linked: bool = True) -> Markup:
    """One attempt in full. `texts` are the names of those that can be opened in the page."""
    rendered = _environment().get_template("attempt.html.j2")
    return Markup(  # noqa: S704 - rendered with autoescape
        rendered.render(
            row=row,
            code=code_of(reading, row.attempt),
            duel=words.duel_words(row, reading),
            texts=texts,
            side_files=_side_files(reading, row) if is_linked else (),
        )
    )


def overview_html(reading: Reading, rows: Sequence[Row]) -> Markup:
    """Everything above the attempts in full: what changes with every attempt."""
    roof, best = roof_of(reading.facts, reading.gpu), next((row for row in rows if row.is_best), None)
    timed = words.timed_row(rows)
    baselines = timed.timing.baselines if timed and timed.timing else None
    rendered = _environment().get_template("overview.html.j2")
    return Markup(  # noqa: S704 - rendered with autoescape
        rendered.render(
            reading=reading,
            rows=rows,
            best=best,
            best_source=reading.text(best.attempt.number, "kernel.py") if best else None,
            roof=roof,
            timed=timed,
            facts=words.facts_of_run(reading, rows),
            verdict=words.verdict_words(reading, rows, roof),
            charts=_charts(reading, rows, roof),
            stages=stage_returns(reading.state),
            failures=failures(rows),
            open_checks=open_checks(rows),
            columns=columns(row.evaluation for row in rows),
            baseline_columns=BASELINE_COLUMNS,
            baseline_rows=baseline_rows(baselines) if baselines else [],
            baselines=baselines,
        )
    )


def text_names() -> tuple[str, ...]:
    """The texts of an attempt that the page can open."""
    return (*PACKED, COMPILER_OUTPUT)


def text_of(reading: Reading, row: Row, name: str) -> str | None:
    """One of them as it is; None where there is none."""
    if name == COMPILER_OUTPUT:
        return row.evaluation.build_log if row.evaluation else None
    return reading.text(row.attempt.number, PACKED[name])


def _whole(
    reading: Reading, rows: Sequence[Row], articles: Iterable[Markup], *, live: str = "", block: str = ""
) -> str:
    return page(
        "report.html.j2",
        live=live,
        title=reading.id,
        overview=overview_html(reading, rows),
        articles=articles,
        problem=reading.problem,
        block=block,
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
    environment.filters.update(
        inert=inert,
        number=number_text,
        ratio=ratio_text,
        held=words.held,
        on_device=on_device,
        time_lines=time_lines,
        profile_lines=profile_lines,
        tuning_text=tuning_text,
    )
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


def _charts(reading: Reading, rows: Sequence[Row], roof: Roof | None) -> dict[str, Any]:
    has_roof = roof and roof.flop and rows
    return {
        "times": times(rows),
        "progress": charts.progress(rows),
        "roofline": roofline(rows, roof, reading.gpu) if has_roof and roof and reading.gpu else None,
        "elsewhere": _rooflines_elsewhere(reading, rows),
        "spending": charts.spending(rows),
        "tree": charts.tree(rows),
    }


def _rooflines_elsewhere(reading: Reading, rows: Sequence[Row]) -> list[Markup]:
    """One roofline for every device that is not the target and on which something was timed."""
    devices = dict.fromkeys(row.timing.device for row in rows if row.timing and not row.timing.is_target)
    found = []
    for device in devices:
        try:
            gpu = load_gpu(device)
        except AgentError:  # a device nobody described: its times are in the table, it has no roof
            continue
        roof = roof_of(reading.facts, gpu)
        found += [roofline(rows, roof, gpu, device=device)] if roof and roof.flop else []
    return found


def _pack(reading: Reading, row: Row, texts: Texts) -> list[str]:
    """Put the texts of an attempt into the block; names of those there are."""
    number = row.attempt.number
    return [name for name in text_names() if texts.add(f"{number}/{name}", text_of(reading, row, name))]


def _side_files(reading: Reading, row: Row) -> list[str]:
    """Files beside the report, PTX and SASS included where they were kept."""
    folder = reading.path / "attempts" / f"{row.attempt.number:03d}"
    names = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    return sorted(name for name in names if name in SIDE_FILES or name.endswith((".ptx", ".sass", ".csv")))
