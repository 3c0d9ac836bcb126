"""The estimate says what it is, adds launches up, and is silent where nothing can be counted."""

from dataclasses import replace

import pytest

from evaluators.compiled.bounds import Bound
from evaluators.compiled.ttir import AVERAGED, DATA_BRANCH
from evaluators.gpu_catalog import load_gpu
from evaluators.rungs import CapturedLaunch, Findings, OperatorCalls, Task, estimate

LAUNCH = CapturedLaunch(
    name="kernel",
    grid=(128, 1, 1),
    num_warps=4,
    num_stages=1,
    shared_memory_bytes=0,
    config={},
    arguments={},
    pointer_bytes={},
    cubin=b"",
    ttir="module {}",
)


@pytest.fixture
def bounded(monkeypatch):
    """Launches whose bound is written in their name: `memory=2,fp32=1`."""

    def bound(launch, gpu):
        parts = dict(part.split("=") for part in launch.name.split(","))
        return Bound({name: float(value) for name, value in parts.items()}, {"integer": 60.0, "fp32": 40.0})

    monkeypatch.setattr(estimate, "bound", bound)


def test_without_triton_ir_it_is_not_checked():
    task = Task(None, None, load_gpu("4090"), None, None, Findings(launches=(replace(LAUNCH, ttir=""),)))
    found = estimate.check(task)
    assert found.estimate is None
    assert [(check.name, check.status) for check in found.checks] == [("estimate", "not_checked")]
    assert found.checks[0].detail


def test_the_largest_component_of_each_launch_adds_up(bounded):
    launches = [replace(LAUNCH, name="memory=2,fp32=1", launches=3), replace(LAUNCH, name="memory=1,fp32=5")]
    found = estimate.estimate_of(launches, load_gpu("4090"))
    assert found.value_ms == 3 * 2 + 5
    assert found.components_ms == {"memory": 7, "fp32": 8}
    assert found.limiter == "memory in memory=2,fp32=1"


def test_a_bound_that_left_work_out_is_no_result(monkeypatch):
    notes = {"whole": (), "averaged": (f"{AVERAGED} 33 of 64 programs",), "partial": ("a while loop",)}
    monkeypatch.setattr(estimate, "bound", lambda launch, gpu: Bound({"memory": 1.0}, {}, notes[launch.name]))

    def status(name):
        launches = (replace(LAUNCH, name=name),)
        found = estimate.check(Task(None, None, load_gpu("4090"), None, None, found=Findings(launches=launches)))
        return found.checks[0].status, found.estimate.assumptions[-1], found.estimate.left_out

    assert status("whole")[0] == "passed"
    assert status("averaged") == ("passed", "work averaged over 33 of 64 programs", ())
    assert status("partial")[::2] == ("not_checked", ("a while loop",))


@pytest.mark.parametrize(("most_ms", "left_out"), [(1.1, ()), (9.0, (DATA_BRANCH,)), (None, (DATA_BRANCH,))])
def test_a_branch_on_data_counts_where_its_dearer_side_may_be_large(monkeypatch, most_ms, left_out):
    """A kernel that mends a rare range must not hide the bound of the others; one that hides its work there must."""
    bounds = {"main": Bound({"memory": 2.0}, {}), "mend": Bound({"memory": 0.1}, {}, (DATA_BRANCH,), most_ms)}
    monkeypatch.setattr(estimate, "bound", lambda launch, gpu: bounds[launch.name])
    found = estimate.estimate_of([replace(LAUNCH, name=name) for name in bounds], load_gpu("4090"))
    assert (found.value_ms, found.left_out) == (2.1, left_out)
    assert ("adds at most" in found.assumptions[-1]) == (left_out == ())


def test_of_autotuned_configurations_the_least_bound_counts(bounded):
    launches = [
        replace(LAUNCH, name="memory=2", tuned_group=0, launches=2),
        replace(LAUNCH, name="memory=9", tuned_group=0, launches=2),
        replace(LAUNCH, name="memory=1", tuned_group=1),
    ]
    assert estimate.estimate_of(launches, load_gpu("4090")).value_ms == 2 * 2 + 1


def test_operators_between_the_kernels_cost_their_traffic(bounded):
    operators = [OperatorCalls("clone", 1, 1008 * 10**6)]
    found = estimate.estimate_of([replace(LAUNCH, name="memory=2")], load_gpu("4090"), operators)
    assert found.value_ms == 3
    assert found.components_ms["PyTorch operators"] == 1


def test_it_never_claims_to_be_measured(bounded):
    found = estimate.estimate_of([replace(LAUNCH, name="instruction issue=2,memory=1")], load_gpu("4090"))
    assert (found.kind, found.calibrated, found.target) == ("lower_bound", False, "sm_89")
    assert found.toolchain.startswith("triton ")
    assert found.assumptions and found.unmodelled
    assert "60 % integer" in found.limiter
