"""Honest, cheating, crashing and hanging candidates, mixed, over two judges: every verdict is the one that is owed, no
process is left, memory stays flat: 1,000 evaluations. tests/agent/engines/test_local.py shows the same of a few.
"""

import os
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from marked import gone, marked, new_token

from agent.engines.local import LocalEngine
from evaluators.candidate import candidate_from
from evaluators.gpu_catalog import load_gpu
from evaluators.ladder import RUNGS
from evaluators.problem_catalog import load_problem

EXPLOITS = Path(__file__).resolve().parents[1] / "exploits"
PASSES, FAILS = ("passed", None), ("failed", None)
# file, what is owed (verdict, kind where it is certain), how many of 50. Quick ones make up most: the point is many.
MIX = (
    ("honest/direct_triton", PASSES, 10),
    ("honest/stride_phase", PASSES, 5),
    ("cheats/segfault", ("failed", "crashed"), 12),
    ("cheats/forge_at_exit", FAILS, 8),
    ("cheats/lazy_subclass", FAILS, 6),
    ("cheats/memo_data_ptr", FAILS, 4),
    ("cheats/detached_child", FAILS, 2),
    ("cheats/error_flood", FAILS, 2),
    ("cheats/hang_stopped", ("failed", "timeout"), 1),
)
GROWTH = 1.10  # of the memory of judges and fork servers, last quarter over second: allocators wander


def drawn(count, chance):
    """`count` of the mix in random order."""
    names = [name for name, _, weight in MIX for _ in range(weight)]
    mixed = (names * (count // len(names) + 1))[:count]
    chance.shuffle(mixed)
    return mixed


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def is_candidate(pid, pids):
    """Above a candidate are its judge, the fork server that imported torch and a branch of that."""
    above = 0
    while pid != os.getpid() and (pid := parent_of(pid)) in pids:
        above += 1
    return above > 2


def standing_mb(token):
    """Anonymous memory of the judges and their fork servers, and of this process; candidates come and go.

    Not PSS: that of the libraries falls and rises with the number of other programs that map them.
    """
    pids = marked(token)
    total_kb = 0
    for pid in [*pids, os.getpid()]:
        try:
            if not is_candidate(pid, pids):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total_kb += int(rollup.split("\nAnonymous:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return total_kb / 1024


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_evaluations_lose_none_leave_nothing_and_do_not_grow():
    chance = random.Random(os.environ.get("AGENT_TEST_SEED", "20260101"))
    count = int(os.environ.get("AGENT_SOAK_COUNT", "1000"))
    names = drawn(count, chance)
    owed = {name: verdict for name, verdict, _ in MIX}
    candidates = {name: candidate_from((EXPLOITS / f"{name}.py").read_text()) for name in set(names)}
    problem, gpu = load_problem(str(EXPLOITS / "reference_small.py")), load_gpu("4090")
    token = new_token()
    samples = []
    started = time.monotonic()
    with LocalEngine(2, devices=[token]) as engine, ThreadPoolExecutor(2) as askers:

        def judged(name):
            evaluation = engine.evaluate(problem, candidates[name], gpu, rungs=RUNGS[1:])
            samples.append(standing_mb(token))
            return name, evaluation.verdict, evaluation.kind

        verdicts = []
        until = time.monotonic() + float(os.environ.get("AGENT_SOAK_SECONDS", "inf"))
        while len(verdicts) < count:
            begin = len(verdicts)
            verdicts += askers.map(judged, names[begin : begin + 20])
            print(f"{len(verdicts)} of {count}, {samples[-1]:.0f} MB", flush=True)
            if time.monotonic() > until:
                count = len(verdicts)  # what time allowed; said below
        assert marked(token), "the token marks nothing, so the check for survivors could not fail"
    seconds = time.monotonic() - started
    wrong = [
        (name, verdict, kind)
        for name, verdict, kind in verdicts
        if verdict != owed[name][0] or owed[name][1] not in (None, kind)
    ]
    assert len(verdicts) == count
    assert not wrong
    assert gone(token), marked(token)
    if count >= 50:
        quarter = count // 4
        second, last = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
        print(f"\n{count} evaluations in {seconds:.0f} s; judges, fork servers and host: {second:.0f} -> {last:.0f} MB")
        assert last < second * GROWTH
