"""The list of runs: one line each, read lightly, so that 300 runs of 100 attempts take well under a second.

A line of the journal that holds an attempt is not parsed: its few facts are found as bytes, which is exact because a
quote inside a JSON string is always escaped. Only the attempt kept last is parsed. In a live list a journal is read
once per size.

Limits: what a line shows. A run that is damaged or newer is listed by its name, with the reason.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluators.evaluation import Evaluation, evaluation_adapter
from runs.measured import columns, measured_json
from runs.nouns import SCHEMA
from runs.store import IN_BENCHES

_DECISION, _USAGE, _VERDICT = b'"decision":"', b'"usage":{', b'"verdict":"'
_HEAD_BYTES = 60  # the name of the event stands in them
_WAITING = re.compile(rb'"event":"(?:planned|analyzed|proposed)"')
_NUMBER = re.compile(rb'"number":(\d+)')
_BOUND = b'"estimate":{'
_ESTIMATE = re.compile(rb'"estimate":\{"kind":"[^"]*","value_ms":([0-9.eE+-]+)')
_TIMED = b'"timing":{'
_TIMING = re.compile(rb'"timing":\{"device":"((?:[^"\\]|\\.)*)","is_target":\w+,"latency":\{"median_ms":([0-9.eE+-]+)')
_PAID = re.compile(rb'"requests":(\d+),"cost_usd":(null|[0-9.eE+-]+)')


@dataclass
class Line:
    """One run in the list; `bench`: the benchmark that it is part of.

    best_ms: estimated lower bound of the best; measured: its measured columns (runs/measured.py), by title;
    figures: the same as values.
    bounds, times: by attempt; times are of `device`, the one of the first that was timed. cost_usd: None as soon as a
    price is unknown.
    """

    id: str
    bench: str = ""
    problem: str = ""
    gpu: str = ""
    model: str = ""
    attempts: int = 0
    passed: int = 0
    best: int | None = None
    best_ms: float | None = None
    is_bound_complete: bool = True
    measured: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float | str | bool | None] | None = None
    device: bytes = b""
    refuted: set[bytes] = field(default_factory=set)  # numbers of attempts that did not pass once more
    requests: int = 0
    cost_usd: float | None = 0.0
    ended: str = ""
    bounds: list[float | None] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)

    def spend(self, usage: dict[str, Any]) -> None:
        """Count what was paid."""
        if usage.get("requests"):
            self.requests += usage["requests"]
            cost = usage.get("cost_usd")
            self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost


class Listing:
    """The runs below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, tuple[int, Line]] = {}

    def paths(self) -> dict[str, Path]:
        """Every run directory by id, newest first."""
        if not self._directory.is_dir():
            return {}
        found = {
            path.parent
            for name in ("run.json", "journal.jsonl")
            for place in ("*", IN_BENCHES)
            for path in self._directory.glob(f"{place}/{name}")
        }
        return {path.name: path for path in sorted(found, key=lambda path: path.name, reverse=True)}

    def lines(self) -> list[Line]:
        """One line per run, newest first."""
        return [self._line(path) for path in self.paths().values()]

    def _line(self, path: Path) -> Line:
        journal = path / "journal.jsonl"
        size = journal.stat().st_size if journal.exists() else 0
        known = self._known.get(path)
        if known is None or known[0] != size:
            known = self._known[path] = size, _read(path)
        return known[1]


def _read(path: Path) -> Line:
    line = Line(path.name, bench=path.parent.name if path.match(IN_BENCHES) else "")
    head = _object(_bytes(path / "run.json"))
    config = head.get("config")
    if isinstance(config, dict):
        line.problem, line.gpu, line.model = (str(config.get(name, "")) for name in ("problem", "gpu", "model"))
    if not head or head.get("schema_version", SCHEMA) > SCHEMA:
        line.ended = "cannot be read: run.json is " + ("of a newer agent: upgrade" if head else "damaged")
        return line
    *whole, torn = _bytes(path / "journal.jsonl").split(b"\n")
    kept, open_ = (
        list[bytes](),
        dict[bytes, list[bytes]](),
    )  # what is paid for and not part of an attempt yet, by its number
    for number, text in enumerate([*whole, torn] if _object(torn) else whole, 1):
        begin = text[:_HEAD_BYTES]
        if b'"event":"attempted"' in begin and _count(line, text):
            open_.pop(_number(text), None)
            kept += [text] if text.startswith(b"keep", text.rfind(_DECISION) + len(_DECISION)) else []
        elif _WAITING.search(begin) and text.endswith(b"}"):
            open_.setdefault(_number(text), []).append(text)
        elif not _note(line, _object(text)):
            line.ended = f"cannot be read: line {number} of the journal is damaged"
            return line
    for text in (text for texts in open_.values() for text in texts):
        line.spend(_object(text).get("usage", {}))
    best = next((text for text in reversed(kept) if _number(text) not in line.refuted), b"")
    _take_best(line, _object(best).get("attempt", {}))
    return line


def _number(text: bytes) -> bytes:
    found = _NUMBER.search(text)
    return found[1] if found else b""


def _count(line: Line, text: bytes) -> bool:
    """Count an attempt by the bytes of its line; False where they are not those of a whole one."""
    decision_at, usage_at = text.rfind(_DECISION), text.rfind(_USAGE)
    paid = _PAID.search(text, usage_at) if usage_at >= 0 else None
    if paid is None or decision_at < 0 or not text.endswith(b"}}"):
        return False
    verdict_at = text.rfind(_VERDICT, 0, decision_at)
    verdict = text[verdict_at + len(_VERDICT) :].partition(b'"')[0] if verdict_at >= 0 else b""
    holds = verdict in (b"passed", b"unverified")
    estimate = _ESTIMATE.match(text, text.find(_BOUND)) if holds else None
    _count_time(line, _TIMING.match(text, text.find(_TIMED)) if holds else None)
    line.attempts += 1
    line.passed += verdict == b"passed"
    line.bounds.append(float(estimate[1]) if estimate else None)
    line.spend({"requests": int(paid[1]), "cost_usd": None if paid[2] == b"null" else float(paid[2])})
    return True


def _count_time(line: Line, timing: re.Match[bytes] | None) -> None:
    """Take the time of an attempt, where it is of the device whose times are shown."""
    if timing and not line.device:
        line.device = timing[1]
    line.times.append(float(timing[2]) if timing and timing[1] == line.device else None)


def _note(line: Line, event: dict[str, Any]) -> bool:
    """Take an event that is no attempt; False where it is none at all."""
    match event:
        case {"event": "unanswered", "usage": dict(usage)}:
            line.spend(usage)
        case {"event": "finished", "reason": reason}:
            line.ended = str(reason)
        case {"event": "resumed"}:
            line.ended = ""
        case {"event": "confirmed", "number": int(number), "evaluation": {"verdict": str(verdict)}}:
            line.refuted |= {str(number).encode()} if verdict != "passed" else set()
    return bool(event)


def _take_best(line: Line, attempt: dict[str, Any]) -> None:
    """What is shown of the attempt kept last."""
    evaluation = _evaluation(attempt.get("evaluation"))
    line.measured = {column.title: column.cell(evaluation) for column in columns([evaluation])} if evaluation else {}
    line.figures = measured_json(evaluation)
    match attempt:
        case {"number": int(number), "evaluation": {"estimate": {"value_ms": float(bound)} as estimate}}:
            line.best, line.best_ms = number, bound
            line.is_bound_complete = not estimate.get("left_out")
        case {"number": int(number)}:
            line.best = number


def _evaluation(recorded: object) -> Evaluation | None:
    """An evaluation as it stands in the journal; None where it cannot be read."""
    try:
        return evaluation_adapter.validate_python(recorded)
    except ValidationError:
        return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
