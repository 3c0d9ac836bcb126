"""The style the repository keeps, checked over its syntax trees: to help a reader, not to be gamed."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "prompts", "evaluators", "sandbox", "runs")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SOURCES = [path for path in FILES if "problems" not in path.parts]

# A clear longer function beats two that cannot be understood apart; each has its reason here.
LONGER = {
    ("agent/cli_bench.py", "bench"): "typer options are parameters; the body is one call",
    ("agent/cli.py", "optimize"): "typer options are parameters; the body is one call",
}


@cache
def tree(path):
    return ast.parse(path.read_text())


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def name_of(path):
    return str(path.relative_to(ROOT))


def test_functions_and_files_stay_short():
    assert not [name_of(path) for path in SOURCES if len(path.read_text().splitlines()) > 300]
    every = ((name_of(path), node) for path in SOURCES for node in functions(path))
    long = [(name, node.name) for name, node in every if node.end_lineno - node.lineno + 1 > 40]
    assert sorted(long) == sorted(LONGER)


def test_every_module_says_what_it_is_for_and_what_it_does_not_do():
    docstrings = {path: ast.get_docstring(tree(path)) or "" for path in SOURCES if path.read_text().strip()}
    assert not [name_of(path) for path, docstring in docstrings.items() if not docstring]
    limited = {path: text for path, text in docstrings.items() if path.name not in ("__init__.py", "__main__.py")}
    assert not [name_of(path) for path, docstring in limited.items() if "Limits:" not in docstring]


def test_parameters_beyond_two_are_named():
    found = []
    for path in SOURCES:
        if name_of(path).startswith(("agent/cli", "agent/review_cli.py", "evaluators/inside/")):
            continue  # typer options; replacements for functions of torch and triton keep their signature
        for node in functions(path):
            positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
            is_long = len(positional) > 5 or len(positional) + len(node.args.kwonlyargs) > 8
            if is_long and not node.name.startswith("__"):
                found.append((name_of(path), node.name))
    assert not found


def test_names_are_the_fields_terms():
    vague = ("utils", "helpers", "helper", "manager", "handler", "misc", "common")
    assert not [path for path in FILES if path.stem in vague]


def test_broad_excepts_are_rare_and_have_a_reason():
    broad = []
    for path in SOURCES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "except Exception" in line or "except BaseException" in line:
                broad.append((name_of(path), number, line))
    reasonless = [(name, number) for name, number, line in broad if "except Exception" in line and " - " not in line]
    assert not reasonless
    lines = sum(len(path.read_text().splitlines()) for path in SOURCES)
    assert len(broad) <= max(6, lines // 500)


def test_the_host_starts_without_torch_triton_or_openai():
    program = "import sys, agent.cli; print(sorted({'torch', 'triton', 'openai', 'numpy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_whole_host_side_can_be_imported_without_torch_or_triton():
    """Import every module that is not of the judge or the sandboxed side with torch and triton blocked."""
    inside = (
        "evaluators/judge/",
        "evaluators/inside/",
        "evaluators/rungs/",
        "evaluators/cuda/",
        "evaluators/problems/",
        "evaluators/compiled/",
    )
    modules = [
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in FILES
        if not name_of(path).startswith(inside) and path.name != "__main__.py"
    ]
    program = f"""
import importlib, sys
sys.modules['torch'] = sys.modules['triton'] = None
for name in {modules!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]
