"""Rung 5: how fast is it? On the device, by the judge's clock, beside the baselines and against the incumbent.

Limits: one GPU, the first one CUDA shows, under a lease; where it is not the target the figures are of this device and
say so. Without a GPU nothing is timed, and the check says that.
"""

import math
from dataclasses import replace
from statistics import median

from evaluators.errors import AgentError
from evaluators.evaluation import Check
from evaluators.floor import Floor, floor_of
from evaluators.gpu import GpuSpec
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.conversation import CandidateFault
from evaluators.judge.device.baselines import baselines_of
from evaluators.judge.device.bench import Bench
from evaluators.judge.device.duel import CLEAR_RATIO, CLEAR_ROUNDS, ROUNDS, IncumbentFailed, fight, seated
from evaluators.judge.device.sampling import Samples, take
from evaluators.judge.facts import facts_of
from evaluators.judge.verdicts import Wrong
from evaluators.measurement import Duel, Timing
from evaluators.rungs import Failure, Findings, Task, failed

CHECK = "timing"


def check(task: Task) -> Findings:
    """Time one candidate that is right."""
    if task.bench is None:
        return Findings(checks=(Check(name=CHECK, status="not_checked", detail="no NVIDIA GPU on this machine"),))
    with task.bench.card.leased():
        try:
            return _timed(task, task.bench)
        except Wrong as wrong:
            return failed(wrong.check, wrong.failure)
        except CandidateFault as fault:
            return failed(CHECK, Failure(fault.kind, f"in a timed call: {fault}"))


def _timed(task: Task, bench: Bench) -> Findings:
    seat = bench.seat(task.candidate)
    seat.sit()
    samples = take(bench, seat)
    timing = _timing(task, bench, samples)
    if said := samples.contradiction() or _impossible(timing, _floor(task, samples)):
        return replace(failed(CHECK, Failure("untrustworthy_timing", said)), timing=timing)
    checks = (Check(name=CHECK, status="passed", detail=_said(timing)), *_shared_with(bench))
    try:
        duel = _duel(task, bench, samples)
    except IncumbentFailed as fault:
        said = f"the best so far failed when it was run again, so there was no duel: {fault}"
        duel, checks = None, (*checks, Check(name="duel", status="not_checked", detail=said))
    if said := samples.contradiction():  # in the duel's batches
        return replace(failed(CHECK, Failure("untrustworthy_timing", said)), timing=timing)
    return Findings(
        checks=checks,
        timing=timing,
        duel=duel,
        environment=bench.card.fingerprint,
    )


def _timing(task: Task, bench: Bench, samples: Samples) -> Timing:
    spec, floor = _spec_of(bench.card.name, task.gpu), _floor(task, samples)
    outside = samples.latency(samples.outside_ms)
    inside = samples.latency(samples.inside_ms) if all(map(math.isfinite, samples.inside_ms)) else None
    believed = samples.latency(samples.believed_ms) if inside else outside
    return Timing(
        device=bench.card.name,
        is_target=spec.key == task.gpu.key,
        latency=believed,
        clock="device events" if believed == inside else "judge's clock",
        outside=outside,
        inside=inside,
        protocol_ms=samples.protocol.cost_ms,
        protocol_error_ms=samples.protocol.error_ms,
        protocol_spread_ms=samples.protocol.spread_ms,
        null_protocol_ms=samples.protocol.null_ms,
        host_ms=median(samples.host_ms) if samples.host_ms else None,
        calls_per_sample=samples.calls,
        verified_calls=samples.verified,
        floor_ms=floor.ms,
        floor_limiter=floor.limiter,
        precision=samples.precision,
        baselines=baselines_of(task.problem, bench.published, bench.card),
        build_s=task.found.first_call_s if task.found.build_s is None else task.found.build_s,
    )


def _floor(task: Task, samples: Samples) -> Floor:
    spec = _spec_of(task.bench.card.name if task.bench else "", task.gpu)
    return floor_of(facts_of(task.problem), spec, samples.precision)


def _impossible(timing: Timing, floor: Floor) -> str:
    """Why nothing that did the work can have been so fast; empty where it can."""
    if timing.latency.median_ms >= floor.impossible_ms:
        return ""
    return (
        f"{timing.latency.median_ms:.4g} ms is less than the {floor.impossible_ms:.4g} ms that the problem's bytes and "
        f"FLOP need on {timing.device}: the work was not done in that time"
    )


def _duel(task: Task, bench: Bench, samples: Samples) -> Duel | None:
    """Against the incumbent, unless the candidate is clearly slower than what was measured of it."""
    incumbent = task.incumbent
    mine = samples.latency(samples.believed_ms).median_ms
    if incumbent is None or incumbent.candidate.id == task.candidate.id or mine > CLEAR_RATIO * incumbent.latency_ms:
        return None
    theirs = seated(bench, incumbent.candidate, incumbent.latency_ms)
    rounds = CLEAR_ROUNDS if mine * CLEAR_RATIO < incumbent.latency_ms else ROUNDS
    return fight(bench, (bench.seat(task.candidate), samples), theirs, incumbent.candidate.id, rounds=rounds)


def _shared_with(bench: Bench) -> tuple[Check, ...]:
    """Other processes on the GPU disturb figures; they are named, and the owner decides."""
    others = bench.card.others()
    said = f"not the only process on {bench.card.name}: {', '.join(others)}; figures may suffer"
    return (Check(name="device_to_itself", status="not_checked", detail=said),) if others else ()


def _said(timing: Timing) -> str:
    latency = timing.latency
    dropped = f", {latency.throttled} throttled ones dropped" if latency.throttled else ""
    return (
        f"{latency.median_ms:.4g} ms on {timing.device} ({latency.samples} samples of {timing.calls_per_sample} call(s)"
        f"{dropped}, each verified); the judge's clock says {timing.outside.median_ms:.4g} ms"
    )


def _spec_of(device: str, target: GpuSpec) -> GpuSpec:
    """The vendor's figures of the device that measures; of the target where it is unknown to us."""
    try:
        return load_gpu(device)
    except AgentError:
        return target
