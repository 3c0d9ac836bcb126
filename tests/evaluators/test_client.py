"""The judge process as the host sees it: what is ours is never blamed on a candidate."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from evaluators import errors
from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.judge import server
from evaluators.judge.facts import facts_of
from evaluators.problem_catalog import load_problem, problem_from

REFERENCE = """
import torch, torch.nn as nn
class Model(nn.Module):
    def forward(self, x):
        FORWARD
def get_inputs(): return [torch.rand(4, 5)]
def get_init_inputs(): return []
"""
HANGS = """while True:
            try:
                while True: pass
            except Exception: pass"""


def test_a_judge_that_cannot_start_is_our_failure_and_no_verdict(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with JudgeClient(facts_only=True) as judge, pytest.raises(errors.MachineError, match="this torch is broken"):
        judge.evaluate(load_problem("convt3d"), candidate_from("x = 1"), load_gpu("4090"))


def test_a_killed_judge_is_restarted_and_the_request_repeated():
    with JudgeClient(facts_only=True) as judge:
        problem = load_problem("convt3d-72")
        before = judge.facts(problem)
        judge._process.kill()
        judge._process.wait()
        assert judge.facts(problem) == before


def test_the_signal_that_ended_a_judge_is_named():
    with JudgeClient(facts_only=True) as judge:
        judge._process.kill()
        assert judge._last_words().startswith("killed by SIGKILL")


def test_the_callers_folder_cannot_replace_a_module(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('taken from the folder of the caller')\n")
    monkeypatch.chdir(tmp_path)
    with JudgeClient(facts_only=True) as judge:
        assert judge.facts(load_problem("convt3d-72")).operator == "conv_transpose3d"


def test_a_judge_that_nobody_asked_is_not_waited_for():
    started = time.monotonic()
    with JudgeClient() as judge:
        pass
    assert time.monotonic() - started < 1.5, "it was still importing"
    assert judge._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("forward", "said"),
    [(HANGS, "did not end within 0.3 s"), ("raise SystemExit(3)", "the reference ends its process, sys.exit(3)")],
)
def test_a_reference_that_hangs_or_leaves_is_a_bad_problem(monkeypatch, forward, said):
    monkeypatch.setattr(server, "_LOADING_S", 0.3)
    problem = problem_from(REFERENCE.replace("FORWARD", forward), key="mine")
    with pytest.raises(errors.BadProblem, match="mine: ") as caught, server._loading(problem):
        facts_of(problem)
    assert said in str(caught.value)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_reference_that_kills_the_judge_is_named():
    forward = f"import os; os.kill(os.getpid(), {signal.SIGSEGV})"
    problem = problem_from(REFERENCE.replace("FORWARD", forward), key="mine")
    with JudgeClient(facts_only=True) as judge, pytest.raises(errors.JudgeDied) as caught:
        judge.facts(problem)
    said = "mine: the judge's process ended twice while this reference ran in it: killed by SIGSEGV"
    assert str(caught.value).startswith(said)


def test_a_folder_for_temporary_files_that_is_not_there_is_not_handed_to_the_compilers(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", None)
    with JudgeClient(facts_only=True) as judge:
        while b"evaluators.judge" not in Path(f"/proc/{judge._process.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # until it is another program
        given = Path(f"/proc/{judge._process.pid}/environ").read_bytes().split(b"\0")
    folder = next(one for one in given if one.startswith(b"TMPDIR=")).removeprefix(b"TMPDIR=")
    assert os.access(folder, os.W_OK)
