"""kill -9 at random moments: what was recorded stays, nothing is repeated, nothing keeps running."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs.journal import read_events
from runs.nouns import Attempted, Proposed
from runs.store import RunDirectory, run_paths

PROBLEM = Path(__file__).resolve().parents[1] / "evaluators" / "data" / "reference_small.py"
ATTEMPTS = 6
KILLS = 10


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *arguments, "--plain"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def descendants(pid):
    """Process ids below `pid`, as the kernel sees them."""
    found = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        for task in tasks:
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        pass
    return found


def alive(pids):
    living = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                living.append(pid)
        except OSError:
            pass
    return living


def described(pids):
    """What still runs, for the message of a failure."""
    found = []
    for pid in alive(pids):
        try:
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append((pid, status["PPid"], status["State"], status["Uid"], command[-160:]))
        except OSError:
            pass
    return found


def kill_after(process, seconds):
    """SIGKILL the host alone, as a crash would; return its descendants. None when the run ended before."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        below = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return below
    else:
        return None


def gone_within(pids, seconds):
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pids)


@pytest.mark.timeout(240)
def test_ten_kills_lose_no_attempt_and_repeat_none(tmp_path):
    chance = random.Random(os.environ.get("AGENT_TEST_SEED", "20260101"))
    common = ["--runs-dir", str(tmp_path), "--max-attempts", str(ATTEMPTS)]
    process = start("optimize", "--problem", str(PROBLEM), "--gpu", "4090", *common)
    seen: list[str] = []
    kills = 0
    while kills < KILLS:
        below = kill_after(process, chance.uniform(0.2, 5.0))
        if below is None:
            break
        kills += 1
        assert gone_within(below, 3.0), f"still running after kill {kills}: {described(below)}"
        paths = run_paths(tmp_path)
        if not paths:
            process = start("optimize", "--problem", str(PROBLEM), "--gpu", "4090", *common)
            continue
        finished = committed(paths[-1])
        assert finished[: len(seen)] == seen, "an attempt that was on disk changed or vanished"
        seen = finished
        process = start("resume", "last", *common)
    assert process.wait(timeout=120) in (0, 1)
    directory = RunDirectory(run_paths(tmp_path)[-1])
    events = list(read_events(directory.path / "journal.jsonl"))
    attempts = [event.attempt for event in events if isinstance(event, Attempted)]
    proposals = [event.number for event in events if isinstance(event, Proposed)]
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert proposals == list(range(1, len(proposals) + 1)), "a reply that was on disk was asked for again"
    assert committed(directory.path)[: len(seen)] == seen
    assert kills == KILLS or directory.state().finished
    assert (directory.path / "best.py").exists() == (directory.state().best is not None)


def committed(path):
    """The attempts of a run as text, from the journal alone."""
    events = read_events(path / "journal.jsonl")
    return [json.dumps(e.attempt.model_dump(mode="json"), sort_keys=True) for e in events if isinstance(e, Attempted)]
