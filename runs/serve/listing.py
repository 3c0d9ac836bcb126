"""The list of runs: one line each, read lightly and once per journal size, so that 300 runs stay quick.

Limits: what a line shows. A run whose head is damaged is listed by its name.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Line:
    """One run in the list."""

    id: str
    problem: str = ""
    gpu: str = ""
    model: str = ""
    attempts: int = 0
    passed: int = 0
    best_ms: float | None = None
    ended: str = ""
    bounds: list[float | None] = field(default_factory=list)


class Listing:
    """The runs below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, tuple[int, Line]] = {}

    def paths(self) -> dict[str, Path]:
        """Every run directory by id, newest first."""
        if not self._directory.is_dir():
            return {}
        found = {path.parent for name in ("run.json", "journal.jsonl") for path in self._directory.glob(f"*/{name}")}
        return {path.name: path for path in sorted(found, reverse=True)}

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
    line = Line(path.name)
    config = _object(_text(path / "run.json")).get("config")
    if isinstance(config, dict):
        line.problem, line.gpu, line.model = (str(config.get(name, "")) for name in ("problem", "gpu", "model"))
    for text in _text(path / "journal.jsonl").split("\n"):
        _take(line, _object(text))
    return line


def _take(line: Line, event: dict[str, Any]) -> None:
    match event:
        case {"event": "attempted", "attempt": {"decision": decision, "evaluation": evaluation}}:
            line.attempts += 1
            bound = _bound(evaluation)
            line.passed += isinstance(evaluation, dict) and evaluation.get("verdict") == "passed"
            line.bounds.append(bound)
            line.best_ms = bound if decision == "keep" else line.best_ms
        case {"event": "finished", "reason": reason}:
            line.ended = str(reason)
        case {"event": "resumed"}:
            line.ended = ""


def _bound(evaluation: object) -> float | None:
    """The estimate of an evaluation that did not fail."""
    match evaluation:
        case {"verdict": "passed" | "unverified", "estimate": {"value_ms": float(value)}}:
            return value
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
