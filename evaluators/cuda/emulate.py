"""The correctness rung of CUDA candidates: their kernels, compiled as C++, run on the CPU and judged like any other.

The questions, the secret inputs and the comparison are the judge's (evaluators/judge/examination.py).
Limits: at the published size only sampled blocks run (full_size.py); no two threads run at once, so races are not seen;
raw pointers are not watched; fast intrinsics are computed exactly.
"""

from dataclasses import replace

from evaluators.cuda.build import BUILD
from evaluators.cuda.full_size import examined_at_full_size
from evaluators.cuda.service import BuildService
from evaluators.cuda.toolchain import environment, without_gxx
from evaluators.evaluation import Check
from evaluators.judge.conversation import Conversation, converse
from evaluators.judge.examination import Examination
from evaluators.judge.full_size import begin_reference
from evaluators.judge.geometry import geometries_of
from evaluators.judge.larger import INTERPRETED, larger_of
from evaluators.judge.shared_bytes import on_host
from evaluators.rungs import Failure, Findings, Task
from evaluators.rungs.correctness import bytes_needed, examined

ENTRY = "evaluators.inside.cuda_run:emulate"
CALL_LIMIT_S = 30.0  # a text that depends on the shape is built anew within a call: 2 to 4 s
WALL_LIMIT_S = 240.0
_BOUNDS = (
    "kernels hold raw pointers: a read just outside a tensor meets NaN and a wild one ends the process, "
    "others go unseen"
)
_RACES = "emulated threads run one after another; both block orders gave the right result"


class _Emulation(Examination):
    way = "emulated"


def check(task: Task) -> Findings:
    """Judge the numbers of one CUDA candidate."""
    if reason := without_gxx():
        return Findings(
            checks=(Check(name="correctness", status="not_checked", detail=reason),),
            unverified=f"the numbers could not be checked: {reason}",
        )
    geometries = geometries_of(task.reference)
    begin_reference(task.reference)
    larger = larger_of(task.reference, INTERPRETED)
    shared_bytes = max(bytes_needed(geometries), larger.shared_bytes)
    with BuildService(task.candidate.source) as service:
        with _converse(task, shared_bytes, service) as conversation:
            examination = _Emulation(
                conversation, task.problem.key, task.problem.tolerance, library_ops=task.problem.library_ops
            )
            found = examined(examination, lambda: examination.run_all(task.candidate.source, geometries, larger))
        if not found.failure and not found.unverified:
            found = examined_at_full_size(task, lambda shared_bytes: _converse(task, shared_bytes, service), found)
        unavailable = next((b.loadable.unverified for b in service.built.values() if b.loadable.unverified), "")
    if unavailable:
        found = replace(found, failure=None, unverified=unavailable)
    elif not found.failure and not found.unverified:
        found = replace(found, unverified=_left_open(task))
    return replace(
        found,
        checks=_in_our_words(found.checks),
        failure=_with_layout(found.failure, task),
        environment=environment(task.gpu.arch),
    )


def _converse(task: Task, shared_bytes: int, service: BuildService) -> Conversation:
    return converse(
        task.zygotes.compile,
        ENTRY,
        {"gpu": task.gpu.model_dump(mode="json")},
        shared=on_host(shared_bytes),
        call_limit_s=CALL_LIMIT_S,
        wall_s=WALL_LIMIT_S,
        beside=(service.endpoint,),
    )


def _left_open(task: Task) -> str:
    """What the build rung could not say and a verdict needs."""
    open_ = [check for check in task.found.checks if check.name == BUILD and check.status == "not_checked"]
    return (
        f"the numbers are right in emulation, but whether it compiles was not checked: {open_[0].detail}"
        if open_
        else ""
    )


def _in_our_words(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """What the emulation cannot see is said as such."""
    own = {"bounds": _BOUNDS, "races": _RACES}
    told = [
        Check(name=c.name, status="not_checked", detail=own[c.name]) if c.name in own and c.status != "failed" else c
        for c in checks
    ]
    return tuple(told)


def _with_layout(failure: Failure | None, task: Task) -> Failure | None:
    """A weight of the wrong shape is most often the other convolution's layout: name the right one."""
    if failure is None or failure.kind != "incorrect_weights":
        return failure
    if "ConvTranspose3d" in task.problem.source:
        hint = "nn.ConvTranspose3d holds its weight as (in_channels, out_channels/groups, kD, kH, kW)"
        return Failure(failure.kind, f"{failure.message}. {hint}")
    return failure
