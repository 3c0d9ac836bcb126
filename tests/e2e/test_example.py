"""The recorded run in examples/ can be shown, and made again with equal kernels, verdicts and decisions."""

import json
import os
import subprocess
import sys
from pathlib import Path

from evaluators.problem import Problem
from runs.store import RunDirectory

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "convt3d-73-by-ask-and-tell"


def agent(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_whole_and_shown_with_its_return_by_stage(tmp_path):
    shown = agent("show", EXAMPLE, cwd=tmp_path)
    assert "best: attempt 7" in shown
    assert "return by stage" in shown
    assert "/work" not in "".join(path.read_text() for path in EXAMPLE.rglob("*") if path.is_file())


def test_the_example_is_made_again_without_a_gpu_or_a_key(tmp_path):
    recorded = RunDirectory(EXAMPLE)
    problem = Problem.model_validate_json(recorded.run.config.problem_source)
    (tmp_path / "reference.py").write_text(problem.source)
    done = agent(
        *("optimize", "--problem", "reference.py", "--gpu", "4090", "--max-attempts", "12", "--json"),
        *("--model", f"replay:{os.path.relpath(EXAMPLE, tmp_path)}", "--recorded-verdicts"),
        cwd=tmp_path,
    )
    again = RunDirectory(tmp_path / json.loads(done)["path"])
    assert again.run.config.model == f"replay:{EXAMPLE}", "a resume may begin in another directory"
    for old, new in zip(recorded.state().attempts, again.state().attempts, strict=True):
        assert (old.candidate_id, old.evaluation, old.behaviour) == (new.candidate_id, new.evaluation, new.behaviour)
