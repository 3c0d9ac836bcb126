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
from evaluators.judge.device.sampling import FLUSHES, Samples, take
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


def test_a_machine_that_disturbs_most_batches_leaves_the_clocks_in_agreement():
    samples = Samples(COST, 16)
    for number in range(12):
        late_ms = 0.0 if number % 3 == 0 else 3.0
        samples.add((0.02 * 16 + COST.quiet_ms + late_ms) / 1e3, [0.02] * 16)
    assert samples.is_corroborated
    assert samples.believed_ms is samples.inside_ms


def test_a_lie_told_in_most_batches_is_found_all_the_same():
    samples = Samples(COST, 1)
    for number in range(12):
        samples.add((5.0 + COST.cost_ms) / 1e3, [5.0 if number % 3 == 0 else 3.0])
    assert samples.contradiction()


def test_batches_that_scatter_wildly_hide_no_more_than_half_a_millisecond():
    wild = replace(COST, spread_ms=2.0)
    assert sampled(0.02, 0.045, calls=16, cost=wild).is_corroborated
    assert not sampled(0.02, 0.06, calls=16, cost=wild).is_corroborated


class LateHost:
    """A seat whose host needs longer for a call than the device, unless there are more writes before each.

    `hides_ms`: work of each call that its events do not show. As far as sampling asks a bench, this is one, too.
    """

    def __init__(self, host_ms, hides_ms=0.0):
        self.host_ms, self.hides_ms = host_ms, hides_ms
        self.card = self.published = self.talk = self
        self.most_sets, self.free_bytes, self.call_limit_s, self.outputs = 16, 1 << 30, 0.0, []
        self.protocols = {
            (calls, flushes): Protocol(0.35 * calls * flushes + 1, 0.03, 0.02, 1.0, 0.35 * calls * flushes + 1, flushes)
            for calls in (1, 16)
            for flushes in FLUSHES
        }
        self.asked = []

    def draw(self):
        return []

    def clocks(self):
        return Clocks(sm_mhz=1980)

    def verify(self, *_, **__):
        return None

    def timed(self, sets, *, flushes=1):
        self.asked.append((len(sets), flushes))
        device_ms = 0.35 * flushes + 0.02 + self.hides_ms
        seconds = (1 + len(sets) * max(device_ms, self.host_ms)) / 1e3
        report = {"inside_ms": [0.02] * len(sets), "host_ms": [self.host_ms] * len(sets)}
        return Fired([[]] * len(sets), [[]] * len(sets), report, seconds)


def test_a_host_that_is_late_is_given_more_time_and_the_events_are_believed():
    seat = LateHost(host_ms=0.5)
    samples = take(seat, seat)
    assert samples.is_corroborated
    assert samples.protocol.flushes == FLUSHES[-1]
    assert samples.latency(samples.believed_ms).median_ms == pytest.approx(0.02)


def test_a_host_in_time_is_asked_no_more_than_before():
    seat = LateHost(host_ms=0.2)
    samples = take(seat, seat)
    assert samples.is_corroborated
    assert {flushes for _, flushes in seat.asked} == {1}


def test_work_that_hides_is_found_however_much_time_the_host_has():
    seat = LateHost(host_ms=0.2, hides_ms=0.3)
    samples = take(seat, seat)
    assert {flushes for _, flushes in seat.asked} == set(FLUSHES)
    assert samples.contradiction()
