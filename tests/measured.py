"""Made-up measurements for tests of what shows them. No device gave these figures; they are round on purpose.

Limits: values of evaluators/measurement.py only.
"""

from evaluators.measurement import Baseline, Baselines, Duel, Latency, Metric, Profile, Timing

TARGET = "NVIDIA GeForce RTX 4090"
OTHER = "NVIDIA H100 80GB HBM3"
HOSTILE = "\x1b[31m\u202e<script>"


def latency(median_ms, spread=0.01, **more):
    """A distribution that is `spread` wide on either side of its median."""
    fields = {"p20_ms": median_ms * (1 - spread), "p80_ms": median_ms * (1 + spread), "samples": 50}
    return Latency(median_ms=median_ms, **{**fields, **more})


def baselines(device=TARGET):
    """eager 10 ms (tf32), channels_last_3d 5 ms (tf32), fp32_highest 20 ms, bf16 1 ms, compile failed."""
    return Baselines(
        device=device,
        precision="tf32",
        measured=(
            Baseline(name="eager", latency=latency(10.0), error=3e-4, precision="tf32"),
            Baseline(name="fp32_highest", latency=latency(20.0), error=2e-7, precision="fp32"),
            Baseline(name="channels_last_3d", latency=latency(5.0), error=3e-4, precision="tf32"),
            Baseline(name="bf16", latency=latency(1.0), error=4e-3, precision="bf16"),
            Baseline(name="compile", note=f"made up: Inductor did not compile it {HOSTILE}"),
        ),
    )


def timing(median_ms=2.5, device=TARGET, **more):
    """A candidate of class tf32 whose floor is 1 ms; inside and outside agree."""
    fields = {
        "device": device,
        "is_target": device == TARGET,
        "latency": latency(median_ms),
        "clock": "device events",
        "outside": latency(median_ms * 1.02),
        "inside": latency(median_ms),
        "protocol_ms": 0.05,
        "protocol_spread_ms": 0.01,
        "verified_calls": 25,
        "floor_ms": 1.0,
        "floor_limiter": "arithmetic",
        "precision": "tf32",
        "baselines": baselines(device),
        "build_s": 1.5,
    }
    return Timing(**{**fields, **more})


def duel(incumbent_id, ratio=0.8, spread=0.05):
    """`ratio` < 1: the challenger is faster."""
    return Duel(incumbent_id=incumbent_id, ratio=ratio, low=ratio - spread, high=ratio + spread, pairs=30)


def profile(dram_pct=61.0, device=TARGET):
    """Two kernels, of which `scale` takes longest, and a metric that was not delivered."""
    rows = (
        ("scale", "gpu__time_duration.sum", 2000.0, "ns"),
        ("scale", "dram__throughput.avg.pct_of_peak_sustained_elapsed", dram_pct, "%"),
        ("scale", "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active", 0.0, "%"),
        ("scale", "dram__bytes.sum", 6.9e9, "byte"),
        ("pack", "gpu__time_duration.sum", 10.0, "ns"),
        ("pack", "dram__throughput.avg.pct_of_peak_sustained_elapsed", 90.0, "%"),
        ("pack", "dram__bytes.sum", 0.1e9, "byte"),
    )
    metrics = tuple(Metric(kernel=k, name=n, value=v, unit=u, source="ncu") for k, n, v, u in rows)
    missing = {"lts__t_sector_hit_rate.pct": "made up: not delivered on this device"}
    return Profile(source="ncu", device=device, metrics=metrics, missing=missing)


ENVIRONMENT = {
    "device": TARGET,
    "driver": "999.99",
    "cuda": "99.9",
    "torch": "9.9.9",
    "cudnn": "9.99",
    "triton": "3.7.1",
    "clocks": "SM 2520 MHz, memory 10501 MHz",
    "sandbox": "T1",
}
