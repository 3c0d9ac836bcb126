"""Rung 6: where does the time go? Metrics of one warmed call at the published size, for prompts and stages' gates.

Nsight Compute where it is there and permitted, else kernel durations through CUPTI; what was wanted and not delivered
is listed with the reason. Limits: informs, never decides; profiled times are not latencies (timing.py has those).
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import torch

from evaluators.cuda.on_card import builder_for
from evaluators.evaluation import Check
from evaluators.inside.kept_code import MODULES, archived
from evaluators.judge.conversation import Arena, CandidateFault, shared_bytes_for
from evaluators.judge.device.bench import Bench
from evaluators.judge.reference import literal
from evaluators.judge.shared_bytes import on_host
from evaluators.judge.verdicts import Wrong
from evaluators.measurement import Metric, Profile
from evaluators.profiling import reasons, trace
from evaluators.profiling.command import find_ncu
from evaluators.profiling.session import Delivered, Material, profile
from evaluators.profiling.table import metrics_of
from evaluators.profiling.wanted import ALWAYS
from evaluators.rungs import Findings, Task

CHECK = "profile"
WORTH_PROFILING = 1.25  # times the incumbent's latency, without a duel; a pass of Nsight Compute costs 10 s to 22 s
_WARM_CALLS = 1  # compiles and tunes; the one after it is marked


def check(task: Task) -> Findings:
    """Profile one candidate that is right. Needs the GPU to itself: takes the lease."""
    if task.bench is None:
        return _not_made("no NVIDIA GPU on this machine")
    if said := _not_worth_it(task):
        return _not_made(said)
    with task.bench.card.leased():
        found = _profiled(task, task.bench)
    if not found.metrics:
        return Findings(checks=(Check(name=CHECK, status="not_checked", detail=found.note),), profile=found)
    return Findings(checks=(Check(name=CHECK, status="passed", detail=_said(found)),), profile=found)


def _not_worth_it(task: Task) -> str:
    """Why nobody will go on from this candidate; empty where somebody may."""
    if task.incumbent is None or task.found.timing is None:
        return ""
    if (duel := task.found.duel) is not None:
        return "" if duel.high < 1 else f"not profiled: no gain over the best so far in {duel.pairs} pairs"
    ratio = task.found.timing.latency.median_ms / task.incumbent.latency_ms
    return "" if ratio <= WORTH_PROFILING else f"not profiled: it takes {ratio:.3g} times as long as the best so far"


def _not_made(reason: str) -> Findings:
    return Findings(checks=(Check(name=CHECK, status="not_checked", detail=reason),))


def _profiled(task: Task, bench: Bench) -> Profile:
    wanted = tuple(dict.fromkeys((*ALWAYS, *task.metrics)))
    ncu = find_ncu()
    if ncu is None:
        return _traced(task, bench, wanted, reasons.NO_NCU)
    delivered = _under_ncu(task, bench, ncu, wanted)
    if not delivered.launches:
        return _traced(task, bench, wanted, delivered.reason)
    return Profile(
        source="ncu",
        device=bench.card.name,
        metrics=metrics_of(delivered.launches, "ncu"),
        missing=delivered.missing,
        note=delivered.note,
    )


def _under_ncu(task: Task, bench: Bench, ncu: str, wanted: Sequence[str]) -> Delivered:
    inputs, weights = bench.published.draw(), bench.published.weights
    tensors = [*weights.values(), *(value for value in inputs if isinstance(value, torch.Tensor))]
    shared = on_host(shared_bytes_for(tensors))
    code = os.memfd_create("code")
    try:
        os.write(code, _code(task, bench))
        requests = _requests(Arena(shared.flat), bench.published.init_literal, weights, inputs)
        material = Material(task.candidate.source, json.dumps(requests), shared.descriptor, code)
        return profile(task.zygotes.profiler, ncu, material, wanted)
    finally:
        shared.close()
        os.close(code)


def _code(task: Task, bench: Bench) -> bytes:
    """What was compiled already, so that the profiled process need not."""
    if task.candidate.language != "cuda":
        return bench.code_of(task.candidate)
    build = builder_for(bench.card.capability)
    built = {each.module_name: build(each, task.candidate.source).module for each in task.found.extensions}
    return archived({f"{MODULES}/{name}.so": module for name, module in built.items()})


def _requests(
    arena: Arena, init_literal: str, weights: dict[str, torch.Tensor], inputs: Sequence[Any]
) -> list[dict[str, Any]]:
    """What the candidate's process is asked, one after another; tensors are laid into the arena."""
    tensors = [{"name": name, **_placed(arena, value)} for name, value in weights.items()]
    call = {"do": "call", "inputs": [_input(arena, value) for value in inputs], "outputs": []}
    return [
        {"do": "load"},
        {"do": "build", "init": init_literal},
        {"do": "weights", "how": "copy", "tensors": tensors},
        *([call] * _WARM_CALLS),
        call | {"options": {"profile": True}},
    ]


def _input(arena: Arena, value: Any) -> dict[str, Any]:
    return _placed(arena, value) if isinstance(value, torch.Tensor) else {"literal": literal(value, "an input")}


def _placed(arena: Arena, value: torch.Tensor) -> dict[str, Any]:
    spec, view = arena.place(value.shape, value.dtype)
    view.copy_(value)
    return spec


def _traced(task: Task, bench: Bench, wanted: Sequence[str], why: str) -> Profile:
    """Durations from the candidate's process that is running already."""
    seat = bench.seat(task.candidate)
    metrics: tuple[Metric, ...] = ()
    try:
        seat.sit()
        seat.timed([bench.published.draw()])
        metrics = trace.metrics_in(seat.run([bench.published.draw()], options={"trace": True}).report)
    except (CandidateFault, Wrong) as fault:
        why = f"{why}; kernel durations through CUPTI: {fault}"
    if not metrics:
        why = f"{why}; CUPTI delivered no kernel either"
    delivered = {metric.name for metric in metrics}
    missing = dict.fromkeys((name for name in wanted if name not in delivered), reasons.NOTHING_FROM_NCU)
    return Profile(source="cupti", device=bench.card.name, metrics=metrics, missing=missing, note=why)


def _said(found: Profile) -> str:
    kernels = len({metric.kernel for metric in found.metrics})
    missing = f"; not delivered: {', '.join(found.missing)}" if found.missing else ""
    return f"{len(found.metrics)} figures of {kernels} kernel(s) on {found.device} through {found.source}{missing}"
