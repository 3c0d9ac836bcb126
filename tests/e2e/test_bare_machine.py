"""What docs/gpu_boxes.md lists is enough: a run by the built-in author imports nothing beyond it, on the host or in the judge."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

DOC = Path(__file__).parent.parent.parent / "docs" / "gpu_boxes.md"
SMALL = Path(__file__).parents[1] / "evaluators" / "data" / "reference_small.py"
# torch's own dependencies, triton and numpy: what such a machine holds already
THERE = {
    *("torch", "triton", "numpy", "sympy", "mpmath", "networkx", "fsspec", "filelock"),
    *("jinja2", "markupsafe", "typing-extensions", "setuptools"),
}
ONLY_ON_A_TERMINAL = {"rich", "markdown-it-py", "mdurl"}
REFUSING = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {refused!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refusing())
"""


def listed():
    command = DOC.read_text().partition("-d wheels")[2].partition("\n\n")[0]
    return {re.split("[=<>]", word)[0] for word in command.replace("\\", " ").split()}


def refused():
    """Every importable name of this environment that such a machine may lack."""
    allowed = (THERE | listed()) - ONLY_ON_A_TERMINAL
    by_name = packages_distributions()
    ours = {"agent", "prompts", "evaluators", "sandbox", "runs", "__pycache__"}
    return {
        name
        for name, owners in by_name.items()
        if name not in ours and not {re.sub("[-_.]+", "-", owner).lower() for owner in owners} & allowed
    }


def test_a_run_by_the_built_in_author_needs_no_other_package(tmp_path):
    names = refused()
    assert {"openai", "rich", "tenacity", "genai_prices", "pytest"} <= names
    assert "pydantic_core" not in names
    (tmp_path / "sitecustomize.py").write_text(REFUSING.format(refused=names))
    root = str(DOC.parent.parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), root]),
        "AGENT_RUNS_DIR": str(tmp_path / "runs"),
    }

    def agent(*words, code=0):
        command = [sys.executable, "-m", "agent", *words]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == code, done.stderr[-2000:]
        return done.stdout

    agent("optimize", "--problem", str(SMALL), "--gpu", "4090", "--model", "playbook", "--max-attempts", "1")
    (report,) = (tmp_path / "runs").glob("*/report.html")
    assert "passed" in agent("show", report.parent.name)
    refusal = agent("optimize", "--problem", "convt3d-73", "--gpu", "4090", "--model", "m", "--json", code=3)
    assert "a model at an endpoint needs openai and tenacity: pip install" in refusal
    (tmp_path / "kernel.py").write_text("import os")  # refused by the text: all rungs were climbed above
    assert "verdict: failed" in agent("evaluate", "kernel.py", "--problem", "convt3d-73", "--gpu", "4090", code=1)
