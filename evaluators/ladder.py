"""The ladder: climb the rungs in order, stop at the first failure, put the verdict together.

screen (text) -> build (compiled for the target) -> correctness (numbers) -> estimate (a labelled bound); where there is
a GPU then timing (the judge's clock) -> profile.
This is the only place where a verdict is made. Limits: no rung's own logic; see evaluators/rungs/.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

from evaluators.candidate import Candidate
from evaluators.evaluation import Check, Evaluation, Failed, Passed, Rung, Unverified
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem
from evaluators.rungs import Findings, Task

_CARRIED = (
    "checks",
    "kernels",
    "estimate",
    "numeric_error",
    "timing",
    "duel",
    "profile",
    "scope",
    "build_log",
    "listings",
    "environment",
)
_NOT_NEEDED: Any = None  # the screen reads text and problem only
RUNGS: tuple[Rung, ...] = ("screen", "build", "correctness", "estimate")
DECIDING: tuple[Rung, ...] = (*RUNGS, "timing")  # a profile informs, and costs as much as the rest
DEVICE_RUNGS: tuple[Rung, ...] = (*DECIDING, "profile")


def climb(
    task: Task, announce: Callable[[Rung], None] = lambda rung: None, *, rungs: Sequence[Rung] | None = None
) -> Evaluation:
    """Judge one candidate. `announce` is told each rung as it begins. Failures of our machine raise AgentError.

    Fewer `rungs` are for testing the judge (`agent audit --without-screen`) and for who needs no profile; a rung left
    out is a check not made.
    """
    started = time.monotonic()
    all_rungs = DEVICE_RUNGS if task.bench else RUNGS
    rungs = rungs or all_rungs
    seconds: dict[str, float] = {}
    rung: Rung = rungs[0]
    skipped = tuple(
        Check(name=name, status="not_checked", detail="left out on request") for name in all_rungs if name not in rungs
    )
    task = task.having(Findings(checks=skipped))
    with ExitStack() as beside:
        for rung in rungs:
            announce(rung)
            begun = time.monotonic()
            task = _with_correctness_begun(task, rungs, rung, beside)
            found = import_module(f"evaluators.rungs.{rung}").check(task)
            seconds[rung] = round(time.monotonic() - begun, 3)
            task = task.having(_added(task.found, found))
            if found.failure or (found.unverified and rung not in ("estimate", "profile")):
                break
    return _verdict(task, rung, seconds, round(time.monotonic() - started, 3))


def _with_correctness_begun(task: Task, rungs: Sequence[Rung], rung: Rung, beside: ExitStack) -> Task:
    """On a GPU most of an evaluation is compiling, on one core each: correctness starts together with the build."""
    if rung != "build" or task.bench is None or "correctness" not in rungs or task.candidate.language == "cuda":
        return task
    return replace(task, begun=import_module("evaluators.rungs.correctness").begin(task, task.bench, beside))


def screened(problem: Problem, candidate: Candidate, gpu: GpuSpec) -> Evaluation | None:
    """The verdict of a candidate that its text alone rejects, None where it has to be judged. Starts no process."""
    started = time.monotonic()
    task = Task(problem, candidate, gpu, reference=_NOT_NEEDED, zygotes=_NOT_NEEDED)
    found = import_module("evaluators.rungs.screen").check(task)
    if found.failure is None:
        return None
    duration_s = round(time.monotonic() - started, 3)
    return _verdict(task.having(found), "screen", {"screen": duration_s}, duration_s)


def _added(before: Findings, new: Findings) -> Findings:
    """Both findings in one: tuples and logs are appended, single values replaced where the new one has them."""
    merged: dict[str, Any] = {}
    for field in fields(Findings):
        old, fresh = getattr(before, field.name), getattr(new, field.name)
        if isinstance(old, tuple | str):
            merged[field.name] = old + fresh
        elif isinstance(old, dict):
            merged[field.name] = old | fresh
        else:
            merged[field.name] = fresh if fresh is not None else old
    return Findings(**merged)


def _verdict(task: Task, rung: Rung, seconds: dict[str, float], duration_s: float) -> Evaluation:
    found = task.found
    common: dict[str, Any] = {
        "candidate_id": task.candidate.id,
        "problem": task.problem.key,
        "gpu": task.gpu.key,
        "rung": rung,
        "duration_s": duration_s,
        "rung_seconds": seconds,
    }
    for name in _CARRIED:
        common[name] = getattr(found, name)
    tier = "none needed: nothing was run" if task.zygotes is _NOT_NEEDED else task.zygotes.tier
    common["environment"] = {**found.environment, "sandbox": tier}
    if found.failure:
        return Failed(kind=found.failure.kind, message=found.failure.message, **common)
    if found.unverified:
        return Unverified(message=found.unverified, **common)
    return Passed(message=_what_held(found), **common)


def _what_held(found: Findings) -> str:
    held = [check.name for check in found.checks if check.status == "passed"]
    open_ = [check.name for check in found.checks if check.status == "not_checked"]
    return f"held: {', '.join(held) or 'nothing'}; not checked here: {', '.join(open_) or 'nothing'}"
