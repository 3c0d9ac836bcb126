"""Samples of a candidate's time until the median is known well enough, each one verified, two clocks side by side.

A figure from device events inside the candidate's process counts only where the judge's own clock, less the protocol's
cost, says the same. The lower quintiles are compared: a busy machine makes work seem longer, never shorter. Where they
differ by no more than that cost drifts, the clock that says more counts; beyond that neither does.
Limits: one candidate; work that hides less than `_SLACK` of the time or `_SLACK_MS` of a batch, three times that where
batches scatter, is not seen, nor what another stream does while the cache is overwritten.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from statistics import median
from typing import Any, Literal

import numpy as np

from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.medians import standard_error_ms
from evaluators.judge.device.protocol import Protocol, protocol_of
from evaluators.judge.verdicts import Wrong
from evaluators.measurement import Latency

SHORT_MS = 6.0  # a batch should take that long: candidates' costs differ from the calibrated one by up to 0.4 ms
RELATIVE_ERROR = 0.01  # of the median that counts, at which sampling stops
LEAST_SAMPLES, MOST_SAMPLES = 7, 60
BUDGET_S = 3.0
CALL_LIMIT_S = 20.0  # of a batch; everything is compiled by then
_SLACK = 0.1  # of the time, by which the two clocks may differ
_SLACK_MS = 0.25  # per batch; up to twice as much again where batches scatter
_CONFIRMING = 0.25  # of that difference, what the judge's own median may be off by
_DRIFT = 0.08  # of the protocol's cost: 7.0 to 7.6 ms within seconds, in batches that leave the card idle (one H100)
_TOO_SHORT = 4  # times as many calls make a batch worth sampling anew
_STRICT_EVERY = 4
_LEAK_BYTES = 512 << 20
_SLOW_CLOCK = 0.8  # of the highest clock seen: a sample taken below was throttled


@dataclass
class Samples:
    """What was taken: times of one call in ms by both clocks, the SM clock after each, what slowed it."""

    protocol: Protocol
    calls: int
    inside_ms: list[float] = field(default_factory=list)
    outside_ms: list[float] = field(default_factory=list)
    clock_mhz: list[int | None] = field(default_factory=list)
    slowed: list[bool] = field(default_factory=list)
    host_ms: list[float] = field(default_factory=list)
    verified: int = 0
    precision: Literal["fp32", "tf32"] = "fp32"

    def add(self, seconds: float, inside_ms: Sequence[float]) -> None:
        """One batch."""
        self.outside_ms.append((1e3 * seconds - self.protocol.cost_ms) / self.calls)
        self.inside_ms.append(sum(inside_ms) / self.calls if len(inside_ms) == self.calls else float("nan"))

    @property
    def kept(self) -> list[int]:
        """Samples that were not throttled."""
        top = max((mhz for mhz in self.clock_mhz if mhz), default=0)
        slow = [
            was or bool(mhz and mhz < _SLOW_CLOCK * top) for was, mhz in zip(self.slowed, self.clock_mhz, strict=True)
        ]
        return [i for i, was_slow in enumerate(slow) if not was_slow]

    def latency(self, values: Sequence[float]) -> Latency:
        """The distribution of the samples kept (of all, where none was)."""
        chosen = [values[i] for i in self.kept] or list(values)
        low, middle, high = np.percentile(chosen, [20, 50, 80])
        return Latency(
            median_ms=float(middle),
            p20_ms=float(low),
            p80_ms=float(high),
            samples=len(chosen),
            throttled=len(values) - len(self.kept),
        )

    def is_known(self) -> bool:
        """Whether the median that counts is known well enough, and the judge's so well that it may confirm another."""
        if len(self.kept) < LEAST_SAMPLES:
            return False
        believed = self.believed_ms
        known = self._error_ms(believed) < RELATIVE_ERROR * abs(median(believed[i] for i in self.kept))
        return known and self._error_ms(self.outside_ms) < _CONFIRMING * self._slack_ms

    def _error_ms(self, values: Sequence[float]) -> float:
        """Standard error of the median of the samples kept."""
        return standard_error_ms([values[i] for i in self.kept])

    @property
    def is_corroborated(self) -> bool:
        """Whether the judge's clock says what the device events say."""
        return self._difference_ms <= self._slack_ms  # a NaN compares false

    @property
    def believed_ms(self) -> Sequence[float]:
        """The clock that counts: device events where they are corroborated, else the one that says more."""
        if self.is_corroborated:
            return self.inside_ms
        return max(self.inside_ms, self.outside_ms, key=median)

    def contradiction(self) -> str:
        """How the clocks differ, in words; empty where that may be the protocol's cost, which drifts with the card."""
        if self._difference_ms <= self._slack_ms + _DRIFT * self.protocol.cost_ms / self.calls:
            return ""
        inside, outside = median(self.inside_ms), median(self.outside_ms)
        return (
            f"device events in the candidate's process say {inside:.4g} ms a call, the judge's clock {outside:.4g} ms "
            f"(less {self.protocol.cost_ms:.3g} ms of protocol for {self.calls} call(s)): the work is not where the "
            "events are; forward must issue all its work on the current stream before it returns"
        )

    @property
    def _difference_ms(self) -> float:
        return abs(self._quiet_outside_ms - self._quiet_ms(self.inside_ms))

    @property
    def _slack_ms(self) -> float:
        longer = max(self._quiet_outside_ms, self._quiet_ms(self.inside_ms))
        return max(_SLACK * longer, (_SLACK_MS + 2 * min(self.protocol.spread_ms, _SLACK_MS)) / self.calls)

    @property
    def _quiet_outside_ms(self) -> float:
        """A quiet batch by the judge's clock, less what a quiet batch of the reference costs; ms a call."""
        beyond_quiet = self.protocol.cost_ms - self.protocol.quiet_ms
        return self._quiet_ms(self.outside_ms) + beyond_quiet / self.calls

    def _quiet_ms(self, values: Sequence[float]) -> float:
        """The lower quintile of the samples kept: no lie in the other four moves it, no median is below it."""
        return float(np.percentile([values[i] for i in self.kept] or values, 20))


def take(bench: Bench, seat: Seat) -> Samples:
    """Sample one seated candidate. Raises Wrong where a timed call is wrong."""
    seat.talk.call_limit_s = CALL_LIMIT_S
    calls = calls_for(bench, _latency_ms(bench, seat))
    samples = _sampled(bench, seat, calls)
    longer = calls_for(bench, samples.latency(samples.believed_ms).median_ms)
    # slow in the first calls only: of a batch that short too little would be seen
    return samples if longer < _TOO_SHORT * calls else _sampled(bench, seat, longer)


def _sampled(bench: Bench, seat: Seat, calls: int) -> Samples:
    samples = Samples(protocol_of(bench, calls), calls)
    deadline = time.monotonic() + BUDGET_S
    one(bench, seat, samples, [bench.published.draw() for _ in range(calls)])
    free_bytes = bench.card.free_bytes
    while len(samples.outside_ms) < MOST_SAMPLES and not samples.is_known():
        if time.monotonic() > deadline and len(samples.outside_ms) >= LEAST_SAMPLES:
            break
        one(bench, seat, samples, [bench.published.draw() for _ in range(calls)])
    _require_no_leak(bench, free_bytes, calls * (len(samples.outside_ms) - 1))
    return samples


def one(bench: Bench, seat: Seat, samples: Samples, sets: Sequence[Sequence[Any]]) -> None:
    """One batch: timed, then verified, every fourth one (and the first) against float64."""
    fired = seat.timed(sets)
    clocks = bench.card.clocks()
    samples.clock_mhz.append(clocks.sm_mhz)
    samples.slowed.append(bool(clocks.slowed_by))
    samples.add(fired.seconds, fired.inside_ms)
    samples.host_ms += fired.host_ms
    strict = len(samples.outside_ms) % _STRICT_EVERY == 1
    for number, (inputs, outputs) in enumerate(zip(sets, fired.outputs, strict=True)):
        held = bench.published.verify(inputs, outputs, strictly=strict and number == 0, said=" (a timed call)")
        samples.precision = "tf32" if held and held.precision == "tf32" else samples.precision
        samples.verified += 1


def _require_no_leak(bench: Bench, free_before: int, calls: int) -> None:
    """Memory that grows with the number of calls is kept results or a leak; either ends a night's run."""
    output_bytes = sum(output.numel() * output.element_size() for output in bench.published.outputs)
    grown = free_before - bench.card.free_bytes
    if grown > max(_LEAK_BYTES, output_bytes * calls // 2):
        said = f"{grown / 2**20:.0f} MiB of device memory are gone after {calls} calls; forward must keep nothing"
        raise Wrong("memory", "out_of_memory", said)


def _latency_ms(bench: Bench, seat: Seat) -> float:
    """About how long one call takes, by the judge's clock."""
    protocol = protocol_of(bench, 1)
    return min(1e3 * seat.timed([bench.published.draw()]).seconds - protocol.cost_ms for _ in range(3))


def calls_for(bench: Bench, latency_ms: float) -> int:
    """How many calls make a batch long enough to be timed from outside: a power of two, as each is calibrated anew."""
    wanted = 1 << max(0, ceil(log2(SHORT_MS / max(0.01, latency_ms))))
    return min(wanted, 1 << (bench.most_sets.bit_length() - 1))
