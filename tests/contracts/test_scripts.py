"""Every script under tests/ starts from a plain checkout: `python tests/NAME.py --help`, the project not installed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for path in TESTS.glob("*.py") if '__name__ == "__main__"' in path.read_text())

# A copy of this process for each script: torch and triton are read once, and taken down (0.6 s each) never.
PROGRAM = """
import importlib.util, os, runpy, sys
import torch, triton

assert importlib.util.find_spec("evaluators") is None, "the project is on the path: nothing is tested"
for script in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        sys.path[0] = os.path.dirname(script)
        sys.argv = [script, "--help"]
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
        os._exit(99)  # it did something else than to show its help
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("ended", os.path.basename(script), code, flush=True)
"""


def test_every_script_shows_its_help_where_the_project_is_not_installed(tmp_path):
    libraries = [path for path in sys.path if path and not (Path(path) / "evaluators").exists()]
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, *SCRIPTS],  # -S: no .pth file, so no editable install
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(libraries)},
        capture_output=True,
        text=True,
        check=False,
    )
    for script in SCRIPTS:
        assert f"usage: {script.name}" in done.stdout, done.stderr
        assert f"ended {script.name} 0\n" in done.stdout, done.stderr
        says = (ast.get_docstring(ast.parse(script.read_text())) or "").splitlines()[0]
        assert says in done.stdout, f"{script.name} --help does not say what it does"
    assert len(SCRIPTS) > 10, SCRIPTS
