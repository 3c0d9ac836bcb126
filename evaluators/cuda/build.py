"""The build rung of CUDA candidates: does the text compile for the target, and what do its launches need there?

The candidate is imported and called once at full size in a sandboxed child whose load_inline hands its texts to the
judge, which reads them, compiles them with nvcc for the target, and with g++ for the emulation that notes the launches.
Limits: nothing runs on a device; grid and block are what the host code asked for with tensors that have no values.
Without nvcc the check stays open; the correctness rung can still find the candidate wrong and says so at its end.
"""

import re
import time
from collections.abc import Sequence

from evaluators.compiled.listings import sass_of
from evaluators.compiled.register_race import race_in
from evaluators.cuda.linking import Loadable
from evaluators.cuda.on_card import builder_for
from evaluators.cuda.recording import Recording, record
from evaluators.cuda.resources import kernels_of, refused
from evaluators.cuda.service import BuildService, Built
from evaluators.cuda.toolchain import environment, nvcc_version
from evaluators.evaluation import Check, KernelResources
from evaluators.rungs import Failure, Findings, Task

# How torch words that an operation needs values, or memory, that a tensor of the recorded run does not have.
_NEEDS_VALUES = re.compile(r"\bmeta\b|data-dependent|DataDependent", re.IGNORECASE)
BUILD = "build"
_HINTS = {"'cpp_sources'": "pass the C++ declaration of every exported function as cpp_sources"}
_WHERE = {"import": "importing the file", "__init__": "ModelNew.__init__", "forward": "ModelNew.forward"}


def check(task: Task) -> Findings:
    """Compile a CUDA candidate for the task's GPU and read what its launches need."""
    started = time.monotonic()
    arch = task.gpu.arch
    with BuildService(task.candidate.source, arch=arch) as service:
        recording = record(task, service)
    built = tuple(service.built.values())
    cubins = [each.device.cubin for each in built if each.device.cubin]
    failure = _failure(task, recording, built, cubins)
    open_ = "" if failure else _unverified(recording, built)
    for_card = _for_card(task, built) if task.bench and not failure else ()
    failure = failure or next((each.failure for each in for_card if each.failure), None)
    kernels = () if failure else kernels_of(recording.launches, cubins, task.gpu)
    return Findings(
        checks=_checks(failure, _uncompiled(built), open_, kernels),
        kernels=kernels,
        build_log=_log(built, recording, time.monotonic() - started) + "".join(each.log for each in for_card),
        build_s=sum(each.seconds for each in for_card) if for_card else None,
        extensions=tuple(each.extension for each in built),
        listings=sass_of(cubins, arch),
        environment=environment(arch),
        failure=failure,
    )


def _for_card(task: Task, built: Sequence[Built]) -> list[Loadable]:
    """The modules that will run on this machine's card; candidate processes find them kept."""
    assert task.bench is not None
    build = builder_for(task.bench.card.capability)
    return [build(each.extension, task.candidate.source) for each in built]


def _failure(task: Task, recording: Recording, built: Sequence[Built], cubins: Sequence[bytes]) -> Failure | None:
    of_text = next((each.failure for each in built if each.failure), None)
    if of_text or recording.failure:
        return of_text or recording.failure
    if any(each.loadable.unverified for each in built) or _NEEDS_VALUES.search(recording.error):
        return None
    if recording.error:
        hint = next((f"\n{advice}" for sign, advice in _HINTS.items() if sign in recording.error), "")
        return Failure("runtime_error", f"{_WHERE[recording.stage]}: {recording.error}{hint}")
    if not recording.launches:
        return Failure(
            "rejected",
            "no CUDA kernel was launched: forward() returned at the published shapes without launching one; "
            "call the function that load_inline exports",
        )
    if reason := refused(recording.launches, cubins, "\n".join(each.extension.cuda_text for each in built), task.gpu):
        return Failure("runtime_error", f"at the published shapes {reason}")
    return _wrong_outputs(task, recording) or race_in(
        (("", cubin) for cubin in cubins), f"the ptxas of nvcc {nvcc_version()}"
    )


def _wrong_outputs(task: Task, recording: Recording) -> Failure | None:
    expected = task.reference.output_facts
    if [output.shape for output in recording.outputs] != [fact.shape for fact in expected]:
        got = ", ".join(f"shape {o.shape}" if o.shape is not None else o.type for o in recording.outputs) or "nothing"
        wanted = ", ".join(f"shape {fact.shape}" for fact in expected)
        return Failure("incorrect_shape", f"forward returned {got}, expected {wanted}")
    if [output.dtype for output in recording.outputs] != [fact.dtype for fact in expected]:
        got = ", ".join(output.dtype for output in recording.outputs)
        return Failure("incorrect_dtype", f"forward returned {got}, expected {', '.join(f.dtype for f in expected)}")
    return None


def _unverified(recording: Recording, built: Sequence[Built]) -> str:
    """Why no launch could be recorded."""
    of_host = next((each.loadable.unverified for each in built if each.loadable.unverified), "")
    values = f"the launches depend on values of tensors: {recording.error}" if recording.error else ""
    return of_host or values


def _uncompiled(built: Sequence[Built]) -> str:
    """Why nvcc could not say whether a text compiles."""
    return next((each.device.unverified for each in built if each.device.unverified), "")


def _checks(
    failure: Failure | None, uncompiled: str, unrecorded: str, kernels: Sequence[KernelResources]
) -> tuple[Check, ...]:
    """Whether it compiles and whether its launches fit the card. An open question is no end: the numbers come next."""
    if failure:
        return (Check(name=BUILD, status="failed", detail=failure.message.splitlines()[0]),)
    names = ", ".join(dict.fromkeys(kernel.name for kernel in kernels))
    compiled = Check(
        name=BUILD, status="passed", detail=f"nvcc {nvcc_version()} compiles it: {names}".removesuffix(": ")
    )
    if uncompiled:
        compiled = Check(name=BUILD, status="not_checked", detail=uncompiled.splitlines()[0])
    if unrecorded or uncompiled:
        detail = (unrecorded or uncompiled).splitlines()[0]
        return compiled, Check(name="launches", status="not_checked", detail=detail)
    detail = f"{len(kernels)} distinct launches at the published shapes fit the card"
    return compiled, Check(name="launches", status="passed", detail=detail)


def _log(built: Sequence[Built], recording: Recording, seconds: float) -> str:
    lines = [each.device.log.rstrip() for each in built]
    lines += [f"CPU emulation: {each.loadable.unverified}" for each in built if each.loadable.unverified]
    lines += [launch.described() for launch in recording.launches]
    lines.append(f"{len(built)} extension(s), {seconds:.1f} s")
    return "\n".join(line for line in lines if line) + "\n"
