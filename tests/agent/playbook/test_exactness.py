"""How exact the playbook's kernels are, once a judge has said how exact they must be."""

from contextlib import suppress

import pytest

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.configuration import Configuration, read_configuration
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.compare import Comparison
from evaluators.judge.device.published import WHERE
from evaluators.judge.verdicts import wrong_values
from evaluators.measurement import Baselines
from evaluators.problem import Problem, Tolerance

STAGES = ("algorithm", "tiling", "memory", "tuning", "grid")


def refusal(error: float, allowed: float) -> str:
    """What the judge on a device writes of a kernel whose products are too coarse."""
    comparison = Comparison(error, allowed, 1.6e-7, 5_000_000, passed=False, worst_index=(0, 1, 2, 3), expected=8.0)
    return wrong_values(f"{WHERE}, batch item 3", comparison, "")


def is_coarse(configuration: Configuration) -> bool:
    return configuration.word("PRECISION") in ("half", "tf32") or configuration.family == "slab_winograd"


@pytest.mark.parametrize("workload", ["61", "68", "73", "77"])
@pytest.mark.parametrize("gpu", ["h100", "4090"])
def test_a_reference_in_fp32_is_answered_with_split_products_at_once_and_for_good(search, workload, gpu):
    """Seen on an H100: cuDNN's own error was 1.6e-7 on two of ten drawn geometries although TF32 is allowed."""
    search.workload, search.gpu = workload, load_gpu(gpu)
    coarse, _ = search.propose()
    while not is_coarse(coarse):
        search.keep(coarse)
        coarse, _ = search.propose()
    search.fail(coarse, "incorrect_numerical", refusal(2.7e-4, 1.3e-6))
    exact, plan = search.propose()
    assert exact.word("PRECISION") == "split"
    assert "the judge allowed 1.3e-06, so its reference computes in fp32 although TF32 is allowed: " in plan
    search.keep_measured(exact, 1.0)
    with suppress(NothingToPropose):
        for stage in STAGES:
            search.stage = stage
            later, plan = search.propose()
            assert not is_coarse(later), plan
            search.discard(later, measured_ms=1.1)
    assert len(search.history) > 4


def test_wrong_numbers_within_the_class_are_no_such_evidence(search):
    search.gpu = load_gpu("h100")
    window = read_configuration(
        "phase_window BLOCK_M=128 BLOCK_N=64 BLOCK_K=32 GROUP_M=1 PRECISION=half NUM_WARPS=4 NUM_STAGES=3 JOIN=width "
        "LEFT=weights PROMOTE=4 LOADS=pointers"
    )
    search.fail(window, "incorrect_numerical", refusal(0.9, 9e-4))
    assert search.propose()[0].word("PRECISION") == "tf32", "fp16 may have been too narrow"


def test_a_rounded_kernel_from_before_the_refusal_is_not_gone_on_from(search):
    """Kept where nobody could measure the reference, refused where somebody did."""
    search.workload, search.gpu = "73", load_gpu("h100")
    kept, _ = search.propose()
    search.keep(kept)
    search.discard(kept.having(NUM_STAGES=2))
    search.fail(kept.having(NUM_STAGES=4), "incorrect_numerical", refusal(2.7e-4, 1.3e-6))
    assert search.propose()[0].word("PRECISION") == "split"
    search.keep(kept)
    assert search.propose()[0].word("PRECISION") == "split", "the best so far would be refused"


@pytest.mark.parametrize("gpu", ["h100", "h200", "4090", "a100"])
def test_a_grouped_reference_is_never_answered_with_rounded_products(search, gpu):
    """72: cuDNN computes groups in fp32."""
    search.workload, search.gpu = "72", load_gpu(gpu)
    precisions = []
    for stage in STAGES:
        search.stage = stage
        configuration, _ = search.propose()
        precisions.append(configuration.word("PRECISION"))
        search.keep(configuration) if len(precisions) < 3 else search.discard(configuration)
    assert "split" in precisions and not {"half", "tf32"} & set(precisions)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "split"), ("tf32", "half")])
def test_the_measured_class_of_eager_decides(search, precision, expected):
    search.workload, search.gpu = "73", load_gpu("h100")
    direct = read_configuration("direct BLOCK_M=256 BLOCK_N=8 GROUP_M=1 NUM_WARPS=4")
    search.keep_measured(direct, 30.0)
    timing = search.base.evaluation.timing
    baselines = Baselines(device="an H100", precision=precision, measured=())
    timed = search.base.evaluation.model_copy(update={"timing": timing.model_copy(update={"baselines": baselines})})
    search.base = search.base.model_copy(update={"evaluation": timed})
    assert search.propose()[0].word("PRECISION") == expected
    asked = Problem(key="t", title="t", source=search.problem.source, tolerance=Tolerance(precision="tf32"))
    assert search.propose(problem=asked)[0].word("PRECISION") == "half", "who asks for TF32 gets it"
