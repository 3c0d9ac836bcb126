"""What was measured on a device: latencies by the judge's clock, baselines, the duel with the incumbent, metrics.

Every figure here is `measured`. `Timing.device` names the GPU it was taken on, which need not be the target.
Limits: values only; they are taken in evaluators/judge/device/ and evaluators/rungs/{timing,profile}.py.
"""

from typing import Literal

from evaluators.frozen import Frozen

PrecisionClass = Literal["fp32", "tf32", "bf16", "worse"]
MetricSource = Literal["ncu", "cupti"]
DURATION = "gpu__time_duration.sum"  # ns
DRAM_BYTES = "dram__bytes.sum"
MAIN_SHARE = 0.1  # of the time of a call: below it a kernel (a fill, a repack) opens or shuts no stage


class Latency(Frozen):
    """Distribution of one call's time in ms; `samples` were kept, `throttled` dropped because the clock was lowered."""

    median_ms: float
    p20_ms: float
    p80_ms: float
    samples: int
    throttled: int = 0


class Baseline(Frozen):
    """One setting of the library on the reference; `error` is relative to float64. No latency: `note` says why."""

    name: str  # eager | fp32_highest | cudnn_benchmark | channels_last_3d | compile | compile_max_autotune | bf16
    latency: Latency | None = None
    error: float | None = None
    precision: PrecisionClass | None = None
    note: str = ""


class Baselines(Frozen):
    """All baselines of one problem on one device, in one environment; `precision` is eager's class at its defaults."""

    device: str
    precision: PrecisionClass
    measured: tuple[Baseline, ...]

    @property
    def eager(self) -> Baseline | None:
        """The reference as a user would run it."""
        return next((baseline for baseline in self.measured if baseline.name == "eager"), None)

    def best(self, precision: str) -> Baseline | None:
        """The fastest baseline that is at least as exact as this class."""
        exact = {"fp32": ("fp32",), "tf32": ("fp32", "tf32")}.get(precision, ("fp32", "tf32", "bf16"))
        timed = [b for b in self.measured if b.latency is not None and b.precision in exact]
        return min(timed, key=lambda b: b.latency.median_ms if b.latency else 0.0, default=None)


class Timing(Frozen):
    """How fast a candidate is. `latency` is what counts: from device events where the judge's clock corroborates them.

    outside: the judge's clock from go to the output copied, less `protocol_ms` (the trusted reference through the same
    protocol, known to +- `protocol_error_ms`, batches scatter by +- `protocol_spread_ms`). floor_ms: what the problem's
    FLOP and bytes need at the vendor's rates of this device. calls_per_sample: short kernels are timed in verified
    batches.
    """

    device: str
    is_target: bool
    latency: Latency
    clock: Literal["device events", "judge's clock"]
    outside: Latency
    inside: Latency | None = None
    protocol_ms: float
    protocol_spread_ms: float
    calls_per_sample: int = 1
    verified_calls: int
    floor_ms: float
    floor_limiter: Literal["memory", "arithmetic"]
    precision: PrecisionClass
    baselines: Baselines | None = None
    protocol_error_ms: float | None = None  # half the 95 % interval of the median; None: not recorded then
    null_protocol_ms: float | None = None  # the same cost by a null candidate, which does no work
    host_ms: float | None = None  # until forward returns, by its own process's clock: a claim, informs only
    build_s: float | None = None  # Triton: the first call, which compiles; CUDA: compilers and linker

    @property
    def speedup_over_eager(self) -> float | None:
        """Against the reference at its default settings."""
        return self._over(self.baselines.eager if self.baselines else None)

    @property
    def best_baseline(self) -> Baseline | None:
        """The fastest setting of the library in the candidate's own precision class."""
        return self.baselines.best(self.precision) if self.baselines else None

    @property
    def speedup_over_best(self) -> float | None:
        """Against the best setting of the library in the same precision class."""
        return self._over(self.best_baseline)

    @property
    def floor_share_pct(self) -> float:
        """How close to the physical floor: 100 is the floor itself."""
        return 100 * self.floor_ms / self.latency.median_ms

    def _over(self, baseline: Baseline | None) -> float | None:
        return baseline.latency.median_ms / self.latency.median_ms if baseline and baseline.latency else None


class Duel(Frozen):
    """Challenger against incumbent, interleaved ABBA: ratio of their times with its bootstrap interval of 95 %.

    ratio < 1: the challenger is faster. It is faster beyond doubt where `high` < 1.
    """

    incumbent_id: str
    ratio: float
    low: float
    high: float
    pairs: int


class Metric(Frozen):
    """One profiler figure of one kernel."""

    kernel: str
    name: str  # Nsight Compute's own name, or gpu__time_duration.sum from CUPTI
    value: float
    unit: str
    source: MetricSource


class Profile(Frozen):
    """What a profiler delivered. `missing`: wanted and not delivered, each with the reason."""

    source: MetricSource
    device: str
    metrics: tuple[Metric, ...] = ()
    missing: dict[str, str] = {}
    note: str = ""  # e.g. why Nsight Compute was not permitted and what to do

    @property
    def by_kernel(self) -> dict[str, dict[str, float]]:
        """Kernel -> metric -> value, in the order of first launch."""
        found: dict[str, dict[str, float]] = {}
        for metric in self.metrics:
            found.setdefault(metric.kernel, {})[metric.name] = metric.value
        return found

    @property
    def main_kernels(self) -> dict[str, dict[str, float]]:
        """Those of `by_kernel` that take a share of the time worth a look; all where durations are unknown."""
        kernels = self.by_kernel
        whole = sum(figures.get(DURATION, 0.0) for figures in kernels.values())
        return {name: kernels[name] for name in kernels if kernels[name].get(DURATION, 0.0) >= MAIN_SHARE * whole}
