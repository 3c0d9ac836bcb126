"""The command line as users meet it: real processes, exit codes, golden help."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "help"
VERBS = (
    *("optimize", "resume", "evaluate", "problems", "gpus", "prompt", "extract", "runs", "show", "diff", "stats"),
    *("report", "view", "export", "verify", "export-run", "doctor", "ask", "tell", "memory", "bench"),
)


def agent(*arguments, cwd=None, **environment):
    env = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments], capture_output=True, text=True, env=env, cwd=cwd, check=False
    )


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_the_golden_one(verb):
    done = agent(*([verb] if verb else []), "--help")
    assert done.returncode == 0
    golden = GOLDEN / f"{verb or 'agent'}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["optimize", "--problem", "convt3d", "--gpu", "4091"], 2, "4090"),
        (["optimize", "--problem", "convt4d", "--gpu", "4090"], 2, "convt3d"),
        (["optimize", "--problem", "convt3d", "--gpu", "4090", "--code", "nothing.py"], 2, "nothing.py"),
        (["optimize", "--problem", "convt3d", "--gpu", "4090", "--model", "replay:nothing"], 2, "nothing"),
        (["evaluate", "nothing.py", "--problem", "convt3d"], 2, "nothing.py"),
        (["show", "nothing"], 2, "no runs"),
        (["export", "nothing"], 2, "no runs"),
        (["resume", "nothing"], 2, "no runs"),
        (["gpus", "9999"], 2, "agent gpus"),
        (["extract", "nothing.md"], 2, "nothing.md"),
        (["prompt", "--problem", "convt3d", "--gpu", "4090", "--stage", "magic"], 2, "memory"),
        (["optimize"], 2, "--problem"),
        (["optimize", "-p", "convt3d", "-g", "4090", "--max-attempts", "-3"], 2, "'--max-attempts': Input should be"),
        (
            ["optimize", "-p", "convt3d", "-g", "4090", "--device", "gpu"],
            2,
            "not one of 'auto', 'cpu', 'cuda'; see ",
        ),
        (["frob"], 2, "'frob'; see "),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_code_2(arguments, code, words, tmp_path):
    done = agent(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "wrong usage must leave nothing behind"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["optimize", "--gpu", "4090"], "MissingParameter"),
        (["runs", "--nonsense"], "NoSuchOption"),
        (["gpus", "9999"], "UnknownGpu"),
        (["evaluate", "nothing.py", "--problem", "convt3d"], "UsageError"),
    ],
)
def test_wrong_usage_with_json_is_an_object_on_stdout_too(arguments, kind, tmp_path):
    done = agent(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert found["error"]["kind"] == kind and found["exit_code"] == 2
    assert found["error"]["message"] in " ".join(done.stderr.split())


def test_a_file_that_its_text_rejects_needs_no_judge_and_the_choice_of_a_part_is_said_first(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is imported')")
    library = ROOT / "tests" / "exploits" / "cheats" / "lib_functional_alias.py"
    done = agent("evaluate", str(library), "-p", "convt3d-73", "-g", "h100", "--json", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["rung"], found["kind"]) == ("failed", "screen", "rejected")
    assert found["environment"] == {"sandbox": "none needed: nothing was run"}
    assert done.stderr.splitlines()[0].startswith("'h100' names several parts; taken as NVIDIA H100 SXM5 80 GB")


def test_a_missing_key_is_said_before_a_run_exists(tmp_path):
    done = agent("optimize", "-p", "convt3d", "-g", "4090", "--model", "gpt-5", cwd=tmp_path, OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unwritable_runs_directory_is_said_at_once(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = agent("optimize", "-p", "convt3d", "-g", "4090", "--runs-dir", str(blocked / "runs"), cwd=tmp_path)
    assert done.returncode == 3
    assert "--runs-dir" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nomodel.py", b"x = 1\n", "--code nomodel.py: no class ModelNew; "),
        ("nothing.py", b"class ModelNew:\n    pass\n", "--code nothing.py: ModelNew has no forward; "),
        ("bin.py", b"\xff", "bin.py is no UTF-8 text (byte 0)"),
        ("bin.md", b"```python\n\xff\n```\n", "bin.md is no UTF-8 text (byte 10)"),
    ],
)
def test_code_without_a_model_is_refused_before_there_is_a_run(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    done = agent("optimize", "-p", "convt3d", "-g", "4090", "--code", name, "--max-attempts", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_runs_is_empty_and_says_how_to_start(tmp_path):
    done = agent("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "agent optimize" in done.stdout
    assert json.loads(agent("runs", "--json", cwd=tmp_path).stdout) == []


@pytest.mark.parametrize("verb", [("show",), ("stats",), ("export",), ("resume",), ("export-run", "--to", "otel")])
def test_a_record_that_cannot_be_read_is_one_line_that_names_the_file(verb, tmp_path):
    example = Path(__file__).resolve().parents[2] / "examples" / "convt3d-73-by-ask-and-tell"
    (tmp_path / "run" / "journal.jsonl").mkdir(parents=True)  # root can read every file, but no directory
    (tmp_path / "run" / "run.json").write_bytes((example / "run.json").read_bytes())
    done = agent(verb[0], "run", *verb[1:], "--runs-dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Is a directory" in done.stderr and "run/journal.jsonl" in done.stderr
