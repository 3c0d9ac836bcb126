"""Somebody else writes the replies: ask, tell, judge elsewhere, remember, and make the whole run again bit for bit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_llm import Step, serving

from runs.store import RunDirectory

DATA = Path(__file__).resolve().parents[1] / "evaluators" / "data"
DIRECT = (DATA / "candidates" / "direct_triton.py").read_text()


def agent(*arguments, cwd, code=0, stdin="", **environment):
    done = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        input=stdin,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run whose first reply holds no code, whose second is wrong and judged elsewhere, and whose third is right."""
    here = tmp_path_factory.mktemp("here")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    made = agent(
        *("optimize", "--problem", DATA / "reference_small.py", "--gpu", "4090", "--model", "manual"),
        *("--max-attempts", "3", "--json"),
        cwd=here,
    )
    run = json.loads(made.stdout)["run"]
    early = agent("tell", run, "-", cwd=here, code=2, stdin="too early").stderr
    first = agent("ask", run, cwd=here).stdout
    agent("tell", run, "-", "--author", "a person", cwd=here, code=1, stdin="I do not know.")
    second = json.loads(agent("ask", run, "--json", cwd=here).stdout)
    wrong = DIRECT.replace("% SD == 0", "% SD >= 0")
    (here / "wrong.md").write_text(f"Plan: skip the stride test\n\n```python\n{wrong}\n```\n")
    later = json.loads(agent("tell", run, "wrong.md", "--later", "--json", cwd=here).stdout)
    waiting = agent("ask", run, cwd=here, code=2).stderr
    shutil.move(here / "transcripts", elsewhere / "transcripts")
    judged = agent("evaluate", "--pending", run, cwd=elsewhere, code=1).stdout
    third = agent("ask", run, cwd=elsewhere).stdout
    (elsewhere / "right.md").write_text(f"Plan: direct\n\n```python\n{DIRECT}\n```\n")
    agent("tell", run, "right.md", cwd=elsewhere)
    return {
        "run": run,
        "cwd": elsewhere,
        "early": early,
        "later": later,
        "waiting": waiting,
        "judged": judged,
        "prompts": [first, second["prompt"], third],
        "second": second,
    }


def test_each_prompt_shows_what_became_of_the_reply_before(told):
    first, second, third = told["prompts"]
    assert "There is no kernel yet" in first
    assert "The last reply held no code" in second
    assert told["second"]["role"] == "repair"
    assert "skip the stride test" in third
    assert "incorrect_numerical" in told["judged"]
    directory = RunDirectory(told["cwd"] / "transcripts" / told["run"])
    assert [directory.read(number, "prompt.md") for number in (1, 2, 3)] == told["prompts"]


def test_the_order_of_the_steps_is_kept(told):
    assert "agent ask" in told["early"]
    assert told["later"] == {"run": told["run"], "attempt": 2}
    assert "agent evaluate --pending" in told["waiting"]
    assert "attempts used up (3)" in agent("ask", told["run"], cwd=told["cwd"], code=2).stderr
    assert "agent ask" in agent("evaluate", "--pending", told["run"], cwd=told["cwd"], code=2).stderr
    both = agent("evaluate", "--pending", told["run"], "kernel.py", cwd=told["cwd"], code=2)
    assert "leave out FILE" in both.stderr
    fewer = agent("resume", told["run"], "--max-attempts", "2", cwd=told["cwd"], code=2)
    assert "has made 3: name more" in fewer.stderr


def test_a_reference_that_does_not_run_is_met_before_there_is_a_run(tmp_path):
    source = (DATA / "reference_small.py").read_text()
    (tmp_path / "broken.py").write_text(source.replace("return [torch.randn(", "return [torch.ones(3), torch.randn("))
    done = agent("optimize", "--problem", "broken.py", "--gpu", "4090", cwd=tmp_path, code=2)
    assert "broken.py: the reference does not run: " in done.stderr
    assert not (tmp_path / "transcripts").exists()


def test_what_a_person_wrote_is_on_record_and_costs_nothing_known(told):
    state = RunDirectory(told["cwd"] / "transcripts" / told["run"]).state()
    assert [attempt.decision for attempt in state.attempts] == ["discard", "discard", "keep"]
    assert state.usage.requests == 0
    proposal = json.loads((told["cwd"] / "transcripts" / told["run"] / "attempts/001/proposal.json").read_text())
    assert proposal["model"] == "a person"


def test_the_outcomes_are_remembered_exported_and_forgotten(told):
    known = json.loads(agent("memory", "--json", cwd=told["cwd"]).stdout)
    assert [(outcome["attempt"], outcome["outcome"]) for outcome in known] == [(2, "failed"), (3, "first")]
    assert known[1]["operator"] == "conv_transpose3d"
    assert known[1]["origin"] == "estimated"
    made = agent(
        *("optimize", "--problem", DATA / "reference_small.py", "--gpu", "4090", "--model", "manual", "--json"),
        cwd=told["cwd"],
    )
    prompt = agent("ask", json.loads(made.stdout)["run"], cwd=told["cwd"]).stdout
    assert "# Outcomes of earlier runs" in prompt
    assert "skip the stride test" in prompt
    unknown = agent("memory", "--operator", "nosuch", cwd=told["cwd"]).stdout
    assert unknown.startswith(
        "no outcome for operator nosuch among the 2 in transcripts, which are for conv_transpose3d"
    )
    assert "forgot 2" in agent("memory", "--forget", told["run"], cwd=told["cwd"]).stderr
    assert "added 0" in agent("memory", "--sync", cwd=told["cwd"]).stderr
    assert json.loads(agent("memory", "--json", cwd=told["cwd"]).stdout) == []


def test_a_replay_with_recorded_verdicts_is_the_same_run_bit_for_bit_without_torch(told, tmp_path):
    shutil.copytree(told["cwd"] / "transcripts" / told["run"], tmp_path / "transcripts" / told["run"])
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "triton"):
        (blocked / f"{name}.py").write_text("raise ImportError('blocked')\n")
    done = agent(
        *("optimize", "--problem", DATA / "reference_small.py", "--gpu", "4090", "--max-attempts", "3", "--json"),
        *("--model", "replay:last", "--recorded-verdicts"),
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")]),
    )
    again = json.loads(done.stdout)
    old, new = (tmp_path / "transcripts" / name for name in (told["run"], again["run"]))
    assert RunDirectory(new).run.config.model == f"replay:{told['run']}", "`last` is the new run when that is resumed"
    for name in ("prompt.md", "reply.md", "kernel.py", "evaluation.json", "build.log"):
        for number in ("001", "002", "003"):
            before, after = (path / "attempts" / number / name for path in (old, new))
            assert before.exists() == after.exists(), (number, name)
            assert not before.exists() or before.read_bytes() == after.read_bytes(), (number, name)
    timeless = {"usage", "started_at", "seconds"}
    first, second = (RunDirectory(path).state().attempts for path in (old, new))
    assert [a.model_dump(exclude=timeless) for a in first] == [a.model_dump(exclude=timeless) for a in second]
    assert "differs from the recorded" not in done.stderr


def test_a_resumed_run_says_that_its_reference_was_edited(tmp_path):
    reference = tmp_path / "reference.py"
    shutil.copy(DATA / "reference_small.py", reference)
    agent("optimize", "--problem", reference, "--gpu", "4090", "--model", "manual", cwd=tmp_path)
    text = reference.read_text()
    for changed, is_told in ((text, False), (text + "# edited\n", True), (None, False)):
        reference.unlink() if changed is None else reference.write_text(changed)
        said = agent("resume", "last", cwd=tmp_path, code=1).stderr
        assert (f"{reference} changed since the run began: this run keeps its own copy" in said) is is_told


def test_a_reply_that_is_no_text_costs_no_attempt(told, tmp_path):
    path = tmp_path / "transcripts" / told["run"]
    shutil.copytree(told["cwd"] / "transcripts" / told["run"], path)
    before = (path / "journal.jsonl").read_bytes()
    (tmp_path / "binary.md").write_bytes(b"reply \xff")
    done = agent("tell", "last", "binary.md", cwd=tmp_path, code=2)
    assert "binary.md is no UTF-8 text (byte 6)" in done.stderr and done.stderr.count("\n") == 1
    assert (path / "journal.jsonl").read_bytes() == before and not (path / "attempts" / "004").exists()


def test_a_lost_journal_does_not_let_replies_be_overwritten(told, tmp_path):
    path = tmp_path / "transcripts" / told["run"]
    shutil.copytree(told["cwd"] / "transcripts" / told["run"], path)
    (path / "journal.jsonl").unlink()
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for words in (("ask", "last"), ("tell", "last", "-"), ("resume", "last", "--max-attempts", "9")):
        done = agent(*words, cwd=tmp_path, code=2, stdin="another")
        assert "journal.jsonl is missing: attempts/001 is not in it" in done.stderr and done.stderr.count("\n") == 1
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    shutil.rmtree(path / "attempts" / "002"), shutil.rmtree(path / "attempts" / "003")
    (path / "journal.jsonl").write_text("")  # as a crash just after the first reply, which held no code, leaves it
    assert "another reply on disk" in agent("tell", "last", "-", cwd=tmp_path, code=2, stdin="another").stderr
    assert "I do not know." in (path / "attempts/001/reply.md").read_text()


def test_a_recorded_verdict_is_never_given_for_another_candidate_or_gpu(told):
    done = agent(
        *("optimize", "--problem", DATA / "reference_small.py", "--gpu", "h100", "--model", f"replay:{told['run']}"),
        "--recorded-verdicts",
        cwd=told["cwd"],
        code=2,
    )
    assert "holds no verdict" in done.stderr


def test_doctor_makes_one_tiny_call_and_says_what_works(tmp_path):
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "cost": 0.00002}
    with serving([Step(text="ready", reasoning="hm", usage=usage)]) as server:
        done = agent("doctor", "--model", "scripted", "--base-url", server.url, "--json", cwd=tmp_path)
        assert len(server.requests) == 1
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert found["answer"]["works"]
    assert found["thinking text"]["seen"] == "sent separately"
    assert found["usage"]["seen"] == "9 + 3 tokens"
    assert "provider" in found["price"]["seen"]


def test_doctor_says_why_a_model_cannot_be_asked(tmp_path):
    refused = {"message": "The model `x` does not exist", "code": "model_not_found", "type": "invalid_request_error"}
    with serving([Step(status=404, error=refused)]) as server:
        done = agent("doctor", "--model", "x", "--base-url", server.url, cwd=tmp_path, code=3)
    assert "does not serve 'x'" in done.stdout
    unknown = agent("doctor", "--model", "x", "--provider", "opnai", cwd=tmp_path, code=2)
    assert "openai" in unknown.stderr
    keyless = agent("doctor", "--model", "x", "--provider", "deepseek", cwd=tmp_path, code=3, DEEPSEEK_API_KEY="")
    assert "DEEPSEEK_API_KEY" in keyless.stdout
