"""A whole run against a scripted endpoint over a real socket, as a user would start it: every kind of bad day, then a better kernel."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_llm import Step, serving

from runs.store import RunDirectory

DATA = Path(__file__).resolve().parents[1] / "evaluators" / "data"
SECRET = "sk-test-3f9a1c77d2"


def reply(source, plan):
    return f"Plan: {plan}\n\n```python\n{source}\n```\n"


def candidate(name):
    return (DATA / "candidates" / name).read_text()


def run_agent(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    direct = candidate("direct_triton.py")
    space = 'BLOCK = 1024\nSPACE = {"BLOCK": [1024, 256]}\n\n\n'  # 23 blocks in place of 6: the estimate sees more of the chip
    faster = direct.replace("        BLOCK = 1024\n", "").replace("@triton.jit", f"{space}@triton.jit", 1)
    assert faster != direct
    steps = [
        Step(status=429, headers={"retry-after": "0.3"}),
        Step(text=reply(direct.replace("acc = tl.zeros", "acc = tl.zeroes"), "does not compile")),
        Step(text=reply(direct, "cut off"), cut_after_chunks=20),
        Step(text=reply(direct.replace("% SD == 0", "% SD >= 0"), "wrong: no stride test")),
        Step(text="I cannot do that."),
        Step(text=reply(direct, "right but slow")),
        Step(text=reply(faster, "blocks of two sizes"), reasoning="which one the machine may find out"),
    ]
    tmp_path = tmp_path_factory.mktemp("scripted")
    with serving(steps) as server:
        done = run_agent(
            *("optimize", "--problem", str(DATA / "reference_small.py"), "--gpu", "4090"),
            *("--model", "scripted", "--base-url", server.url, "--max-attempts", "5", "--json"),
            cwd=tmp_path,
            OPENAI_API_KEY=SECRET,
        )
        requests = list(server.requests)
    return done, requests, tmp_path


def test_the_run_improves_and_says_so(finished):
    done, requests, tmp_path = finished
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["best"]["attempt"] == 5
    assert summary["attempts"] == 5
    assert len(requests) == 7
    assert Path(tmp_path, summary["exported"]).exists()
    assert "attempt" in done.stderr


def test_every_attempt_is_on_record_with_the_true_reason(finished):
    done, _, tmp_path = finished
    directory = RunDirectory(tmp_path / json.loads(done.stdout)["path"])
    attempts = directory.state().attempts
    assert [a.evaluation.kind if a.evaluation else "no code" for a in attempts] == [
        "compile_error",
        "incorrect_numerical",
        "no code",
        None,
        None,
    ]
    assert [a.decision for a in attempts] == ["discard", "discard", "discard", "keep", "keep"]
    assert "zeroes" in attempts[0].evaluation.message
    assert attempts[0].usage.requests == 2
    assert attempts[1].usage.requests == 2
    assert attempts[4].usage.output_tokens > 0
    for name in ("prompt.md", "reply.md", "kernel.py", "evaluation.json", "build.log"):
        assert directory.attempt_file(5, name).exists(), name


def test_the_machine_found_the_better_point_of_the_space(finished):
    done, _, tmp_path = finished
    attempt = RunDirectory(tmp_path / json.loads(done.stdout)["path"]).state().attempts[4]
    written, chosen = attempt.tuning.points
    assert (written.name, chosen.name) == ("BLOCK=1024", "BLOCK=256")
    assert written.verdict == chosen.verdict == attempt.evaluation.verdict
    assert chosen.estimate_ms < written.estimate_ms
    assert chosen.registers and written.registers
    assert attempt.candidate_id == chosen.candidate_id


def test_a_repair_is_shown_the_failed_code_and_why(finished):
    _, requests, _ = finished
    prompt = requests[2]["body"]["messages"][-1]["content"]
    assert "zeroes" in prompt
    assert "compile_error" in prompt


def test_the_key_reached_the_endpoint_and_nothing_else(finished):
    done, requests, tmp_path = finished
    assert requests[0]["headers"]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in done.stdout + done.stderr
    leaks = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not leaks


def test_the_run_is_shown_and_exported(finished):
    done, _, tmp_path = finished
    run_id = json.loads(done.stdout)["run"]
    shown = run_agent("show", run_id, cwd=tmp_path)
    assert shown.returncode == 0
    assert "incorrect_numerical" in shown.stdout
    one = run_agent("show", run_id, "--attempt", "5", cwd=tmp_path)
    assert "-        BLOCK = 1024" in one.stdout
    assert "+BLOCK = 256" in one.stdout
    assert "BLOCK=256 *" in one.stdout
    exported = run_agent("export", "last", "-o", "best_kernel.py", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    check = subprocess.run(
        [sys.executable, str(tmp_path / "best_kernel.py")], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.slow  # test_example.py replays a recorded run in every suite
def test_replay_gives_the_same_run_without_the_endpoint(finished):
    done, _, tmp_path = finished
    run_id = json.loads(done.stdout)["run"]
    again = run_agent(
        *("optimize", "--problem", str(DATA / "reference_small.py"), "--gpu", "4090", "--max-attempts", "4"),
        *("--model", f"replay:{run_id}", "--json"),
        cwd=tmp_path,
    )
    assert again.returncode == 0, again.stderr
    first, second = (
        RunDirectory(tmp_path / json.loads(text)["path"]).state().attempts for text in (done.stdout, again.stdout)
    )
    assert len(second) == 4
    assert [(a.candidate_id, a.stage, a.role, a.decision, a.tuning) for a in first[:4]] == [
        (a.candidate_id, a.stage, a.role, a.decision, a.tuning) for a in second
    ]
