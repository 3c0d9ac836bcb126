"""The published size in CPU emulation: some blocks of every large launch, on lazily allocated tensors.

Where the reference treats batch items one by one, only the first and the last hold values, and what the sampled blocks
wrote there is compared with the reference. This is where an index that overflows 32 bits shows.
Limits: a zero written among other values counts as not written; values are open where a launch before the last ran in
part, and where the output is small.
"""

import os
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from evaluators.evaluation import Check
from evaluators.judge.compare import Expected, compare
from evaluators.judge.conversation import Answer, CandidateFault, Conversation, shared_bytes_for
from evaluators.judge.full_size import ROUNDING_OF_BOTH, FullSize, full_size_of
from evaluators.judge.host_memory import is_host_too_small
from evaluators.judge.verdicts import Wrong, require_same_parameters, wrong_values
from evaluators.rungs import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluators.rungs import Task

NAME = "full_size"


class _Open(Exception):
    """Why nothing can be said at this size. `decides`: it is not for want of this machine."""

    def __init__(self, why: str, *, decides: bool = False) -> None:
        super().__init__(why)
        self.decides = decides


def examined_at_full_size(task: "Task", converse: "Callable[[int], Conversation]", found: Findings) -> Findings:
    """Add what sampled blocks at the published size show."""
    unverified = ""
    try:
        check, failure = Check(name=NAME, status="passed", detail=_examined(task, converse)), None
    except _Open as limit:
        check, failure = Check(name=NAME, status="not_checked", detail=str(limit)), None
        unverified = f"at the published size {limit}" if limit.decides else ""
    except Wrong as wrong:
        check, failure = Check(name=NAME, status="failed", detail=wrong.failure.message), wrong.failure
    return replace(found, checks=(*found.checks, check), failure=failure, unverified=unverified)


def _examined(task: "Task", converse: "Callable[[int], Conversation]") -> str:
    plan = full_size_of(task.reference)
    if plan is None:
        raise _Open("several outputs, non-tensor inputs or too many parameters to lay out here")
    if not plan.valued:
        raise _Open("the reference mixes batch items and is too large to compute here")
    try:
        answer = _call(task, plan, converse)
    except CandidateFault as fault:
        if fault.unsupported or fault.kind in ("timeout", "out_of_memory"):
            is_memory = fault.kind == "out_of_memory"
            decides = is_memory and not is_host_too_small(task.problem)
            raise _Open(f"on this machine: {fault.unsupported or fault}", decides=decides) from None
        raise Wrong(NAME, fault.kind, f"at the published size: {fault}") from None
    return _compared(task, plan, answer)


def _call(task: "Task", plan: FullSize, converse: "Callable[[int], Conversation]") -> Answer:
    outputs = [] if plan.sparse else list(plan.expected().values())
    tensors = [*plan.weights.values(), *(v for v in plan.inputs if isinstance(v, torch.Tensor)), *outputs]
    seed = int.from_bytes(os.urandom(6), "big")
    options = {"sample": {"seed": seed, "batch": plan.batch}} if plan.sparse else {}
    with converse(shared_bytes_for(tensors) + (1 << 16)) as conversation:
        conversation.load(task.candidate.source)
        require_same_parameters(conversation.build(plan.init_literal), plan.weights)
        conversation.set_weights(plan.weights)
        return conversation.call(plan.inputs, outputs, options=options, sparse=plan.sparse or None)


def _compared(task: "Task", plan: FullSize, answer: Answer) -> str:
    tolerance = task.problem.tolerance
    wider = tolerance.model_copy(update={"floor": ROUNDING_OF_BOTH * tolerance.floor})
    if not plan.sparse:
        own = next(iter(plan.expected().values()))
        result = compare(answer.outputs[0], Expected(own.double(), own, wider))
        if not result.passed:
            raise Wrong(NAME, "incorrect_numerical", wrong_values("published size", result, ""))
        return f"all {own.numel()} outputs compared with the float32 reference"
    offsets, values = _samples(plan, answer)
    item_elements = prod(plan.output_shape[1:])
    said = []
    for item, expected in plan.expected().items():
        chosen = offsets // item_elements == item
        if not chosen.any():
            continue
        own = expected.reshape(-1)[torch.from_numpy(offsets[chosen] % item_elements)].reshape(1, -1)
        result = compare(values[torch.from_numpy(chosen)].reshape(1, -1), Expected(own.double(), own, wider))
        if not result.passed:
            first = offsets[chosen][result.worst_index[1] if result.worst_index else 0]
            where = f"published size, output index {tuple(int(i) for i in np.unravel_index(first, plan.output_shape))}"
            raise Wrong(NAME, "incorrect_numerical", wrong_values(where, result, ""))
        said.append(f"{own.numel()} outputs of batch item {item}")
    if not said:
        raise _Open("no sampled block wrote into a batch item that the reference computed")
    return f"sampled blocks, compared with the float32 reference: {', '.join(said)}"


def _samples(plan: FullSize, answer: Answer) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", torch.Tensor]:
    """Offsets and values that the candidate's process found written, checked to lie within the output."""
    launches = answer.report.get("launches") or []
    if not launches:
        raise Wrong(NAME, "rejected", "at the published size no kernel ran")
    if any(launch[-1] for launch in launches[:-1]):
        raise _Open("an earlier kernel ran only in part, so the last one read unfinished data")
    if [d.get("shape") for d in answer.described] != [list(plan.output_shape)]:
        raise Wrong(NAME, "incorrect_shape", f"at the published size the output must be {plan.output_shape}")
    dtype = next(iter(plan.expected().values())).dtype
    count = answer.report.get("elements")
    if type(count) is not int or not count or len(answer.payload) != count * (8 + dtype.itemsize):
        raise _Open("the sampled blocks wrote nothing that can be told from untouched memory")
    offsets = np.frombuffer(answer.payload, np.int64, count)
    if offsets.min() < 0 or offsets.max() >= prod(plan.output_shape):
        raise Wrong(NAME, "crashed", "the candidate's process sent malformed samples")
    return offsets, torch.frombuffer(bytearray(answer.payload[8 * count :]), dtype=dtype)
