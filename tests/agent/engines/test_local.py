"""The local engine: many askers, few judges; what one candidate does is no other's business, and nothing is left of it."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from marked import gone, marked, new_token

from agent.engines import Wish, engine_for
from agent.engines.local import LocalEngine, devices_of
from evaluators.candidate import candidate_from
from evaluators.errors import UsageError
from evaluators.gpu_catalog import load_gpu
from evaluators.ladder import RUNGS
from evaluators.problem_catalog import load_problem

EXPLOITS = Path(__file__).resolve().parents[2] / "exploits"
SMALL, GPU = load_problem(str(EXPLOITS / "reference_small.py")), load_gpu("4090")
HONEST = candidate_from((EXPLOITS / "honest" / "direct_triton.py").read_text())
CRASHES = candidate_from((EXPLOITS / "cheats" / "segfault.py").read_text())
HANGS = candidate_from((EXPLOITS / "cheats" / "hang_stopped.py").read_text())
DETACHES = candidate_from((EXPLOITS / "cheats" / "detached_child.py").read_text())
TOKEN = new_token()


@pytest.fixture(scope="module")
def engine():
    made = LocalEngine(2, devices=[TOKEN])
    yield made
    if not made._stopped.done():  # the last test did not come to close it
        made.close()


def judge(engine, candidate=HONEST, rungs=("correctness",)):
    return engine.evaluate(SMALL, candidate, GPU, rungs=rungs)


def pid_of(judge):
    return judge._client._process.pid


def test_scheduling_costs_next_to_nothing_and_a_judge_outlives_the_thread_that_asked(engine):
    judge(engine, rungs=RUNGS[:1])
    (owned,) = (one for one in engine._judges if one._client)  # the other was not needed yet
    first = pid_of(owned)
    took_s = []

    def ask():
        started = time.perf_counter()
        evaluation = judge(engine, rungs=RUNGS[:1])
        took_s.append(time.perf_counter() - started - evaluation.duration_s)

    for _ in range(5):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert pid_of(owned) == first
    assert min(took_s) < 0.02, took_s


def test_a_hang_and_a_crash_leave_the_other_judge_at_work_and_the_end_leaves_nothing(engine):
    """The last that uses the shared engine: it closes it."""
    with ThreadPoolExecutor(3) as askers:
        hanging = askers.submit(judge, engine, HANGS)
        time.sleep(0.1)
        assert judge(engine).verdict == "passed"
        assert judge(engine, CRASHES).kind == "crashed"
        assert judge(engine, DETACHES).verdict == "failed"
        assert judge(engine).verdict == "passed"
        assert not hanging.done()
        os.kill(next(pid_of(one) for one in engine._judges if one not in engine._free), signal.SIGKILL)
        assert judge(engine).verdict == "passed"
        engine.stop()
        with pytest.raises(KeyboardInterrupt):
            hanging.result(timeout=5)
        with pytest.raises(KeyboardInterrupt):
            judge(engine)
    assert marked(TOKEN), "the token marks nothing, so the check for survivors could not fail"
    engine.close()
    assert gone(TOKEN), marked(TOKEN)


def test_devices_are_shared_out_and_what_cannot_be_meant_is_refused(monkeypatch):
    with LocalEngine(3, devices=("0", "1")) as engine:
        assert [one._environment["CUDA_VISIBLE_DEVICES"] for one in engine._judges] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 3")
    assert devices_of(None) == ("2", "3") and devices_of("1") == ("1",)
    for wrong in ("0,0", "first", ""):
        with pytest.raises(UsageError, match="each once"):
            devices_of(wrong)
    with pytest.raises(UsageError, match="takes no address"):
        engine_for("local:here", Wish())
    with pytest.raises(UsageError, match="known: local, ray"):
        engine_for("cloud", Wish())
