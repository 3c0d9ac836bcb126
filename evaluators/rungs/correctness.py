"""Rung 3: are the numbers right? Triton candidates in the interpreter, CUDA candidates through CPU emulation.

Small geometries first (evaluators/judge/examination.py), then the published size (evaluators/judge/sampling.py),
each in a fresh sandboxed process. Limits: nothing is timed; what an interpreter cannot see is reported as not
checked.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from evaluators.evaluation import Check
from evaluators.judge.conversation import CandidateFault, shared_bytes_for
from evaluators.judge.examination import LARGER, Examination
from evaluators.judge.geometry import Geometries, geometries_of
from evaluators.judge.verdicts import CannotCheck, Wrong
from evaluators.rungs import Failure, Findings, Task

if TYPE_CHECKING:
    from evaluators.judge.device.bench import Bench
    from evaluators.rungs.interpreted import Interpreted


@dataclass(frozen=True)
class Emulated:
    """A candidate in CUDA: all that emulation shows."""

    findings: Findings

    def finish(self, task: Task) -> Findings:
        """Nothing is open."""
        return self.findings


@dataclass(frozen=True)
class Begun:
    """Both ways of judging, under way."""

    host: "Future[Interpreted | Emulated]"
    device: Future[Findings]


def check(task: Task) -> Findings:
    """Judge the numbers of one candidate; where there is a GPU, on the device as well, both at the same time."""
    if task.bench is None:
        return begin_on_host(task).finish(task)
    with ExitStack() as beside:
        begun = task.begun or begin(task, task.bench, beside)
        return _both(begun.host.result().finish(task), begun.device.result())


def begin(task: Task, bench: "Bench", beside: ExitStack) -> Begun:
    """Start what needs nothing of the build on threads of its own; `beside` waits for them."""
    from evaluators.rungs import on_device

    geometries_of(task.reference)  # once, not by both
    pool = beside.enter_context(ThreadPoolExecutor(max_workers=2))
    host = pool.submit(begin_on_host, task)
    device = pool.submit(on_device.check, task, bench, few=lambda: not host.result().findings.unverified)
    return Begun(host, device)


def _both(host: Findings, device: Findings) -> Findings:
    """A failure of either counts; what the interpreter cannot run is settled where the device ran it."""
    if host.failure or device.failure:
        return replace(host, checks=host.checks + device.checks, failure=host.failure or device.failure)
    open_question = [_not_interpreted(host.unverified)] if host.unverified else []
    found = (*host.checks, *open_question, *device.checks)
    checks = {check.name: check for check in found if check.name != "correctness"}  # the device has the last word
    checks[LARGER] = _beyond(found)
    where = "on the device" if host.unverified else "on the device, and interpreted on the CPU"
    return replace(
        host,
        environment={"correctness": f"{where}, torch {torch.__version__}"},
        checks=tuple(checks.values()),
        numeric_error=device.numeric_error,
        first_call_s=device.first_call_s,
        scope=tuple(dict.fromkeys((*host.scope, *device.scope))),
        unverified=device.unverified,
    )


def _beyond(found: tuple[Check, ...]) -> Check:
    """Sizes beyond the published ones: tried where one way of judging tried every axis; what each of them did."""
    tried = [check for check in found if check.name == LARGER]
    is_held = any(check.status == "passed" for check in tried)
    said = "; ".join(check.detail for check in tried) or "not tried"
    return Check(name=LARGER, status="passed" if is_held else "not_checked", detail=said)


def _not_interpreted(why: str) -> Check:
    return Check(name="interpreted", status="not_checked", detail=f"judged on the device only: {why}")


def begin_on_host(task: Task) -> "Interpreted | Emulated":
    """Small geometries without a GPU: in the interpreter, or emulated."""
    torch.set_num_threads(1)  # small tensors: two threads on two busy cores took 5 s where one takes 0.14 s
    if task.candidate.language == "cuda":
        from evaluators.cuda import emulate

        return Emulated(emulate.check(task))
    from evaluators.rungs import interpreted

    return interpreted.check(task)


def examined(examination: Examination, ask: Callable[[], None]) -> Findings:
    """Run an examination to its end and say how it ended."""
    failure, unverified, failed_check = None, "", ""
    try:
        ask()
    except Wrong as wrong:
        failure, failed_check = wrong.failure, wrong.check
    except CannotCheck as limit:
        unverified, failed_check = str(limit), "correctness"
    except CandidateFault as fault:
        failed_check = "runs"
        if fault.unsupported:
            unverified = fault.unsupported
        else:
            failure = Failure(fault.kind, str(fault))
    checks = dict(examination.checks)
    if failed_check:
        said = failure.message if failure else unverified
        checks[failed_check] = Check(name=failed_check, status="failed" if failure else "not_checked", detail=said)
    return Findings(
        environment={"correctness": f"interpreted or emulated on the CPU, torch {torch.__version__}"},
        checks=tuple(checks.values()),
        numeric_error=examination.tally.worst,
        scope=tuple(examination.scope),
        failure=failure,
        unverified=unverified,
    )


@lru_cache(maxsize=8)
def bytes_needed(geometries: Geometries) -> int:
    """Shared memory for the largest small geometry: weights, inputs, outputs."""
    most = 0
    for geometry in (geometries.smallest, *geometries.own, *geometries.general):
        model, inputs = geometry.build(0), geometry.draw(0)
        tensors = [*model.state_dict().values(), *(v for v in inputs if hasattr(v, "element_size"))]
        most = max(most, shared_bytes_for([*tensors, *geometry.outputs()]))
    return most
