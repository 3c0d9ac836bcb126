"""The style the repository keeps, checked over its syntax trees: to help a reader, not to be gamed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "prompts", "evaluators", "sandbox", "runs")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SOURCES = [path for path in FILES if "problems" not in path.parts]

# A clear longer function beats two that cannot be understood apart; each has its reason here.
LONGER = {
    ("agent/cli_bench.py", "bench"): "typer options are parameters; the body is one call",
    ("agent/cli.py", "optimize"): "typer options are parameters; the body is one call",
}


def functions(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_and_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 300
    for node in functions(path):
        if (name_of(path), node.name) not in LONGER:
            assert node.end_lineno - node.lineno + 1 <= 40, f"{node.name} is too long"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is_for_and_what_it_does_not_do(path):
    text = path.read_text()
    if not text.strip():
        return
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no module docstring"
    if path.name not in ("__init__.py", "__main__.py"):
        assert "Limits:" in docstring


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_parameters_beyond_two_are_named(path):
    for node in functions(path):
        if name_of(path).startswith(("agent/cli", "agent/review_cli.py", "evaluators/inside/")) or node.name.startswith(
            "__"
        ):
            continue  # typer options; replacements for functions of torch and triton keep their signature
        arguments = node.args
        positional = [a.arg for a in arguments.posonlyargs + arguments.args if a.arg not in ("self", "cls")]
        assert len(positional) <= 5, f"{node.name} takes {len(positional)} positional parameters"
        assert len(positional) + len(arguments.kwonlyargs) <= 8, node.name


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
