"""`agent bench` as users meet it: killed in the middle, gone on with, one table; a broken file does not stop the rest."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs.journal import read_events
from runs.nouns import Attempted, Proposed

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "tests" / "evaluators" / "data" / "reference_small.py"


def command(*arguments):
    return [sys.executable, "-m", "agent", "bench", *map(str, arguments)]


def events_of(runs_dir):
    return {path.parent.name: list(read_events(path)) for path in sorted(runs_dir.glob("bench-*/*/journal.jsonl"))}


def attempts_in(events):
    return [event.attempt.model_dump_json() for event in events if isinstance(event, Attempted)]


@pytest.fixture
def problems(tmp_path):
    folder = tmp_path / "problems"
    folder.mkdir()
    shutil.copy(SMALL, folder / "1_small.py")
    (folder / "2_grouped.py").write_text(SMALL.read_text().replace("groups = 2", "groups = 1"))
    (folder / "3_broken.py").write_text("def get_inputs(: pass\n")
    (folder / "4_raises.py").write_text(SMALL.read_text().replace("[in_channels, out", "[1 / 0, out"))
    return folder


@pytest.mark.timeout(240)
def test_a_benchmark_that_is_killed_goes_on_and_ends_in_one_table(problems, tmp_path):
    runs_dir = tmp_path / "runs"
    common = ("--runs-dir", runs_dir)
    first = subprocess.Popen(
        command(problems, "--gpu", "4090", "--max-attempts", 1, "--jobs", 2, *common),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while not any(map(attempts_in, events_of(runs_dir).values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = {name: attempts_in(events) for name, events in events_of(runs_dir).items()}
    assert any(before.values())
    done = subprocess.run(
        command("--resume", "last", "--json", "--jobs", 1, *common), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr  # two files are no problems
    found = json.loads(done.stdout)
    outcomes = {row["problem"]: row["outcome"] for row in found["problems"]}
    assert outcomes == {"1_small": "passed", "2_grouped": "passed", "3_broken": "broken", "4_raises": "broken"}
    assert "syntax error" in found["problems"][2]["why"] and "division" in found["problems"][3]["why"]
    assert found["speedups"] == {"eager": None, "best": None}
    after = events_of(runs_dir)
    assert all(attempts_in(after[name])[: len(old)] == old for name, old in before.items())
    for events in after.values():
        asked = [event.number for event in events if isinstance(event, Proposed)]
        assert asked == list(range(1, len(asked) + 1)), "a reply that was on disk was asked for again"
    page = (Path(found["path"]) / "bench.html").read_text()
    assert page.count("report.html") >= 2
    (results,) = Path(found["path"]).glob("kernelbench/runs/*/eval_results.json")
    assert [entry[0]["correctness"] for entry in json.loads(results.read_text()).values()] == [True, True, False, False]
    next(Path(found["path"]).glob("*/report.html")).unlink()  # as a kill just after the last attempt leaves it
    again = subprocess.run(command("--resume", "last", *common), capture_output=True, text=True, check=False)
    assert "0 of 4 problems to do" in again.stderr and "correct: 2 of 4" in again.stdout
    assert (Path(found["path"]) / "bench.html").read_text().count("report.html") >= 2
    assert events_of(runs_dir) == after


@pytest.mark.timeout(120)
def test_two_processes_do_not_work_on_one_benchmark(problems, tmp_path):
    runs_dir = tmp_path / "runs"
    arguments = (problems, "--gpu", "4090", "--max-attempts", 1, "--jobs", 1, "--runs-dir", runs_dir)
    first = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert "problems to do" in first.stderr.readline()
        resume = command("--resume", "last", "--runs-dir", runs_dir)
        second = subprocess.run(resume, capture_output=True, text=True, check=False)
    finally:
        first.kill()
        first.communicate()
    assert (second.returncode, second.stderr.count("\n")) == (2, 1), second.stderr
    assert "is being written by another process" in second.stderr and "bench-" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "--gpu", "4090"), "no folder or file nowhere"),
        ((), "--resume last"),
        (("--resume", "last"), "no single benchmark"),
        (("kernelbench:1", "--gpu", "4090"), "KERNELBENCH_DIR"),
        ((ROOT / "examples" / "problems", "--gpu", "4090", "--engine", "cloud"), "known: local, ray"),
        ((ROOT / "examples" / "problems", "--gpu", "4090", "--devices", "0,0"), "each once"),
        ((ROOT / "examples" / "problems", "--gpu", "4090", "--model", "manual"), "one run at a time"),
    ],
)
def test_wrong_usage_is_one_clear_line(arguments, words, tmp_path):
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "KERNELBENCH_DIR": ""},
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1
