"""`agent export`: take a kernel out of a run in one of the formats of runs/exports/.

Limits: choosing and writing; a kernel that did not pass leaves only with --allow-unverified.
"""

import importlib
import json
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import runs.exports
from agent.options import STDOUT
from evaluators.errors import UsageError
from runs.exports.card import looks_exported
from runs.exports.winner import Winner, standing, verified, winner_of
from runs.store import open_run, runs_directory, write_durably


@dataclass(frozen=True)
class Wish:
    """What to export, as what, and where to."""

    output: Path | None
    format: str
    attempt: int | None
    is_unverified_allowed: bool
    as_json: bool = False


class Form(Protocol):
    """A module of runs/exports/."""

    def files(self, winner: Winner) -> dict[str, str]: ...

    def loading(self, winner: Winner, at: Path) -> str: ...


def export(run: str, wish: Wish, runs_dir: Path | None) -> None:
    """Write the export and say how to check it."""
    winner = winner_of(open_run(run, runs_directory(runs_dir)), wish.attempt)
    if not wish.is_unverified_allowed:
        verified(winner)
    elif winner.verdict != "passed":
        print(f"warning: {standing(winner)}; its header says so", file=sys.stderr)
    form = _format(wish.format)
    found = form.files(winner)
    is_one_file = wish.format == "standalone"
    if is_one_file and wish.output in (None, STDOUT) and not wish.as_json:
        print(next(iter(found.values())))
        return
    if wish.output == STDOUT:
        raise UsageError(f"--format {wish.format} writes {len(found)} files: name a folder with -o, not -")
    output = wish.output or Path(next(iter(found)) if is_one_file else f"{winner.identifier}-{wish.format}")
    written = _one_file(found, output) if is_one_file else _folder(found, output)
    if wish.as_json:
        print(json.dumps(_as_json(winner, wish.format, written)))
        return
    print(f"wrote {output}" if is_one_file else f"wrote {len(written)} files in {output}")
    print(form.loading(winner, output))


def _one_file(found: dict[str, str], output: Path) -> list[Path]:
    if _holds_something_else(output):
        raise UsageError(f"{output} exists and is not an export; choose another -o")
    write_durably(output, next(iter(found.values())), option="-o")
    return [output]


def _holds_something_else(output: Path) -> bool:
    """Whether writing there would lose what is no export: a file of the user's, a device."""
    try:
        is_there, is_file = output.exists() and not output.is_dir(), output.is_file()
    except OSError:
        return False  # writing says what is wrong, as of a folder
    try:
        text = output.read_text(encoding="utf-8", errors="replace") if is_file else None
    except OSError:
        return True
    return is_there and (text is None or (text != "" and not looks_exported(text)))


def _folder(found: dict[str, str], output: Path) -> list[Path]:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists and is not an empty folder; name another with -o")
    for path, text in found.items():
        write_durably(output / path, text, option="-o")
    return [output / path for path in found]


def _as_json(winner: Winner, form: str, written: list[Path]) -> dict[str, object]:
    return {
        "run": winner.directory.id,
        "attempt": winner.attempt.number,
        "verdict": winner.verdict,
        "format": form,
        "files": [str(path) for path in written],
    }


def _format(name: str) -> Form:
    """The format's module."""
    known = {module.name for module in pkgutil.iter_modules(runs.exports.__path__)} - {"card", "winner"}
    key = name.replace("-", "_")
    if key not in known:
        raise UsageError(f"no format {name!r}; there are {', '.join(sorted(known))}")
    form: Form = importlib.import_module(f"runs.exports.{key}")
    return form
