"""Where a measured kernel stands, and when nothing is left to win. All figures are made up."""

import pytest

from evaluators.evaluation import Passed
from evaluators.measurement import Latency, Metric, Profile, Timing
from evaluators.problem import ProblemFacts
from evaluators.roofline import at_floor, position_of

FACTS = ProblemFacts(inputs=(), parameters=(), outputs=(), init_args="", operator="x", flop=10**12, bytes_moved=10**9)


def timing(median_ms, **more):
    latency = Latency(median_ms=median_ms, p20_ms=median_ms, p80_ms=median_ms, samples=20)
    fields = {
        "device": "a GPU",
        "is_target": True,
        "latency": latency,
        "clock": "device events",
        "outside": latency,
        "protocol_ms": 0.2,
        "protocol_spread_ms": 0.01,
        "verified_calls": 20,
        "floor_ms": 2.0,
        "floor_limiter": "arithmetic",
        "precision": "tf32",
    }
    return Timing(**{**fields, **more})


def profile(**kernels):
    names = ("dram__bytes.sum", "gpu__time_duration.sum")
    listed = [(k, name, value) for k, values in kernels.items() for name, value in zip(names, values, strict=False)]
    metrics = tuple(Metric(kernel=k, name=name, value=value, unit="", source="ncu") for k, name, value in listed)
    return Profile(source="ncu", device="a GPU", metrics=metrics)


def test_rates_of_the_useful_work():
    position = position_of(FACTS, timing(4.0))
    assert position.flop_per_byte == 1000
    assert position.useful_tflop_s == pytest.approx(250)
    assert position.useful_gb_s == pytest.approx(250)
    assert position.dram_gb_s is None
    assert position_of(FACTS.model_copy(update={"flop": None}), timing(4.0)).useful_tflop_s is None


def test_what_dram_moved_counts_all_kernels_or_none():
    position = position_of(FACTS, timing(4.0), profile(repack=(5e8, 1e6), conv=(1e9, 2e6)))
    assert position.dram_traffic_ratio == pytest.approx(1.5)
    assert position.dram_gb_s == pytest.approx(500)
    assert position_of(FACTS, timing(4.0), profile(repack=(), conv=(1e9,))).dram_gb_s is None
    assert position_of(FACTS, timing(4.0), profile(conv=(1e9,))).dram_traffic_ratio == pytest.approx(1.0)


def test_at_the_floor_on_the_target_only():
    def judged(**fields):
        return Passed(candidate_id="c", problem="p", gpu="g", timing=timing(**fields))

    assert "98 % of it is reached" in at_floor(judged(median_ms=2.05))
    assert not at_floor(judged(median_ms=2.2))
    assert not at_floor(judged(median_ms=2.05, is_target=False))
    assert not at_floor(None)
