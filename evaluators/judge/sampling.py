"""Triton kernels at the published size: real strides, tails and index arithmetic, as many programs as a budget allows.

Tensors are allocated lazily (evaluators/judge/full_size.py says which values they hold).
Limits: values are checked when at most one launch ran in part and it wrote the returned tensor itself; otherwise only
addresses are, and the check says so.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from evaluators.evaluation import Check, Status
from evaluators.judge.compare import Expected, compare
from evaluators.judge.conversation import Answer, CandidateFault, Conversation, shared_bytes_for
from evaluators.judge.examination import Examination
from evaluators.judge.full_size import ROUNDING_OF_BOTH, FullSize, full_size_of
from evaluators.judge.host_memory import is_host_too_small
from evaluators.judge.own_arithmetic import require_lawful
from evaluators.judge.same_launches import CHECK, require_same_launches
from evaluators.judge.verdicts import Wrong, require_in_bounds, require_same_parameters, wrong_values
from evaluators.problem import Problem, Tolerance
from evaluators.rungs import Failure, Findings, Task

BUDGET_S = 0.8
CALL_LIMIT_S = 30.0  # three launches in part on a busy machine, and a gigabyte rearranged by torch
_HOST_MEMORY = "DefaultCPUAllocator"  # torch's own words where this machine has too little
Process = Callable[[int, float], Conversation]  # by bytes to be shared and seconds for a call
COMPARED_MAX = 2048  # samples per batch item, drawn at random
_MALFORMED = Wrong("full_size_values", "crashed", "the candidate's process sent malformed samples")


def full_size_answer(task: Task, process: Process, examined: Examination) -> Answer | None:
    """One call at the published size in a process of its own, None where it cannot be laid out here.

    Raises CandidateFault, Wrong. Of `examined` it needs what the first call has shown.
    """
    plan = full_size_of(task.reference)
    if plan is None:
        return None
    answer = _call(task, process, plan, examined, examined.launches)
    made = answer.report.get("launched")
    if plan.sparse and not answer.stopped and type(made) is int and 0 < made < examined.launches:
        return _call(task, process, plan, examined, made)
    return answer


def examine_full_size(
    task: Task, answered: Callable[[], Answer | None], examined: Examination, findings: Findings
) -> Findings:
    """Add what sampled programs at the published size show. Never weakens what was found before."""
    try:
        answer, plan = answered(), full_size_of(task.reference)
    except CandidateFault as fault:
        return _after_fault(task.problem, findings, fault)
    except Wrong as wrong:
        return _failed(findings, wrong)
    if answer is None or plan is None:
        why = "several outputs, non-tensor inputs or too many parameters to lay out here"
        return _with(findings, "full_size_samples", why, "not_checked")
    try:
        findings = _same_launches(task, answer, findings)
        return _judged(answer, plan, examined, task.problem.tolerance, findings)
    except Wrong as wrong:
        return _failed(findings, wrong)


def _same_launches(task: Task, answer: Answer, findings: Findings) -> Findings:
    if not task.found.launches:
        return _with(findings, CHECK, "the candidate was not compiled before it was interpreted", "not_checked")
    compared = require_same_launches(task.found.launches, answer.report)
    return _with(findings, CHECK, f"{compared} launches at the published size agree with what was compiled")


def _call(task: Task, process: Process, plan: FullSize, examined: Examination, launches: int) -> Answer:
    """One call, of whose launches the last, by this count, is sampled for its values."""
    tensors = [*plan.weights.values(), *(v for v in plan.inputs if isinstance(v, torch.Tensor))]
    seed = int.from_bytes(os.urandom(6), "big")
    sample: dict[str, Any] = {"budget_s": BUDGET_S, "seed": seed, "launches": launches, "batch": plan.batch}
    sample |= {"items": plan.items, "to_end": bool(plan.items) and not examined.direct, "is_whole": not plan.sparse}
    outputs = [] if plan.sparse else list(plan.expected().values())
    needed = shared_bytes_for([*tensors, *outputs]) + (1 << 16)
    with process(needed, CALL_LIMIT_S) as conversation:
        conversation.load(task.candidate.source)
        require_same_parameters(conversation.build(plan.init_literal), plan.weights)
        conversation.set_weights(plan.weights)
        options = {"sample": sample, "lazy": bool(plan.sparse)}
        return conversation.call(plan.inputs, outputs, options=options, sparse=plan.sparse)


def _after_fault(problem: Problem, findings: Findings, fault: CandidateFault) -> Findings:
    try:
        require_in_bounds(fault.report, "at the published size")
    except Wrong as wrong:
        return _failed(findings, wrong)
    is_memory = fault.kind == "out_of_memory" or _HOST_MEMORY in str(fault)
    if fault.unsupported or is_memory or fault.kind == "timeout":
        is_ours = fault.kind == "timeout" or (is_memory and is_host_too_small(problem))
        why = f"on this machine: {fault.unsupported or fault}"
        said = "" if is_ours else f"at the published size {why}"  # other code than ran on small geometries
        return replace(_with(findings, "full_size_samples", why, "not_checked"), unverified=said)
    return _failed(findings, Wrong("full_size_samples", fault.kind, f"at the published size: {fault}"))


def _failed(findings: Findings, wrong: Wrong) -> Findings:
    failed = Check(name=wrong.check, status="failed", detail=wrong.failure.message)
    kept = tuple(c for c in findings.checks if c.name != wrong.check)
    return replace(findings, checks=(*kept, failed), failure=Failure(wrong.failure.kind, wrong.failure.message))


def _with(findings: Findings, name: str, detail: str, status: Status = "passed") -> Findings:
    return replace(findings, checks=(*findings.checks, Check(name=name, status=status, detail=detail)))


def _judged(
    answer: Answer, plan: FullSize, examined: Examination, tolerance: Tolerance, findings: Findings
) -> Findings:
    require_in_bounds(answer.report, "at the published size")
    try:
        launches = _LAUNCHES.validate_python(answer.report.get("launches"))
        claim = answer.report.get("sampled")
        sampled = None if claim is None else _Sampled.model_validate(claim)
    except ValidationError:
        raise _MALFORMED from None
    ran = [f"{name}: {done} of {prod(grid)} programs" for name, grid, done, _ in launches]
    findings = _with(findings, "full_size_samples", f"addresses in bounds; {', '.join(ran)}"[:500])
    if not plan.sparse and not answer.stopped:
        return _whole(answer, plan, examined, tolerance, findings)
    why = "the call made another number of launches than on small geometries"
    if sampled is not None and (answer.stopped or sampled.moved):
        why = _why_values_are_open(sampled, plan, examined)
    if why or sampled is None:
        return _with(findings, "full_size_values", why, "not_checked")
    offsets, values = _samples(answer, sampled, plan)
    compared = _compared(offsets, values, plan, tolerance, tf32=bool(examined.tf32))
    if not compared:
        why = "no sampled program wrote into a batch item that the reference computed"
        return _with(findings, "full_size_values", why, "not_checked")
    findings = _with(findings, "full_size_values", f"{compared} agree with the reference")
    item_elements = prod(plan.output_shape[1:])
    unwritten = [item for item in plan.items if not np.any(offsets // item_elements == item)]
    return _covered(findings, sampled, plan, unwritten)


def _whole(answer: Answer, plan: FullSize, examined: Examination, tolerance: Tolerance, findings: Findings) -> Findings:
    """Every program ran: hold the returned tensor to everything a call must be."""
    own = next(iter(plan.expected().values()))
    require_lawful(answer, [own], examined.library_ops, "published size")
    wider = tolerance.model_copy(update={"floor": ROUNDING_OF_BOTH * tolerance.floor})
    result = compare(answer.outputs[0], Expected(own.double(), own, wider, bool(examined.tf32)))
    if not result.passed:
        raise Wrong("full_size_values", "incorrect_numerical", wrong_values("published size", result, ""))
    said = f"all {own.numel()} outputs compared with the float32 reference"
    return _with(findings, "full_size_values", said)


class _Sampled(BaseModel):
    """What the candidate's process says about the elements it sent; a claim, checked for its form only."""

    shape: tuple[int, ...]
    dtype: str
    contiguous: bool
    elements: int = Field(ge=0)
    atomics: bool
    stored_at_most: int = Field(ge=0)
    idle: int = Field(ge=0)
    unfinished: bool
    moved: bool


_LAUNCHES = TypeAdapter(list[tuple[str, tuple[int, int, int], int, bool]])


def _covered(findings: Findings, sampled: _Sampled, plan: FullSize, unwritten: list[int]) -> Findings:
    """Whether all programs can write the whole output, if they do as the sampled ones did; `unwritten`: batch items."""
    outputs = prod(plan.output_shape)
    is_left_out = bool(unwritten and sampled.idle)
    if sampled.stored_at_most >= outputs and not is_left_out:
        return _with(findings, "full_size_coverage", "as much is written as the output holds, if all programs do alike")
    most = f"at most {sampled.stored_at_most} of {outputs} outputs"
    seen = f"all programs together write {most} if they do as the sampled ones did"
    if is_left_out:
        seen = f"{sampled.idle} sampled programs wrote nothing, and none wrote into batch item {unwritten[0]}"
    why = f"{seen}: the rest may stay unwritten (a mask too narrow, a grid too short)"
    return replace(_with(findings, "full_size_coverage", why, "not_checked"), unverified=f"at the published size {why}")


def _why_values_are_open(sampled: _Sampled, plan: FullSize, examined: Examination) -> str:
    """The first reason for which these values say nothing, or an empty text."""
    reasons = {
        "the reference mixes batch items and is too large to compute here": not plan.valued,
        "torch rearranges what the last kernel wrote, and where to was not found out": (
            not examined.direct and not sampled.moved
        ),
        "an earlier kernel ran only in part, so the last one read unfinished data": sampled.unfinished,
        "the last kernel accumulates with atomics: its outputs are complete only after all programs": sampled.atomics,
        "the last kernel writes a tensor of another shape than the output": (
            sampled.shape != plan.output_shape or not sampled.contiguous
        ),
        "the sampled programs wrote nothing": not sampled.elements,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _samples(answer: Answer, sampled: _Sampled, plan: FullSize) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
    """Offsets and values as the payload holds them, once they are shown to be within the output."""
    dtype, count = getattr(torch, plan.dtype), sampled.elements
    if sampled.dtype != plan.dtype:
        raise Wrong("full_size_values", "incorrect_dtype", f"at the published size: kernels must write {plan.dtype}")
    if len(answer.payload) != count * (8 + dtype.itemsize):
        raise _MALFORMED
    offsets = np.frombuffer(answer.payload, np.int64, count)
    if offsets.min() < 0 or offsets.max() >= prod(plan.output_shape):
        raise _MALFORMED
    return offsets, torch.frombuffer(bytearray(answer.payload[8 * count :]), dtype=dtype)


def _compared(
    offsets: np.ndarray[Any, Any], values: torch.Tensor, plan: FullSize, tolerance: Tolerance, *, tf32: bool
) -> str:
    """Compare samples that fall into computed batch items; says how many, nothing for none. Raises Wrong."""
    item_elements = prod(plan.output_shape[1:]) if plan.items else prod(plan.output_shape)
    wider = tolerance.model_copy(update={"floor": ROUNDING_OF_BOTH * tolerance.floor})
    said = []
    for item in plan.computed_items():
        (chosen,) = np.nonzero(offsets // item_elements == item)
        if not len(chosen):
            continue
        chosen = np.random.default_rng().permutation(chosen)[:COMPARED_MAX]
        exact = plan.at(item, torch.from_numpy(offsets[chosen] % item_elements)).reshape(1, -1)
        got = values[torch.from_numpy(chosen)].reshape(1, -1)
        result = compare(got, Expected(exact, exact.to(got.dtype), wider, tf32))
        if not result.passed:
            first = offsets[chosen][result.worst_index[1] if result.worst_index else 0]
            where = f"published size, output index {tuple(int(i) for i in np.unravel_index(first, plan.output_shape))}"
            raise Wrong("full_size_values", "incorrect_numerical", wrong_values(where, result, ""))
        said.append(f"{len(chosen)} outputs" + (f" of batch item {item}" if plan.items else ""))
    return ", ".join(said)
