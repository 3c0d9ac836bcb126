"""What follows a failure."""

import pytest

from agent.proposers.errors import NothingToPropose
from agent.proposers.playbook.configuration import Configuration, read_configuration

WINDOW = read_configuration(
    "phase_window BLOCK_M=128 BLOCK_N=64 BLOCK_K=32 GROUP_M=1 PRECISION=half NUM_WARPS=4 NUM_STAGES=3 JOIN=width "
    "LEFT=weights PROMOTE=4 LOADS=pointers"
)
LATTICE = Configuration("dilation_lattice", WINDOW.knobs)
DIRECT = read_configuration("direct BLOCK_M=256 BLOCK_N=8 GROUP_M=1 NUM_WARPS=4")


def test_out_of_resources_costs_a_stage_first(search):
    message = "OutOfResources: shared memory, Required: 147456, Hardware limit: 101376"
    search.fail(WINDOW, "compile_error", message)
    configuration, plan = search.propose()
    assert configuration == WINDOW.having(NUM_STAGES=2)
    assert "compile_error" in plan
    search.fail(configuration, "compile_error", message)
    assert search.propose()[0] == configuration.having(BLOCK_K=16)


def test_a_timeout_shrinks_the_tile_and_then_steps_back(search):
    smallest = DIRECT.having(BLOCK_M=32, BLOCK_N=16)
    search.fail(smallest, "timeout")
    with pytest.raises(NothingToPropose, match="no kernel that the playbook has for this problem held"):
        for _ in range(30):
            configuration, _ = search.propose()
            search.fail(configuration, "timeout")


@pytest.mark.parametrize("kind", ["compile_error", "runtime_error", "crashed", "incorrect_shape", "rejected"])
def test_other_failures_step_back_to_a_plainer_family(search, kind):
    search.fail(LATTICE, kind, "something else")
    configuration, plan = search.propose()
    assert configuration.family == "phase_window"
    assert kind in plan


def test_a_family_found_wrong_is_not_stepped_back_to(search):
    search.fail(WINDOW, "incorrect_shape")
    search.fail(LATTICE, "crashed")
    assert search.propose()[0].family == "direct"


def test_wrong_numbers_blame_the_rounding_first_and_the_lesson_stays(search):
    search.keep(DIRECT)
    exact = WINDOW
    for precision in ("half", "tf32", "split"):
        assert exact.word("PRECISION") == precision
        search.fail(exact, "incorrect_numerical", "relative error 0.003, allowed 0.0009")
        exact, _ = search.propose()
    assert exact.word("PRECISION") == "tf32x3"
    search.keep(exact)
    search.stage = "algorithm"
    later = []
    for _ in range(6):
        configuration, _ = search.propose()
        later.append(configuration)
        search.discard(configuration)
    assert {configuration.word("PRECISION", "ieee") for configuration in later} <= {"ieee", "tf32x3"}


def test_a_rounding_that_was_right_elsewhere_is_not_blamed(search):
    search.keep(WINDOW)
    search.fail(LATTICE, "incorrect_numerical")
    search.propose()
    search.role = "optimize"
    search.keep(WINDOW.having(NUM_WARPS=8))
    search.stage = "tuning"
    assert search.propose()[0].word("PRECISION") in {"half", "tf32"}


def test_without_a_remedy_the_search_goes_on_from_the_best(search):
    search.keep(WINDOW)
    search.discard(DIRECT)
    search.fail(DIRECT.having(GROUP_M=8), "incorrect_shape")
    configuration, _ = search.propose()
    assert configuration.family == "phase_window", "a neighbour of the best"


def test_code_of_others_that_failed_is_answered_with_an_own_kernel(search):
    from evaluators.evaluation import Failed
    from prompts.context import Base

    failed = Failed(candidate_id="c", problem="t", gpu="g", rung="build", kind="compile_error", message="x")
    search.base, search.role = Base(number=0, source="import torch\n", evaluation=failed), "repair"
    assert search.propose()[0].family == "direct"
