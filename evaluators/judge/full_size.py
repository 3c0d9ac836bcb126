"""The published size: real strides, tails and index arithmetic, but only as many programs as a time budget allows.

Tensors are allocated lazily; where the reference treats batch items one by one, only the first and last item hold
secret values and only they are computed by the reference (once per judge).
Limits: values are checked when at most one launch ran in part and it wrote the returned tensor itself; otherwise only
addresses are, and the check says so.
"""

import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod
from threading import Lock, Thread
from typing import Any

import numpy as np
import torch

from evaluators.errors import BadProblem
from evaluators.evaluation import Check, Status
from evaluators.judge.compare import Expected, compare
from evaluators.judge.conversation import Answer, CandidateFault, converse, shared_bytes_for
from evaluators.judge.examination import Examination, require_in_bounds
from evaluators.judge.expectation import fresh_weights, run, with_weights
from evaluators.judge.geometry import geometries_of, published_geometry
from evaluators.judge.reference import Reference
from evaluators.judge.verdicts import Wrong, require_same_parameters, wrong_values
from evaluators.problem import Tolerance
from evaluators.rungs import Failure, Findings, Task

ENTRY = "evaluators.inside.interpret:main"
BUDGET_S = 0.8
CALL_LIMIT_S = 12.0
WHOLE_ELEMENTS = 4_000_000  # a workload this small is given and compared whole
ITEM_BYTES = 100 << 20  # larger batch items: only the last one holds values
AFFORDABLE_ITEM_S = 0.7
PARAMETER_BYTES = 1 << 30
# Compared with a float32 reference: both sides round long sums, each to about sqrt(K / 2) * 3e-8 of the result
ROUNDING_OF_BOTH = 4.0


@dataclass
class FullSize:
    """The published workload of a problem as far as it is filled; made once per judge."""

    key: str
    init_literal: str
    model: torch.nn.Module
    weights: dict[str, torch.Tensor]
    inputs: list[Any]  # whole tensors, or the filled batch items stacked
    sparse: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
    output_shape: tuple[int, ...]
    batch: int
    items: tuple[int, ...]  # batch items that hold values; empty: the inputs are whole
    valued: bool  # False: the reference mixes batch items and is too large to compute
    _expected: dict[int, torch.Tensor] = field(default_factory=dict)
    _item_s: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def expected(self) -> dict[int, torch.Tensor]:
        """Reference outputs by batch item (0 for the whole output of a whole workload), as far as affordable."""
        with self._lock:
            torch.set_num_threads(os.cpu_count() or 1)
            try:
                return self._computed()
            finally:
                torch.set_num_threads(1)

    def warm(self) -> None:
        """Compute ahead; a reference that fails is reported by whoever needs it."""
        with suppress(BadProblem):
            self.expected()

    def _computed(self) -> dict[int, torch.Tensor]:
        for row, item in reversed(list(enumerate(self.items))):
            if item not in self._expected and (not self._expected or self._item_s < AFFORDABLE_ITEM_S):
                part = [v[row : row + 1] if i in self.sparse else v for i, v in enumerate(self.inputs)]
                begun = time.monotonic()
                self._expected[item] = run(self.model, part, self.key)[0]
                self._item_s = time.monotonic() - begun
        if not self.items and not self._expected:
            self._expected[0] = run(self.model, self.inputs, self.key)[0]
        return self._expected


@lru_cache(maxsize=4)
def full_size_of(reference: Reference) -> FullSize | None:
    """The workload of a problem at its published size; None where parameters are too large or outputs several."""
    facts = reference.input_facts
    parameter_bytes = sum(4 * prod(f.shape) for f in reference.parameter_facts)
    if len(reference.output_facts) != 1 or parameter_bytes > PARAMETER_BYTES or any(reference.input_literals):
        return None
    rng = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
    geometry = published_geometry(reference)
    model = geometry.build(rng.getrandbits(62))
    weights = fresh_weights(model, rng.getrandbits(62))
    shape = reference.output_facts[0].shape
    whole = sum(prod(f.shape) for f in facts) + prod(shape) <= WHOLE_ELEMENTS
    batch = 0 if whole else _independent_batch(reference)
    items = _items_of(reference, batch)
    seed = rng.getrandbits(62)
    inputs = geometry.draw(seed) if whole else [_filled(f.shape, f.dtype, len(items), seed) for f in facts]
    sparse = {} if whole else {i: (f.shape, items) for i, f in enumerate(facts)}
    return FullSize(
        key=reference.problem.key,
        init_literal=geometry.init_literal,
        model=with_weights(model, weights),
        weights=weights,
        inputs=inputs,
        sparse=sparse,
        output_shape=shape,
        batch=batch or (shape[0] if shape else 1),
        items=items,
        valued=whole or bool(items),
    )


def begin_reference(reference: Reference) -> None:
    """Compute the reference at full size beside the examination of small geometries; torch works without the GIL."""
    plan = full_size_of(reference)
    if plan is not None and plan.valued:
        Thread(target=plan.warm, daemon=True).start()


def _items_of(reference: Reference, batch: int) -> tuple[int, ...]:
    if batch < 2:
        return ()
    item_bytes = sum(4 * prod(f.shape[1:]) for f in reference.input_facts)
    return (0, batch - 1) if item_bytes <= ITEM_BYTES else (batch - 1,)


def _independent_batch(reference: Reference) -> int:
    """The batch size where every item of the output depends on the same item of the inputs alone, otherwise 0."""
    shapes = [f.shape for f in (*reference.input_facts, *reference.output_facts)]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    reduced = geometries_of(reference).reduced
    model, inputs = reduced.build(0), reduced.draw(0)
    if (
        len(sizes) != 1
        or len({v.shape[0] for v in inputs}) != 1
        or any(f.dtype != "float32" for f in reference.input_facts)
    ):
        return 0
    together = run(model, inputs, reduced.name)[0]
    for item in range(inputs[0].shape[0]):
        alone = run(model, [v[item : item + 1] for v in inputs], reduced.name)[0]
        if alone.shape[1:] != together.shape[1:] or not torch.allclose(alone[0], together[item], rtol=1e-4, atol=1e-6):
            return 0
    return sizes.pop()


def _filled(shape: tuple[int, ...], dtype: str, items: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((items, *shape[1:]), generator=generator).to(getattr(torch, dtype))


def examine_full_size(task: Task, arguments: dict[str, Any], examined: Examination, findings: Findings) -> Findings:
    """Add what sampled programs at the published size show. Never weakens what was found before."""
    plan = full_size_of(task.reference)
    if plan is None:
        why = "several outputs, non-tensor inputs or too many parameters to lay out here"
        return _with(findings, "full_size_samples", why, "not_checked")
    try:
        answer = _call(task, arguments, plan, examined.launches)
    except CandidateFault as fault:
        return _after_fault(findings, fault)
    except Wrong as wrong:
        return _failed(findings, wrong)
    try:
        return _judged(answer, plan, examined, task.problem.tolerance, findings)
    except Wrong as wrong:
        return _failed(findings, wrong)


def _call(task: Task, arguments: dict[str, Any], plan: FullSize, launches: int) -> Answer:
    tensors = [*plan.weights.values(), *(v for v in plan.inputs if isinstance(v, torch.Tensor))]
    seed = int.from_bytes(os.urandom(6), "big")
    sample = {"budget_s": BUDGET_S, "seed": seed, "launches": launches, "batch": plan.batch}
    outputs = [] if plan.sparse else list(plan.expected().values())
    needed = shared_bytes_for([*tensors, *outputs]) + (1 << 16)
    with converse(
        task.zygotes.interpret, ENTRY, arguments, shared_bytes=needed, call_limit_s=CALL_LIMIT_S
    ) as conversation:
        conversation.load(task.candidate.source)
        require_same_parameters(conversation.build(plan.init_literal), plan.weights)
        conversation.set_weights(plan.weights)
        options = {"sample": sample, "lazy": bool(plan.sparse)}
        return conversation.call(plan.inputs, outputs, options=options, sparse=plan.sparse)


def _after_fault(findings: Findings, fault: CandidateFault) -> Findings:
    try:
        require_in_bounds(fault.report, "at the published size")
    except Wrong as wrong:
        return _failed(findings, wrong)
    if fault.unsupported or fault.kind in ("timeout", "out_of_memory"):
        return _with(findings, "full_size_samples", f"on this machine: {fault.unsupported or fault}", "not_checked")
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
    launches = answer.report.get("launches")
    ran = [f"{n}: {done} of {prod(grid)} programs" for n, grid, done, _ in launches or []]
    findings = _with(findings, "full_size_samples", f"addresses in bounds; {', '.join(ran)}"[:500])
    if not plan.sparse and not answer.stopped:
        return _whole(answer, plan, examined, tolerance, findings)
    if why := _why_values_are_open(answer, plan, examined):
        return _with(findings, "full_size_values", why, "not_checked")
    offsets, values = _samples(answer, plan)
    return _with(findings, "full_size_values", _compared(offsets, values, plan, tolerance))


def _whole(answer: Answer, plan: FullSize, examined: Examination, tolerance: Tolerance, findings: Findings) -> Findings:
    """Every program ran: hold the returned tensor to everything a call must be."""
    own = next(iter(plan.expected().values()))
    examined.require_lawful(answer, [own], "published size")
    wider = tolerance.model_copy(update={"floor": ROUNDING_OF_BOTH * tolerance.floor})
    result = compare(answer.outputs[0], Expected(own.double(), own, wider))
    if not result.passed:
        raise Wrong("full_size_values", "incorrect_numerical", wrong_values("published size", result, ""))
    said = f"all {own.numel()} outputs compared with the float32 reference"
    return _with(findings, "full_size_values", said)


def _why_values_are_open(answer: Answer, plan: FullSize, examined: Examination) -> str:
    sampled = answer.report.get("sampled")
    if not plan.valued:
        return "the reference mixes batch items and is too large to compute here"
    if not isinstance(sampled, dict) or not answer.stopped:
        return "the call made another number of launches than on small geometries"
    if not examined.direct:
        return "torch rearranges what the last kernel wrote, so its elements are not those of the output"
    if any(list(sampled.get("partial") or [True])[:-1]):
        return "an earlier kernel ran only in part, so the last one read unfinished data"
    if sampled.get("atomics"):
        return "the last kernel accumulates with atomics, so its outputs are complete only when every program has run"
    if sampled.get("shape") != list(plan.output_shape) or sampled.get("contiguous") is not True:
        return "the last kernel writes a tensor of another shape than the output"
    return "" if sampled.get("elements") else "the sampled programs wrote nothing"


def _samples(answer: Answer, plan: FullSize) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
    """Offsets and values as the payload holds them, once they are shown to be within the output."""
    sampled = answer.report["sampled"]
    dtype = next(iter(plan.expected().values())).dtype
    count, size = sampled["elements"], dtype.itemsize
    if type(count) is not int or len(answer.payload) != count * (8 + size) or sampled.get("dtype") != str(dtype)[6:]:
        raise Wrong(
            "full_size_values", "incorrect_dtype", f"at the published size: the kernel must write {str(dtype)[6:]}"
        )
    offsets = np.frombuffer(answer.payload, np.int64, count)
    if offsets.min() < 0 or offsets.max() >= prod(plan.output_shape):
        raise Wrong("full_size_values", "crashed", "the candidate's process sent malformed samples")
    return offsets, torch.frombuffer(bytearray(answer.payload[8 * count :]), dtype=dtype)


def _compared(offsets: np.ndarray[Any, Any], values: torch.Tensor, plan: FullSize, tolerance: Tolerance) -> str:
    """Compare the samples that fall into computed batch items; says how many. Raises Wrong."""
    item_elements = prod(plan.output_shape[1:]) if plan.items else prod(plan.output_shape)
    wider = tolerance.model_copy(update={"floor": ROUNDING_OF_BOTH * tolerance.floor})
    said = []
    for item, expected in plan.expected().items():
        chosen = offsets // item_elements == item
        if not chosen.any():
            continue
        own = expected.reshape(-1)[torch.from_numpy(offsets[chosen] % item_elements)].reshape(1, -1)
        got = values[torch.from_numpy(chosen)].reshape(1, -1)
        result = compare(got, Expected(own.double(), own, wider))
        if not result.passed:
            first = offsets[chosen][result.worst_index[1] if result.worst_index else 0]
            where = f"published size, output index {tuple(int(i) for i in np.unravel_index(first, plan.output_shape))}"
            raise Wrong("full_size_values", "incorrect_numerical", wrong_values(where, result, ""))
        said.append(f"{own.numel()} outputs" + (f" of batch item {item}" if plan.items else ""))
    return (
        f"compared with the float32 reference: {', '.join(said)}"
        if said
        else "no sample fell into a computed batch item"
    )
