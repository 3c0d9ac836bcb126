"""The judge process as the host sees it: what is ours is never blamed on a candidate."""

import signal
import time

import pytest

from evaluators import errors
from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_catalog import load_problem


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
