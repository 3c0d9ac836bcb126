"""Find a problem by what users type, or list the built-in ones.

    convt3d                          a word several problems share: the documented default, said in Problem.notes
    convt3d-73                       a built-in problem: evaluators/problems/<key>.py
    path/to/file.py                  any KernelBench file, unchanged
    1/68  level1/68  kernelbench:1:68    by level and number, in the checkout KERNELBENCH_DIR points to

Limits: the source is read and parsed, never run. Whether the module works is found out by the judge
(evaluators/judge/facts.py).
"""

import ast
import difflib
import os
import re
from pathlib import Path

from evaluators.errors import BadProblem, UnknownProblem
from evaluators.problem import Problem
from evaluators.problem_block import read_block

BUILT_IN_DIR = Path(__file__).parent / "problems"
KERNELBENCH_VARIABLE = "KERNELBENCH_DIR"
REQUIRED_NAMES = ("Model", "get_inputs", "get_init_inputs")
_KERNELBENCH_KEY = re.compile(r"^(?:kernelbench[:/-])?(?:level)?_?(\d)[:/-](\d{1,3})$", re.IGNORECASE)


def load_problem(key: str) -> Problem:
    """The problem users call `key`. Raises UnknownProblem (names the nearest) or BadProblem (file, line, fault)."""
    numbered = _KERNELBENCH_KEY.match(key.strip())
    if numbered:
        return _from_kernelbench(level=int(numbered[1]), number=int(numbered[2]))
    if key.endswith(".py") or "/" in key or os.sep in key:
        return _from_path(Path(key).expanduser())
    built_in = {path.stem: path for path in _built_in_files()}
    word = key.strip().lower()
    if word in built_in:
        return problem_from(built_in[word].read_text(encoding="utf-8"), key=word, path=str(built_in[word]))
    return _default_of(word, all_problems())


def all_problems() -> tuple[Problem, ...]:
    """The built-in problems by key."""
    return tuple(
        problem_from(path.read_text(encoding="utf-8"), key=path.stem, path=str(path)) for path in _built_in_files()
    )


def problem_from(source: str, *, key: str, path: str | None = None) -> Problem:
    """Wrap the text of a KernelBench file; raises BadProblem where it is none."""
    where = path or key
    block = read_block(source, where=where)
    tree = _parsed(source, where)
    missing = [name for name in REQUIRED_NAMES if name not in _top_level_names(tree)]
    if missing:
        raise BadProblem(
            f"{where}: no {', '.join(missing)} at top level; a problem file defines {', '.join(REQUIRED_NAMES)}"
        )
    return Problem(
        key=key,
        title=block.title or _first_line_of_doc(tree) or key,
        source=source,
        path=path,
        tolerance=block.tolerance,
        library_ops=block.library_ops,
    )


def _built_in_files() -> list[Path]:
    return sorted(BUILT_IN_DIR.glob("*.py"))


def _default_of(word: str, problems: tuple[Problem, ...]) -> Problem:
    """The problem that declares itself the default for a word several share, with a note that names the others."""
    spellings = {problem.key: problem for problem in problems}
    for problem in problems:
        defaults = read_block(problem.source, where=problem.key).default_for
        if word in defaults:
            others = [other.key for other in problems if other.key.startswith(f"{word}-") and other.key != problem.key]
            note = f"'{word}' names {len(others) + 1} problems; taken as {problem.key} ({problem.title})"
            return problem.model_copy(update={"notes": (f"{note}; others: {', '.join(others)}",)})
        spellings |= dict.fromkeys(defaults, problem)
    near = difflib.get_close_matches(word, spellings, n=4, cutoff=0.5)
    keys = list(dict.fromkeys(spellings[spelling].key for spelling in near))
    nearest = f"nearest: {', '.join(keys)}" if keys else "nothing is near it"
    raise UnknownProblem(
        f"unknown problem '{word}'; {nearest}. `agent problems` lists all; a path to a KernelBench file works too"
    )


def _from_path(path: Path) -> Problem:
    return problem_from(_text(path), key=path.stem, path=str(path.resolve()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnknownProblem(f"no problem file {path}; give an existing path or one of `agent problems`") from None
    except OSError as error:
        raise BadProblem(f"cannot read {path}: {error.strerror}; a problem is a Python file") from None
    except UnicodeDecodeError as error:
        raise BadProblem(f"{path} is no Python text: byte {error.start} is no UTF-8") from None


def _from_kernelbench(*, level: int, number: int) -> Problem:
    root = os.environ.get(KERNELBENCH_VARIABLE)
    if not root:
        twin = f"; the built-in convt3d-{number} has its geometry" if _has_twin(level, number) else ""
        raise UnknownProblem(
            f"problem {level}/{number} needs {KERNELBENCH_VARIABLE} to point to a KernelBench checkout{twin}"
        )
    folders = [Path(root) / "KernelBench" / f"level{level}", Path(root) / f"level{level}"]
    found = [path for folder in folders for path in sorted(folder.glob(f"{number}_*.py"))]
    if not found:
        looked = " or ".join(str(folder) for folder in folders)
        raise UnknownProblem(f"no problem {level}/{number}: no file {number}_*.py in {looked}")
    return problem_from(_text(found[0]), key=f"kernelbench-{level}-{number}", path=str(found[0]))


def _has_twin(level: int, number: int) -> bool:
    return level == 1 and (BUILT_IN_DIR / f"convt3d-{number}.py").exists()


def _parsed(source: str, where: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise BadProblem(f"{where}:{error.lineno}: syntax error: {error.msg}") from None
    except ValueError as error:  # a null byte
        raise BadProblem(f"{where}: {error}") from None


def _top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def _first_line_of_doc(tree: ast.Module) -> str:
    """The first line of Model's docstring serves as the title of a file without a block."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            return (ast.get_docstring(node) or "").strip().partition("\n")[0]
    return ""
