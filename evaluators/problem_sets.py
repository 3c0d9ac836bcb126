"""Many problems at once: a folder of KernelBench files, or a level of a KernelBench checkout.

    problem.py                    this file alone
    problems/                     every .py file in it and below, by its number, then its name
    kernelbench:1                 level 1 of the checkout KERNELBENCH_DIR points to
    kernelbench                   all of its levels

A file that is no problem is a member with the reason, so that the others are worked on all the same.

Limits: files are read and parsed, never run; a folder or file whose name begins with `_` or `.` is left out.
"""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from evaluators.errors import BadProblem, UnknownProblem, UsageError
from evaluators.frozen import Frozen
from evaluators.problem import Problem
from evaluators.problem_catalog import KERNELBENCH_VARIABLE, load_problem

_LEVEL = re.compile(r"level_?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)_")
_KERNELBENCH = re.compile(r"kernelbench(?::(?:level)?_?(\d+))?", re.IGNORECASE)


class Member(Frozen):
    """One file of a set. `broken`: why it is no problem. `level` and `number` are KernelBench's (0: not of a level)."""

    key: str
    file: str
    level: int
    number: int
    problem: Problem | None = None
    broken: str = ""

    def at_precision(self, precision: str) -> "Member":
        """The same member with this precision class asked of its kernels, see `Problem.at_precision`."""
        return self.model_copy(update={"problem": self.problem.at_precision(precision)}) if self.problem else self


def load_problem_set(name: str) -> tuple[Member, ...]:
    """The members of the set users call `name`, in order. Raises UnknownProblem where there is no such set."""
    kernelbench = _KERNELBENCH.fullmatch(name.strip())
    folder = _checkout(kernelbench[1]) if kernelbench else Path(name).expanduser()
    given = folder
    folder = given.parent if given.is_file() else given
    if not folder.is_dir():
        raise UnknownProblem(f"no folder or file {folder}; give KernelBench files or kernelbench:LEVEL")
    files = [given] if given.is_file() else _files(folder)
    paths = sorted(files, key=lambda path: (path.parent, _number(path) or 0, path.name))
    if not paths:
        raise UnknownProblem(f"{folder} holds no .py file; a problem file defines Model, get_inputs, get_init_inputs")
    stems = Counter(path.stem for path in paths)
    places = Counter((_level(path), _number(path)) for path in paths)
    return tuple(
        _member(
            path,
            key=path.stem if stems[path.stem] == 1 else str(path.relative_to(folder).with_suffix("")),
            number=_number(path) if places[_level(path), _number(path)] == 1 else None,
            position=position,
        )
        for position, path in enumerate(paths, 1)
    )


def _checkout(level: str | None) -> Path:
    root = os.environ.get(KERNELBENCH_VARIABLE)
    if not root:
        raise UsageError(f"kernelbench:LEVEL needs {KERNELBENCH_VARIABLE} to point to a KernelBench checkout")
    inner = Path(root) / "KernelBench"
    base = inner if inner.is_dir() else Path(root)
    return base / f"level{level}" if level else base


def _files(folder: Path) -> list[Path]:
    """Python files below the folder; hidden and private ones are not problems."""
    return [
        path for path in folder.rglob("*.py") if not any(_is_private(part) for part in path.relative_to(folder).parts)
    ]


def _is_private(name: str) -> bool:
    return name.startswith(("_", "."))


def _member(path: Path, *, key: str, number: int | None, position: int) -> Member:
    place: dict[str, Any] = {
        "key": key,
        "file": path.name,
        "level": _level(path),
        "number": position if number is None else number,
    }
    try:
        problem = load_problem(str(path))
    except BadProblem as error:
        return Member(**place, broken=str(error))
    return Member(**place, problem=problem.model_copy(update={"key": key}))


def _level(path: Path) -> int:
    found = _LEVEL.fullmatch(path.parent.name)
    return int(found[1]) if found else 0


def _number(path: Path) -> int | None:
    found = _NUMBER.match(path.name)
    return int(found[1]) if found else None
