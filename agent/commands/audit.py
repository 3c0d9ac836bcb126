"""`agent audit DIR`: judge a folder of candidates and print which check decided about each.

For people who want to test us.

Where the folder has a manifest.json (list of {"file", "verdict": "accept" | "reject", "class"}) the verdicts are
held against it. Limits: one problem for all files; files are judged one after another, each in fresh processes.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.commands.choice import chosen
from evaluators.candidate import candidate_from
from evaluators.client import JudgeBug, JudgeClient
from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation
from evaluators.ladder import DEVICE_RUNGS
from runs.inert import one_line
from runs.table import table

_OWED = {"accept": ("passed", "unverified"), "reject": ("failed",)}
_MESSAGE_CHARS = 300  # the whole message: --json
_BY_MANIFEST = ("class", "owed")


@dataclass(frozen=True)
class Row:
    """One judged file; `as_owed` is None where no manifest says what it should be."""

    file: str
    candidate_class: str
    owed: str
    verdict: str
    rung: str
    kind: str
    seconds: float
    as_owed: bool | None
    message: str


def audit(folder: Path, *, problem: str, gpu: str, without_screen: bool, sandbox: str, as_json: bool) -> None:
    """Judge every .py file of a folder; exit 1 where one is not judged or not as its manifest owes."""
    files = sorted(folder.glob("*.py")) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder} is not a folder with .py files")
    owed = _manifest(folder)
    subject, target = chosen(problem, gpu)
    rows = []
    with JudgeClient(sandbox) as judge:
        for number, file in enumerate(files, 1):
            print(f"{number}/{len(files)} {file.name}", file=sys.stderr)
            started = time.monotonic()
            candidate = candidate_from(file.read_text(encoding="utf-8", errors="replace"))
            try:
                evaluation = judge.evaluate(
                    subject, candidate, target, rungs=DEVICE_RUNGS[1:] if without_screen else None
                )
            except JudgeBug as bug:  # one file must not lose the rest
                rows.append(_unjudged(file.name, str(bug), owed.get(file.name, {}), time.monotonic() - started))
                continue
            rows.append(_row(file.name, evaluation, owed.get(file.name, {}), time.monotonic() - started))
    print(json.dumps([asdict(row) for row in rows]) if as_json else _report(rows))
    sys.exit(1 if any(row.as_owed is False for row in rows) else 0)


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    try:
        return {entry["file"]: entry for entry in json.loads(path.read_text())}
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is not a list of objects with 'file' and 'verdict': {error}") from None


def _row(name: str, evaluation: Evaluation, owed: dict[str, str], seconds: float) -> Row:
    verdicts = _OWED.get(owed.get("verdict", ""))
    return Row(
        file=name,
        candidate_class=owed.get("class", ""),
        owed=owed.get("verdict", ""),
        verdict=evaluation.verdict,
        rung=evaluation.rung,
        kind=evaluation.kind or "",
        seconds=round(seconds, 2),
        as_owed=None if verdicts is None else evaluation.verdict in verdicts,
        message=evaluation.message,
    )


def _unjudged(name: str, why: str, owed: dict[str, str], seconds: float) -> Row:
    return Row(
        file=name,
        candidate_class=owed.get("class", ""),
        owed=owed.get("verdict", ""),
        verdict="not judged",
        rung="",
        kind="",
        seconds=round(seconds, 2),
        as_owed=False,
        message=why,
    )


def _report(rows: list[Row]) -> str:
    cells: list[tuple[str, ...]] = [
        (
            row.file,
            row.candidate_class,
            row.owed,
            row.verdict + ("" if row.as_owed is not False else "  <-- not as owed"),
            row.rung,
            row.kind,
            f"{row.seconds:.1f}",
            one_line(row.message, _MESSAGE_CHARS),
        )
        for row in rows
    ]
    verdicts = ("passed", "failed", "unverified", "not judged")
    counts = ", ".join(f"{sum(r.verdict == verdict for r in rows)} {verdict}" for verdict in verdicts)
    held = [row.as_owed for row in rows if row.as_owed is not None]
    owed = f"; {sum(held)} of {len(held)} as owed" if held else ""
    seconds = sum(row.seconds for row in rows)
    columns: tuple[str, ...] = ("file", *_BY_MANIFEST, "verdict", "rung", "kind", "s", "decided by")
    if not any(row.candidate_class or row.owed for row in rows):
        owed = "; no manifest.json says what is owed, so nothing is held against one"
        columns, cells = (columns[0], *columns[3:]), [(cell[0], *cell[3:]) for cell in cells]
    return f"{table(columns, cells)}\n\n{counts}{owed}; {seconds:.0f} s"
