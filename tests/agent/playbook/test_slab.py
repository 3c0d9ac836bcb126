"""The Hopper slab: what goes into its product and where the results land, and whom it is offered to.

Limits: the product itself is emulated (emulated.py); the Gluon kernel is compiled in test_compiled.py and runs on a GPU
only.
"""

import math
from dataclasses import replace

import pytest

from agent.proposers.playbook.configuration import read_configuration
from agent.proposers.playbook.family import family_of, known_families
from evaluators.gpu_catalog import load_gpu

SLAB = "slab PRECISION={precision} PIXELS={pixels} POSITIONS=256 SLABS=2 STAGES=2"
SERVED = [  # paddings, a bias, channels that fill no chunk, two tiles of output channels, no batch dimension
    {"init": [4, 6, [2, 4, 3]], "options": {}, "x": [2, 4, 2, 3, 2]},
    {"init": [32, 16, [2, 3, 5]], "options": {"padding": [1, 1, 2], "bias": True}, "x": [2, 32, 3, 4, 7]},
    {"init": [20, 70, [3, 1, 2]], "options": {"bias": True}, "x": [1, 20, 2, 3, 9], "strided": True},
    {"init": [48, 24, [1, 2, 3]], "options": {"padding": [0, 1, 0]}, "x": [48, 3, 2, 6]},
]
WINOGRAD = [  # even and odd depths, paddings, a bias, channels that fill no chunk, two tiles of output channels
    {"init": [4, 6, [3, 4, 3]], "options": {}, "x": [2, 4, 2, 3, 2]},
    {"init": [32, 16, [3, 3, 5]], "options": {"padding": [1, 1, 2], "bias": True}, "x": [2, 32, 3, 4, 7]},
    {"init": [20, 70, [3, 1, 2]], "options": {"padding": [2, 0, 0]}, "x": [1, 20, 5, 3, 9], "strided": True},
]
ELSEWHERE = [
    {"init": [6, 4, [3, 2, 3]], "options": {"stride": 2, "padding": 1, "dilation": 2}, "x": [1, 6, 2, 3, 2]},
    {"init": [4, 6, [2, 1, 4]], "options": {"padding": [0, 1, 2], "groups": 2}, "x": [1, 4, 2, 3, 2]},
    {"init": [4, 6, 3], "options": {"bias": True}, "x": [1, 4, 2, 3, 2], "dtype": "float16"},
]


def test_rounded_operands_keep_the_error_of_tf32(interpret, emit):
    kernels = [emit(SLAB.format(precision="half", pixels=pixels)) for pixels in (1, 2, 4)]
    for answer in interpret([*kernels, emit(SLAB.format(precision="tf32", pixels=1))], SERVED):
        assert answer["same_shape"] and answer["contiguous"] and answer["finite"], answer
        assert 1e-4 < answer["error"] < 3.6e-4, answer


def test_winograd_sums_keep_the_error_of_tf32_at_every_scale(interpret, emit):
    cases = [dict(case, scale=scale) for case, scale in zip(WINOGRAD, (1.0, 1e5, 1e-5), strict=True)]
    for answer in interpret([emit("slab_winograd POSITIONS=256 SLABS=2 STAGES=2")], cases):
        assert answer["same_shape"] and answer["contiguous"] and answer["finite"], answer
        assert 1e-4 < answer["error"] < 4.5e-4, answer
    for answer in interpret([emit("slab_winograd POSITIONS=256 SLABS=2 STAGES=2")], [SERVED[3], *ELSEWHERE[:2]]):
        assert answer["same_shape"] and answer["error"] < 4e-7, answer


@pytest.mark.parametrize("scale", [1e5, 1e-5])
def test_the_scale_of_half_precision_follows_the_data(interpret, emit, scale):
    half, split = (emit(SLAB.format(precision=precision, pixels=1)) for precision in ("half", "split"))
    rounded, exact = interpret([half, split], [dict(SERVED[0], scale=scale)])
    assert 1e-4 < rounded["error"] < 3.6e-4, rounded
    assert exact["error"] < 2e-7, exact


def test_split_operands_lose_no_more_than_fp32(interpret, emit):
    for answer in interpret([emit(SLAB.format(precision="split", pixels=1))], SERVED):
        assert answer["same_shape"] and answer["error"] < 2e-7, answer


@pytest.mark.parametrize(("precision", "pixels", "most"), [("half", 4, 4.5e-4), ("split", 1, 2e-7)])
def test_a_small_batch_item_loses_nothing_to_a_large_one(interpret, emit, precision, pixels, most):
    cases = [dict(case, options={}, steep=True) for case in SERVED[:3]]  # no bias: it would hide them
    for answer in interpret([emit(SLAB.format(precision=precision, pixels=pixels))], cases):
        assert answer["same_shape"] and answer["error"] < most, answer


def test_a_large_element_costs_the_others_of_its_item_nothing(interpret, emit):
    cases = [dict(SERVED[0], x=[1, 4, 5, 6, 7], spike=True), dict(SERVED[3], x=[48, 4, 5, 9], spike=True)]
    for answer in interpret([emit(SLAB.format(precision="split", pixels=1))], cases):
        assert answer["far"] > 50 and answer["error"] < 2e-7, answer


def test_other_geometries_are_served_by_the_direct_kernel(interpret, emit):
    for answer in interpret([emit(SLAB.format(precision="half", pixels=2))], ELSEWHERE):
        assert answer["same_shape"] and answer["error"] < (5e-4 if "dtype" in answer["case"] else 4e-7), answer


@pytest.mark.parametrize("gpu", ["t4", "a100", "4090", "b200", "5090"])
def test_no_other_architecture_is_offered_a_slab(search, gpu):
    situation = replace(search.situation(), gpu=load_gpu(gpu))
    assert "Hopper" in slab().misfit(situation)


def test_a_misfit_says_why(search):
    situation = replace(search.situation(), gpu=load_gpu("h200"))
    reasons = {
        "stride": {"stride": (2, 1, 1)},
        "one group": {"groups": 2},
        "fp32": {"dtype": "float16"},
        "padding": {"padding": (3, 0, 0)},
        "shared memory": {"source": (8, 8, 1000)},
    }
    assert slab().misfit(situation) == ""
    assert "three taps" in family_of(read_configuration("slab_winograd SLABS=1")).misfit(
        replace(situation, shape=replace(situation.shape, kernel=(5, 5, 5)))
    )
    for word, change in reasons.items():
        assert word in slab().misfit(replace(situation, shape=replace(situation.shape, **change)))


def test_the_first_configuration_follows_tolerance_and_channels(search):
    situation = replace(search.situation(), gpu=load_gpu("h200"))
    narrow = replace(situation, shape=replace(situation.shape, out_channels=16))
    exact = replace(situation, allowed_error=1e-6)
    assert "PRECISION=half PIXELS=1 POSITIONS=512" in str(slab().start(situation))
    assert "PRECISION=half PIXELS=4 POSITIONS=256" in str(slab().start(narrow))
    assert "PRECISION=split PIXELS=1 POSITIONS=256" in str(slab().start(exact))
    assert "PRECISION=tf32" in str(slab().start(replace(situation, too_coarse=frozenset({"half"}))))
    assert 1.5 < slab().cost(slab().start(situation), situation).bound_ms < 2.1  # measured 2.1 ms on an H200


def test_every_neighbour_can_be_built(search):
    situation = replace(search.situation(), gpu=load_gpu("h200"))
    start = slab().start(situation)
    neighbours = [c.change(start) for c in slab().choices if c.when(start, situation)]
    assert neighbours and start not in neighbours
    assert all(math.isfinite(slab().cost(neighbour, situation).bound_ms) for neighbour in neighbours)
    assert all(family_of(read_configuration(str(neighbour))) is slab() for neighbour in neighbours)
    assert {neighbour.number("SLABS") for neighbour in neighbours} == {1, 2}  # three do not fit beside the weights


def slab():
    return next(family for family in known_families() if family.name == "slab")
