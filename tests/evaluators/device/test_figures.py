"""What is made of samples once they are taken: no GPU needed."""

import random
from dataclasses import replace
from itertools import repeat

import pytest

from evaluators.floor import floor_of
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.batch import Fired
from evaluators.judge.device.card import Clocks
from evaluators.judge.device.duel import duel_of, is_lost
from evaluators.judge.device.medians import half_interval_ms
from evaluators.judge.device.protocol import KNOWN_MS, LEAST_SAMPLES, MOST_SAMPLES, Protocol, until_known
from evaluators.judge.device.sampling import Samples, take
from evaluators.measurement import Baseline, Baselines, Latency
from evaluators.problem import ProblemFacts, TensorFact

COST = Protocol(cost_ms=2.5, error_ms=0.03, spread_ms=0.05, null_ms=2.2, quiet_ms=2.45)


def sampled(inside_ms, outside_ms, calls=1, *, clocks=None, jitter=0.01, noise_ms=0.0, cost=COST):
    """Twelve samples; `noise_ms`: of a batch, in what the judge's clock says."""
    rng = random.Random(3)
    samples = Samples(cost, calls)
    for number in range(12):
        shake = 1 + jitter * rng.uniform(-1, 1)
        noise = noise_ms * rng.uniform(-1, 1)
        samples.add((outside_ms * shake * calls + COST.cost_ms + noise) / 1e3, [inside_ms * shake] * calls)
        samples.clock_mhz.append(clocks[number] if clocks else 1980)
        samples.slowed.append(False)
    return samples


@pytest.mark.parametrize(("inside", "outside", "calls"), [(341, 341.6, 1), (5.72, 5.93, 1), (0.64, 0.67, 7)])
def test_clocks_that_agree_are_believed(inside, outside, calls):
    assert sampled(inside, outside, calls).contradiction() == ""


@pytest.mark.parametrize(
    ("inside", "outside", "calls"),
    [(0.05, 5.0, 1), (3.0, 5.0, 1), (50.0, 5.0, 1), (0.0064, 0.64, 7), (float("nan"), 5.0, 1)],
)
def test_hidden_or_invented_time_is_found(inside, outside, calls):
    said = sampled(inside, outside, calls).contradiction()
    assert "judge's clock" in said
    assert "current stream" in said


def test_a_list_of_the_wrong_length_is_no_time():
    samples = Samples(COST, 3)
    samples.add(0.01, [1.0])
    assert samples.contradiction()


def test_throttled_samples_are_dropped_and_counted():
    samples = sampled(5.0, 5.0, clocks=[1980] * 8 + [600] * 4)
    latency = samples.latency(samples.outside_ms)
    assert (latency.samples, latency.throttled) == (8, 4)
    assert latency.p20_ms <= latency.median_ms <= latency.p80_ms


def costs_ms(noise_ms):
    rng = random.Random(5)
    while True:
        yield 7.0 + rng.gauss(0, noise_ms)


def test_a_steady_cost_of_the_protocol_is_known_at_once():
    assert until_known(repeat(7.0)) == [7.0] * LEAST_SAMPLES


def test_a_cost_that_scatters_is_sampled_until_it_is_known():
    taken = until_known(costs_ms(0.12))
    assert LEAST_SAMPLES < len(taken) < MOST_SAMPLES
    assert half_interval_ms(taken) <= KNOWN_MS < half_interval_ms(taken[:-1])


def test_a_cost_that_is_never_known_ends_with_its_error_told():
    taken = until_known(costs_ms(3.0))
    assert len(taken) == MOST_SAMPLES
    assert half_interval_ms(taken) > KNOWN_MS


def test_sampling_goes_on_while_the_median_is_unsure():
    assert sampled(5.0, 5.0, jitter=0.001).is_known()
    assert not sampled(5.0, 5.0, jitter=0.5).is_known()


def test_noise_of_the_judges_clock_is_no_reason_to_go_on_where_events_are_steady():
    """Half a millisecond a batch: 8 % of what the clock says of four calls, far more than their events scatter."""
    steady = sampled(1.5, 1.52, calls=4, jitter=0.001, noise_ms=0.5)
    assert steady.is_corroborated
    assert steady.is_known()
    assert not sampled(1.5, 1.9, calls=4, jitter=0.001, noise_ms=0.5).is_known(), "the judge's clock is what counts"
    assert not sampled(1.5, 1.52, calls=4, jitter=0.001, noise_ms=3.0).is_known(), "it cannot confirm anything"


def test_a_duel_is_won_only_where_the_whole_interval_says_so():
    rng = random.Random(1)
    faster = duel_of([0.9 * (1 + rng.uniform(-0.02, 0.02)) for _ in range(12)], "a")
    assert faster.low < faster.ratio < faster.high < 1
    equal = duel_of([1 + rng.uniform(-0.03, 0.03) for _ in range(12)], "a")
    assert equal.low < 1 < equal.high


def facts(flop, moved):
    tensor = TensorFact(name="y", shape=(1,), dtype="float32")
    return ProblemFacts(
        inputs=(tensor,),
        parameters=(),
        outputs=(tensor,),
        init_args="",
        operator="conv_transpose3d",
        operators=("conv_transpose3d",),
        hyperparameters={},
        flop=flop,
        bytes_moved=moved,
        warnings=(),
    )


def test_the_floor_is_the_larger_of_bytes_and_flop_and_the_impossible_is_below_it():
    gpu = load_gpu("h200")
    memory = floor_of(facts(1, 48 * 10**9), gpu, "tf32")
    assert (memory.limiter, memory.ms) == ("memory", pytest.approx(10.0))
    work = floor_of(facts(10**12, 1), gpu, "tf32")
    assert work.limiter == "arithmetic"
    assert work.impossible_ms == pytest.approx(work.ms / 4)
    assert floor_of(facts(10**12, 1), gpu, "fp32").ms > work.ms
    assert memory.impossible_ms < memory.ms  # what stays in the L2 cache need not reach memory


def test_the_best_baseline_is_as_exact_as_the_class():
    def timed(name, ms, precision):
        return Baseline(
            name=name, latency=Latency(median_ms=ms, p20_ms=ms, p80_ms=ms, samples=9), error=1e-7, precision=precision
        )

    measured = (timed("eager", 4.0, "tf32"), timed("fp32_highest", 9.0, "fp32"), timed("bf16", 1.0, "bf16"))
    found = Baselines(device="x", precision="tf32", measured=(*measured, Baseline(name="compile", note="failed")))
    assert found.best("tf32").name == "eager"
    assert found.best("fp32").name == "fp32_highest"
    assert found.best("bf16").name == "bf16"


def test_where_the_protocols_drift_explains_the_difference_the_slower_clock_counts():
    samples = sampled(0.017, 0.047, calls=16)
    assert not samples.is_corroborated
    assert not samples.contradiction()
    assert samples.latency(samples.believed_ms).median_ms == pytest.approx(0.047, rel=0.05)
    assert sampled(0.017, 0.12, calls=16).contradiction()


def test_a_duel_is_given_up_early_only_where_it_is_lost():
    assert not is_lost([1.1, 1.2])
    assert is_lost([1.1, 1.2, 1.15, 1.12])
    assert not is_lost([1.1, 0.97, 1.02, 0.99])
    assert not is_lost([0.8, 0.81, 0.8, 0.82])


def batches(inside_ms, outside_ms, calls=1, cost=COST):
    """One batch for each pair, ms a call."""
    samples = Samples(cost, calls)
    for inside, outside in zip(inside_ms, outside_ms, strict=True):
        samples.add((outside * calls + cost.cost_ms) / 1e3, [inside] * calls)
        samples.clock_mhz.append(1980)
        samples.slowed.append(False)
    return samples


def test_a_machine_that_disturbs_most_batches_leaves_the_clocks_in_agreement():
    samples = batches([0.02] * 12, [0.02 if n % 3 == 0 else 0.2 for n in range(12)], calls=16)
    assert samples.is_corroborated
    assert samples.believed_ms is samples.inside_ms


def test_times_that_scatter_on_the_device_itself_are_believed():
    truth = [12.0, 10.0, 12.0, 10.0, 12.0] * 3
    assert batches(truth, truth).is_corroborated


@pytest.mark.parametrize(("calls", "took_ms", "claimed_ms", "delay_ms"), [(16, 0.2, 0.03, 2.5), (4, 2.0, 0.2, 20.0)])
def test_delaying_most_batches_widens_no_margin(calls, took_ms, claimed_ms, delay_ms):
    outside = [took_ms if n % 4 == 0 else took_ms + delay_ms for n in range(24)]
    assert batches([claimed_ms] * 24, outside, calls).contradiction()


@pytest.mark.parametrize("honest", [1, 2, 3])
def test_a_lie_told_in_most_batches_is_found_all_the_same(honest):
    assert batches([5.0] * honest + [3.0] * (12 - honest), [5.0] * 12).contradiction()


def test_batches_that_scatter_wildly_hide_no_more_than_three_times_as_much():
    wild = replace(COST, spread_ms=2.0)
    assert sampled(0.02, 0.06, calls=16, cost=wild).is_corroborated
    assert not sampled(0.02, 0.075, calls=16, cost=wild).is_corroborated


class Idler:
    """A seat of 0.02 ms a call that idles while the judge looks how long a call takes; also what `take` asks a bench."""

    def __init__(self):
        self.card = self.published = self.talk = self
        self.most_sets, self.free_bytes, self.call_limit_s, self.outputs = 16, 1 << 30, 0.0, []
        self.protocols = {calls: replace(COST, cost_ms=calls, quiet_ms=calls) for calls in (1, 2, 4, 8, 16)}
        self.asked = []

    def draw(self):
        return []

    def clocks(self):
        return Clocks(sm_mhz=1980)

    def verify(self, *_, **__):
        return None

    def timed(self, sets):
        self.asked.append(len(sets))
        idles_ms = 50.0 if len(self.asked) <= 3 else 0.0
        report = {"inside_ms": [0.02] * len(sets)}
        return Fired([[]] * len(sets), [[]] * len(sets), report, (len(sets) * 1.02 + idles_ms) / 1e3)


def test_a_candidate_that_seems_slow_at_first_is_timed_in_long_batches_after_all():
    seat = Idler()
    samples = take(seat, seat)
    assert set(seat.asked) == {1, 16}
    assert samples.calls == 16
    assert samples.is_corroborated
