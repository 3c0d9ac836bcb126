"""kill -9 of host, judge, fork server and candidate at random moments: what was recorded stays, nothing is repeated,
nothing keeps running. Four kills in every run of the tests, 200 by `make soak`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from evaluators.problem_catalog import load_problem
from runs.journal import read_events
from runs.nouns import Attempted, Proposed, Run, RunConfig, Usage
from runs.record import open_record
from runs.store import RunDirectory, create_run, now, run_paths

PROBLEM = Path(__file__).resolve().parents[1] / "evaluators" / "data" / "reference_small.py"
ATTEMPTS, MANY, SHORT = 3, 40, 4
HONEST = Path(__file__).resolve().parents[1] / "exploits" / "honest" / "direct_triton.py"
MOMENTS = (2.0, 5.0, 15.0)  # seconds: while it starts, while it judges the first, in the midst of a run
VICTIMS = ("host", "host", "judge", "fork server", "candidate")


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


def gone_within(pids, seconds):
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pids)


def children(pid):
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def judges_of(host):
    found = []
    for pid in children(host):
        try:
            if b"evaluators.judge" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def pids_of(victim, host):
    """The processes of this kind below a host, as they are now."""
    judges = judges_of(host)
    trunks = [child for judge in judges for child in children(judge)]
    branches = [child for trunk in trunks for child in children(trunk)]
    return {
        "host": [host],
        "judge": judges,
        "fork server": trunks + branches,
        "candidate": [pid for branch in branches for pid in descendants(branch)],
    }[victim]


def awaited(victim, host):
    """The same, waiting a little for one to come."""
    deadline = time.monotonic() + 4
    while not (pids := pids_of(victim, host)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return pids


class Kills:
    """A host at work on one run after the other, and what was killed meanwhile."""

    def __init__(self, folder, chance, task):
        self.folder, self.chance, self.task = folder, chance, task
        self.killed = Counter()
        self.ended = Counter()  # exit codes of hosts that were not killed
        self.seen = {}  # attempts on disk, by run
        self.process = None

    def start(self):
        """Go on with the latest run, or begin one where that has ended."""
        paths = run_paths(self.folder)
        common = ["--runs-dir", str(self.folder)]
        if not paths or RunDirectory(paths[-1]).state().finished:
            self.process = start("optimize", "--problem", str(PROBLEM), "--gpu", "4090", *self.task, *common)
        else:
            self.process = start("resume", "last", *common)

    def strike(self):
        """Wait a moment, then kill one process, if there is one of that kind."""
        victim = self.chance.choice(VICTIMS)
        try:
            self.ended[self.process.wait(timeout=self.chance.choice(MOMENTS) * self.chance.random())] += 1
        except subprocess.TimeoutExpired:
            pids = awaited(victim, self.process.pid)
            below = descendants(self.process.pid)
            if not pids:
                return
            os.kill(self.chance.choice(pids), signal.SIGKILL)
            self.killed[victim] += 1
            if victim != "host":
                return
            self.process.wait()
            assert gone_within(below, 3.0), f"still running after {self.killed}: {described(below)}"
        self.check()
        self.start()

    def check(self):
        """What was on disk before is there still, the same."""
        for path in run_paths(self.folder):
            now, before = committed(path), self.seen.get(path, [])
            assert now[: len(before)] == before, "an attempt that was on disk changed or vanished"
            self.seen[path] = now


def recorded(folder):
    """A run to replay: many replies, most refused at once, so that many attempts lie between the kills."""
    problem = load_problem(str(PROBLEM))
    config = RunConfig(problem=problem.key, problem_source=problem.model_dump_json(), gpu="rtx-4090", model="recorded")
    directory = create_run(folder, Run(id="recording", created_at=now(), config=config))
    with open_record(directory) as record:
        for number in range(1, MANY + 1):
            body = HONEST.read_text() if number % 4 == 1 else "import ctypes\n"
            directory.write(number, "reply.md", f"```python\n{body}\nNUMBER = {number}\n```\n")
            common = {"parent": None, "stage": "algorithm", "role": "propose", "usage": Usage(), "started_at": now()}
            record.append(Proposed(number=number, reply_sha256="", **common))
    return ("--model", f"replay:{directory.path}", "--max-attempts", str(MANY))


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(SHORT, id="short", marks=pytest.mark.timeout(240)),
        pytest.param(200, id="full", marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_kills_lose_no_attempt_and_repeat_none(count, tmp_path):
    count = int(os.environ.get("AGENT_SOAK_KILLS", count)) if count > SHORT else count
    task = recorded(tmp_path / "of") if count > SHORT else ("--max-attempts", str(ATTEMPTS))
    kills = Kills(tmp_path / "runs", random.Random(os.environ.get("AGENT_TEST_SEED", "20260101")), task)
    kills.start()
    until = time.monotonic() + float(os.environ.get("AGENT_SOAK_SECONDS", "inf"))
    while kills.killed.total() < count and (count == SHORT or time.monotonic() < until):
        kills.strike()
    try:
        kills.process.wait(timeout=600)
    finally:
        kills.process.kill()
    kills.check()
    assert set(kills.ended) <= {0, 1, 3}, kills.ended  # 3: a fork server or judge was killed twice in one request
    for path in run_paths(kills.folder):
        events = list(read_events(path / "journal.jsonl"))
        attempts = [event.attempt for event in events if isinstance(event, Attempted)]
        proposals = [event.number for event in events if isinstance(event, Proposed)]
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert proposals == list(range(1, len(proposals) + 1)), "a reply that was on disk was asked for again"
        assert (path / "best.py").exists() == (RunDirectory(path).state().best is not None)
    total = sum(map(len, kills.seen.values()))
    assert total or count == 8, "no attempt was ever finished between the kills"
    print(f"\n{dict(kills.killed)} killed; {len(kills.seen)} runs, {total} attempts; exit codes {dict(kills.ended)}")


def committed(path):
    """The attempts of a run as text, from the journal alone."""
    events = read_events(path / "journal.jsonl")
    return [json.dumps(e.attempt.model_dump(mode="json"), sort_keys=True) for e in events if isinstance(e, Attempted)]
