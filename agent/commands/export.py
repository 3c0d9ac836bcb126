"""`agent export`: take a kernel out of a run in one of the formats of runs/exports/.

Limits: choosing and writing; a kernel that did not pass leaves only with --allow-unverified.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import runs.exports
from agent.options import STDOUT
from evaluators.errors import UsageError
from runs.exports.winner import Winner, verified, winner_of
from runs.store import open_run, runs_directory, write_durably


@dataclass(frozen=True)
class Wish:
    """What to export, as what, and where to."""

    output: Path | None
    format: str
    attempt: int | None
    is_unverified_allowed: bool


def export(run: str, wish: Wish, runs_dir: Path | None) -> None:
    """Write the export and say how to check it."""
    winner = winner_of(open_run(run, runs_directory(runs_dir)), wish.attempt)
    if not wish.is_unverified_allowed:
        verified(winner)
    found = _format(wish.format)(winner)
    if wish.format == "standalone":
        _one_file(next(iter(found.values())), wish.output)
    elif wish.output == STDOUT:
        raise UsageError(f"--format {wish.format} writes {len(found)} files: name a folder with -o, not -")
    else:
        _folder(found, wish.output or Path(f"{winner.identifier}-{wish.format}"))


def _one_file(text: str, output: Path | None) -> None:
    if output is None or output == STDOUT:
        print(text)
        return
    write_durably(output, text)
    print(f"wrote {output}; check it: python {output}")


def _folder(found: dict[str, str], output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists and is not an empty folder; name another with -o")
    for path, text in found.items():
        write_durably(output / path, text)
    tests = next((path for path in found if path.startswith("tests/")), None)
    print(f"wrote {len(found)} files in {output}{f'; check it: pytest {output / tests}' if tests else ''}")


def _format(name: str) -> Callable[[Winner], dict[str, str]]:
    """`files` of the format's module."""
    known = {module.name for module in pkgutil.iter_modules(runs.exports.__path__)} - {"card", "winner"}
    key = name.replace("-", "_")
    if key not in known:
        raise UsageError(f"no format {name!r}; there are {', '.join(sorted(known))}")
    files: Callable[[Winner], dict[str, str]] = importlib.import_module(f"runs.exports.{key}").files
    return files
