"""Contexts of every role, with facts as the judge computes them and evaluations as it returns them."""

import os
from pathlib import Path

import pytest

from evaluators.evaluation import Check, Estimate, Failed, KernelResources, NumericError, Passed
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.facts import facts_of
from evaluators.measurement import Baseline, Baselines, Duel, Latency, Metric, Profile, Timing
from evaluators.problem_catalog import load_problem
from prompts.cards import cards_for
from prompts.category import adapted
from prompts.context import Analysis, Base, Context, PastAttempt, Search, TunedPoint, Tuning
from prompts.stages import load_stage, missing_metrics

PROBLEMS = Path(__file__).parents[1] / "agent" / "playbook" / "data"
CODE = '''import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def _kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n), mask=offsets < n)


class ModelNew(nn.Module):
    """A stand-in: ```python fences``` and {{ braces }} {% in %} code must survive."""
'''
METRICS = {"_kernel": {"dram__throughput.avg.pct_of_peak_sustained_elapsed": 6.64, "lts__t_sector_hit_rate.pct": 98.37}}
KERNEL = KernelResources(
    name="_kernel",
    grid=(38148, 64, 1),
    registers=40,
    spills=12,
    shared_memory_bytes=8192,
    theoretical_occupancy_pct=100.0,
    occupancy_limiter="warps",
    num_warps=4,
    num_stages=3,
    waves=1589.5,
    config={"BLOCK": "128"},
    sass_mix_pct={"FFMA": 25.5, "LDG": 12.0},
    global_load_bits={"32": 7},
)
PASSED = Passed(
    candidate_id="0123456789abcdef",
    problem="convt3d-68",
    gpu="rtx-4090",
    checks=(Check(name="timing", status="not_checked", detail="no GPU on this machine"),),
    kernels=(KERNEL,),
    estimate=Estimate(
        value_ms=64.25,
        limiter="issue slots",
        components_ms={"issue": 64.25, "dram": 1.77},
        assumptions=("boost clock",),
        unmodelled=("cache misses",),
    ),
    numeric_error=NumericError(
        worst=1.2e-7,
        allowed=1e-6,
        reference_own=1e-7,
        geometry="Model(2, 3), input (2, 2, 3, 2, 5)",
        elements_compared=2304,
    ),
    scope=("dilation > 1",),
)
FAILED = Failed(
    candidate_id="fedcba9876543210",
    problem="convt3d-68",
    gpu="rtx-4090",
    rung="correctness",
    kind="incorrect_numerical",
    message="output0[0, 3, 1, 0, 2] is 0.5, expected 0.25; 12 % of the elements differ on stride=(2, 1, 2)\nsecond line",
    checks=(Check(name="general geometry", status="failed", detail="stride (2, 1, 2) ignored"),),
    kernels=(KERNEL,),
    build_log="line\n" * 60 + "last line of the log",
)
# Made up: no device gave these figures.
TIMING = Timing(
    device="NVIDIA H100 80GB HBM3",
    is_target=False,
    latency=Latency(median_ms=4.7, p20_ms=4.65, p80_ms=4.812, samples=42, throttled=3),
    clock="device events",
    outside=Latency(median_ms=4.76, p20_ms=4.7, p80_ms=4.9, samples=42, throttled=3),
    protocol_ms=0.25,
    protocol_spread_ms=0.02,
    verified_calls=45,
    floor_ms=2.6,
    floor_limiter="arithmetic",
    precision="tf32",
    baselines=Baselines(
        device="NVIDIA H100 80GB HBM3",
        precision="tf32",
        measured=(
            Baseline(
                name="eager",
                latency=Latency(median_ms=35.4, p20_ms=35.3, p80_ms=35.6, samples=15),
                error=3e-4,
                precision="tf32",
            ),
            Baseline(
                name="channels_last",
                latency=Latency(median_ms=32.6, p20_ms=32.5, p80_ms=32.9, samples=15),
                error=3e-4,
                precision="tf32",
            ),
            Baseline(name="compile", note="not measured: RuntimeError: no compiler"),
        ),
    ),
)
MEASURED = PASSED.model_copy(
    update={
        "checks": (),
        "timing": TIMING,
        "duel": Duel(incumbent_id="0011223344556677", ratio=0.934, low=0.921, high=0.948, pairs=20),
        "profile": Profile(
            source="ncu",
            device="NVIDIA H100 80GB HBM3",
            metrics=tuple(
                Metric(kernel="_kernel", name=name, value=value, unit="", source="ncu")
                for name, value in {
                    "launches": 1,
                    "gpu__time_duration.sum": 4650000.0,
                    "dram__bytes.sum": 2.4e9,
                    "dram__throughput.avg.pct_of_peak_sustained_elapsed": 15.4,
                }.items()
            ),
            missing=dict.fromkeys(
                ("lts__t_sector_hit_rate.pct", "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct"),
                "Nsight Compute printed 'n/a'",
            ),
        ),
    }
)
HISTORY = (
    PastAttempt(
        number=1,
        stage="algorithm",
        plan="implicit GEMM over taps x channels",
        verdict="passed",
        kind=None,
        message="first correct kernel",
        estimate_ms=64.25,
        decision="keep",
    ),
    PastAttempt(
        number=2,
        stage="algorithm",
        plan="",
        verdict="failed",
        kind="compile_error",
        message="line 12: name 'BLOCK_Q' is not defined\n    acc = tl.zeros((BLOCK_Q,))",
        estimate_ms=None,
        decision="crash",
    ),
)


ANALYSIS = Analysis(
    bottleneck="issue slots, 64 of 64.25 ms",
    method="fewer instructions per load",
    plan="128-bit loads",
    expected_gain="1.3x",
)
TUNING = Tuning(
    points=(
        TunedPoint(
            values={"BLOCK": 128, "NUM_WARPS": 4},
            candidate_id="a",
            verdict="passed",
            registers=40,
            spills=12,
            shared_memory_bytes=8192,
            theoretical_occupancy_pct=100.0,
            estimate_ms=64.25,
        ),
        TunedPoint(values={"BLOCK": 64, "NUM_WARPS": 4}, candidate_id="b", verdict="passed", estimate_ms=60.0),
        TunedPoint(
            values={"BLOCK": 256, "NUM_WARPS": 4},
            candidate_id="c",
            verdict="failed",
            detail="compile_error: out of resource: shared memory, Required: 131072, Hardware limit: 101376",
        ),
    ),
    chosen="b",
    note="frozen in this stage, not searched: STAGES",
)


def build(role, *, problem="convt3d", gpu="4090", stage="memory", **fields):
    """As a run builds it: the stage for the problem's operators, the cards where the stage shows them."""
    subject, target = load_problem(problem), load_gpu(gpu)
    facts = facts_of(subject)
    step = adapted(load_stage(stage), facts)
    cards = cards_for(facts, target) if step.shows_cards and role != "repair" else ()
    return Context(role=role, problem=subject, facts=facts, gpu=target, stage=step, cards=cards, **fields)


@pytest.fixture(scope="session")
def contexts():
    memory = load_stage("memory")
    return {
        "propose-algorithm": build("propose", problem="convt3d-73", gpu="h100-sxm", stage="algorithm"),
        "propose-from-user-code": build(
            "propose", problem="convt3d-77", gpu="t4", stage="grid", base=Base(number=None, source=CODE)
        ),
        "optimize-memory": build(
            "optimize",
            base=Base(number=1, source=CODE, evaluation=PASSED),
            metrics=METRICS,
            missing_metrics=missing_metrics(memory, METRICS),
            history=HISTORY,
            hint="the last two proposals were equal",
        ),
        "repair-tiling": build(
            "repair", stage="tiling", base=Base(number=2, source=CODE, evaluation=FAILED), history=HISTORY
        ),
        "optimize-measured": build(
            "optimize",
            base=Base(number=4, source=CODE, evaluation=MEASURED),
            metrics=MEASURED.profile.by_kernel,
            missing_metrics=missing_metrics(memory, MEASURED.profile.by_kernel, MEASURED.profile.missing),
        ),
        "repair-no-code": build("repair", stage="tuning", history=HISTORY),
        "analyze-algorithm": build("analyze", stage="algorithm", base=Base(number=1, source=CODE, evaluation=PASSED)),
        "optimize-tuned": build(
            "optimize",
            stage="tuning",
            base=Base(number=1, source=CODE, evaluation=PASSED),
            history=HISTORY,
            analysis=ANALYSIS,
            tune_points=8,
            searches=(Search(attempt=1, tuning=TUNING),),
        ),
        "propose-softmax": build("propose", problem=str(PROBLEMS / "softmax.py"), stage="algorithm"),
        "propose-matmul-memory": build("propose", problem=str(PROBLEMS / "square_matmul.py"), gpu="h100-sxm"),
    }


@pytest.fixture
def seed_003():
    """The text of seed prompt 003, which lives outside the repository."""
    root = Path(os.environ.get("AGENT_SEEDS_DIR") or Path(__file__).parents[3] / "shared" / "seeds")
    found = sorted(root.glob("003*.txt"))
    if not found:
        pytest.skip(f"seed texts are not at {root} (AGENT_SEEDS_DIR points elsewhere)")
    return found[0].read_text(encoding="utf-8")
