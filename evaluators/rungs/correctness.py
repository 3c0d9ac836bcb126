"""Rung 3: are the numbers right? Triton candidates in the interpreter, CUDA candidates through CPU emulation.

Small geometries first (evaluators/judge/examination.py), then the published size (evaluators/judge/sampling.py),
each in a fresh sandboxed process. Limits: nothing is timed; what an interpreter cannot see is reported as not
checked.
"""

from functools import lru_cache

import torch

from evaluators.evaluation import Check
from evaluators.judge.conversation import CandidateFault, converse, shared_bytes_for
from evaluators.judge.examination import Examination
from evaluators.judge.full_size import begin_reference, full_size_of
from evaluators.judge.geometry import Geometries, geometries_of
from evaluators.judge.sampling import examine_full_size
from evaluators.judge.verdicts import CannotCheck, Wrong
from evaluators.rungs import Failure, Findings, Task

ENTRY = "evaluators.inside.interpret:main"
CALL_LIMIT_S = 20.0  # one call on a small geometry; an honest direct kernel needs less than 1 s


def check(task: Task) -> Findings:
    """Judge the numbers of one candidate."""
    torch.set_num_threads(1)  # small tensors: two threads on two busy cores took 5 s where one takes 0.14 s
    if task.candidate.language == "cuda":
        from evaluators.cuda import emulate

        return emulate.check(task)
    geometries = geometries_of(task.reference)
    plan = full_size_of(task.reference)
    if plan is not None and plan.convolution is None:
        begin_reference(task.reference)
    device = {**task.gpu.model_dump(mode="json"), "capability": task.gpu.capability}
    arguments = {"device": device, "library_ops": list(task.problem.library_ops)}
    needed = bytes_needed(geometries)
    with converse(
        task.zygotes.interpret, ENTRY, arguments, shared_bytes=needed, call_limit_s=CALL_LIMIT_S
    ) as conversation:
        examination = Examination(
            conversation, task.problem.key, task.problem.tolerance, library_ops=task.problem.library_ops
        )
        findings = examined(examination, task.candidate.source, geometries)
    if findings.failure or findings.unverified:
        return findings
    return examine_full_size(task, arguments, examination, findings)


def examined(examination: Examination, source: str, geometries: Geometries) -> Findings:
    """Run the examination of small geometries to its end and say how it ended."""
    failure, unverified, failed_check = None, "", ""
    try:
        examination.load(source)
        examination.run(geometries)
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
        numeric_error=examination.worst,
        scope=tuple(examination.scope),
        failure=failure,
        unverified=unverified,
    )


@lru_cache(maxsize=8)
def bytes_needed(geometries: Geometries) -> int:
    """Shared memory for the largest small geometry: weights, inputs, outputs."""
    most = 0
    for geometry in (geometries.reduced, geometries.smallest, geometries.unshrunk, *geometries.general):
        if geometry is None:
            continue
        model, inputs = geometry.build(0), geometry.draw(0)
        tensors = [*model.state_dict().values(), *(v for v in inputs if hasattr(v, "element_size"))]
        most = max(most, shared_bytes_for([*tensors, *geometry.outputs()]))
    return most
