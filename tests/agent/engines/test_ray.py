"""The Ray engine on a simulated cluster of three nodes on this machine: real Ray processes, real judges, made-up GPUs."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip(
    "ray", reason="the extra `ray` is not installed: pip install 'kernel-agent[ray]'", exc_type=ImportError
)

from agent.engines import Wish, engine_for
from agent.engines.ray import task as ray_task
from evaluators.candidate import candidate_from
from evaluators.client import JudgeBug
from evaluators.errors import MachineError
from evaluators.gpu_catalog import load_gpu
from evaluators.ladder import RUNGS
from evaluators.problem_catalog import load_problem

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore::ResourceWarning")]
ROOT = Path(__file__).resolve().parents[3]
EXPLOITS = ROOT / "tests" / "exploits"
SMALL = load_problem(str(EXPLOITS / "reference_small.py"))
HONEST = candidate_from((EXPLOITS / "honest" / "direct_triton.py").read_text())
CRASHES = candidate_from((EXPLOITS / "cheats" / "segfault.py").read_text())
HANGS = candidate_from((EXPLOITS / "cheats" / "hang_stopped.py").read_text())
NODE = {"object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, as one that only talks to models; a node with one 4090; a node with two H100."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head | NODE)
    made.add_node(num_cpus=2, num_gpus=1, resources={"gpu:rtx-4090": 1}, **NODE)
    made.h100 = made.add_node(num_cpus=3, num_gpus=2, resources={"gpu:h100-sxm": 2}, **NODE)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture
def engine(cluster):
    """`engine(gpu)`: a connected engine, left again after the test."""
    made = []

    def connect(gpu, **wish):
        made.append(engine_for(f"ray:{cluster.address}", Wish(gpu=gpu, **wish)))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def judge(engine, candidate=HONEST, gpu="h100-sxm", **more):
    return engine.evaluate(SMALL, candidate, load_gpu(gpu), **more)


def test_verdicts_are_those_of_one_machine_and_gpus_are_shared_rightly(engine):
    on_h100 = engine("h100-sxm")
    heard = []
    facts = on_h100.facts(SMALL)
    assert facts.operator == "conv_transpose3d"
    with ThreadPoolExecutor(4) as askers:
        verdicts = list(askers.map(lambda number: judge(on_h100, announce=heard.append), range(4)))
    assert [verdict.verdict for verdict in verdicts] == ["passed"] * 4
    whole = [served for served in on_h100.log if served["gpus"] == 1.0]
    parts = [served for served in on_h100.log if 0 < served["gpus"] < 1]
    assert len(whole) == len(parts) == 4
    assert {served["devices"] for served in whole} <= {"0", "1"}
    for device in ("0", "1"):  # with a GPU of its own a task meets no other there
        on_it = [served for served in on_h100.log if served["devices"] == device]
        for mine in (served for served in on_it if served["gpus"] == 1.0):
            others = [served for served in on_it if served is not mine]
            assert all(o["ended_at"] <= mine["began_at"] or o["began_at"] >= mine["ended_at"] for o in others)
    assert "build" in heard


def test_a_task_goes_to_the_model_that_was_asked_for(engine, cluster):
    on_4090 = engine("rtx-4090")
    assert judge(on_4090, gpu="rtx-4090", rungs=RUNGS[:1]).verdict == "passed"
    (served,) = on_4090.log
    assert served["node_id"] != cluster.h100.node_id


def test_a_gpu_nobody_has_fails_at_once_and_names_those_seen(engine):
    started = time.monotonic()
    with pytest.raises(MachineError, match=r"b200.*GPUs seen:.*1 x rtx-4090.*2 x h100-sxm|2 x h100-sxm.*1 x rtx-4090"):
        engine("b200")
    assert time.monotonic() - started < 30


def test_a_candidate_that_crashes_is_a_result_and_is_not_judged_again(engine):
    on_h100 = engine("h100-sxm")
    evaluation = judge(on_h100, CRASHES, rungs=RUNGS[1:])
    assert (evaluation.verdict, evaluation.kind) == ("failed", "crashed")
    assert len(on_h100.log) == 1


def test_a_request_that_does_not_end_is_cancelled_and_its_gpu_is_free_again(engine):
    on_h100 = engine("h100-sxm")
    on_h100._limit_s = 3.0
    with pytest.raises(JudgeBug, match="3 times"):
        judge(on_h100, HANGS, rungs=RUNGS[1:])
    on_h100._limit_s = 300.0
    assert judge(on_h100, rungs=RUNGS[:1]).verdict == "passed"


def test_a_lost_worker_is_our_failure_and_the_request_is_served_again(engine):
    on_h100 = engine("h100-sxm")
    judge(on_h100, rungs=RUNGS[:1])
    worker = on_h100.log[-1]["worker"]
    with ThreadPoolExecutor(1) as asker:
        waiting = asker.submit(judge, on_h100, rungs=RUNGS)
        time.sleep(1.0)
        os.kill(worker, signal.SIGKILL)
        assert waiting.result().verdict == "passed"
    assert len(on_h100.lost) == 1


def test_nodes_that_differ_are_refused_with_both_versions(engine, cluster, monkeypatch):
    """What a node has installed is made up here by a variable of its environment: all nodes share this disk."""
    monkeypatch.setattr(ray_task, "_version", lambda name: os.environ.get("MADE_UP_VERSION", "1.0"))
    other = cluster.add_node(
        num_cpus=1, num_gpus=1, resources={"gpu:h100-sxm": 1}, env_vars={"MADE_UP_VERSION": "2.0"}, **NODE
    )
    cluster.wait_for_nodes()
    with pytest.raises(MachineError, match=r"differs|install the same") as refused:
        engine("h100-sxm")
    assert "1.0" in str(refused.value) and "2.0" in str(refused.value)
    cluster.remove_node(other)


def test_versions_that_differ_are_told_apart():
    mine, theirs = dict.fromkeys(ray_task.COMPARED, "1"), {**dict.fromkeys(ray_task.COMPARED, "1"), "torch": "2"}
    assert ray_task.differences(mine, mine) == ""
    assert ray_task.differences(mine, theirs) == "torch 2 against 1"


def test_what_a_lost_node_had_begun_is_done_elsewhere(engine, cluster):
    """Last: it adds a node and takes one away."""
    second = cluster.add_node(num_cpus=3, num_gpus=2, resources={"gpu:h100-sxm": 2}, **NODE)
    cluster.wait_for_nodes()
    on_h100 = engine("h100-sxm")
    with ThreadPoolExecutor(4) as askers:
        waiting = [askers.submit(judge, on_h100, rungs=RUNGS) for _ in range(4)]
        time.sleep(3.0)
        cluster.remove_node(cluster.h100, allow_graceful=False)
        verdicts = [one.result().verdict for one in waiting]
    assert verdicts == ["passed"] * 4
    assert any(served["node_id"] == second.node_id for served in on_h100.log)
