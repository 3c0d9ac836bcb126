"""Sizes beyond the published ones on the device: one audited call for each set of them, held to the reference there.

A process of its own beside the others makes each call; all answers are verified after the calls at the published size,
because both switch the library's precision for the whole process. What is little is held to float64; otherwise every
element is held to what holds those of a timed call: a tile, a row or a step that is missing is off by far more.
Limits: sizes grow by less, or half of the axes at a time, where a few times the published call or a quarter of the free
memory is not enough for all; a call that is refused, takes too long or finds no memory leaves the question open.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from evaluators.candidate import Candidate
from evaluators.errors import BadProblem, MachineError
from evaluators.evaluation import Check, Status
from evaluators.judge.conversation import CandidateFault, shared_bytes_for
from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.examination import AUDITED, FEW_PRODUCTS, answer_of
from evaluators.judge.device.published import Published, full_precision
from evaluators.judge.examination import LARGER
from evaluators.judge.full_size import ROUNDING_OF_BOTH
from evaluators.judge.larger import NO_SIZES, Part, parts_of
from evaluators.judge.own_arithmetic import require_allowed_actions, require_own_arithmetic
from evaluators.judge.reference import Reference, forget
from evaluators.judge.verdicts import Wrong, failing, require_kernels
from evaluators.problem import Problem, Tolerance

_SHARE = 0.25  # of the free memory: the calls at the published size need the rest at the same time
_BYTES_AN_ELEMENT = 24  # shared, the judge's copies, the candidate's own, the reference's, the difference
_NO_VERDICT = (MachineError, BadProblem, torch.OutOfMemoryError)  # of a size that nobody published


class LargerThanPublished(Published):
    """The reference at larger sizes; what its arithmetic is like was measured at the published one."""

    def __init__(self, problem: Problem, like: Published) -> None:
        """`like`: the published one."""
        reference = Reference(problem)
        forget(reference.published.module)
        shapes = ", ".join(str(fact.shape) for fact in reference.input_facts)
        self.description = f"Model{reference.init_literal}, inputs {shapes}"
        where = f"larger than published, on the device ({self.description})"
        super().__init__(reference, _other_sums(like.tolerance), where)
        self._like = like

    @cached_property
    def own_error(self) -> float:
        """Of the published size."""
        return self._like.own_error

    @cached_property
    def fp32_error(self) -> float:
        """Of the published size."""
        return self._like.fp32_error

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        return self._like._strides

    def hold(self, inputs: Sequence[Any], outputs: Sequence[torch.Tensor], *, is_little: bool) -> None:
        """Every element, against float64 or a reference no coarser than the published one. Raises Wrong."""
        if is_little:
            self.hold_exactly(inputs, outputs)
            return
        with nullcontext() if self._like.is_tf32 else full_precision():
            self.verify(inputs, outputs, strictly=False)


def _other_sums(tolerance: Tolerance) -> Tolerance:
    """Sums are longer than published, or of a handful of products."""
    floor, multiple = ROUNDING_OF_BOTH * tolerance.floor, FEW_PRODUCTS * tolerance.tf32_error_multiple
    return tolerance.model_copy(update={"floor": floor, "tf32_error_multiple": multiple})


@dataclass(frozen=True)
class _Answered:
    part: Part
    larger: LargerThanPublished
    inputs: list[Any]
    outputs: list[torch.Tensor]


class Beyond:
    """One candidate above the published sizes: `call` makes the calls, `verified` says what they showed.

    scope: what it refused by raising.
    """

    def __init__(self, bench: Bench, candidate: Candidate, reference: Reference) -> None:
        self._bench = bench
        self._candidate = candidate
        self._reference = reference
        self._room = int(_SHARE * bench.card.free_bytes) // _BYTES_AN_ELEMENT
        self._answers: list[_Answered] = []
        self._left: list[str] = []  # the axes that no answer is larger on, and why
        self.scope: list[str] = []

    def call(self) -> None:
        """Ask for every set of sizes. Raises Wrong."""
        for part in parts_of(self._reference, self._room):
            with failing(LARGER), self._leaving(part):
                self._call(part)

    @contextmanager
    def _leaving(self, part: Part) -> Iterator[None]:
        """What says nothing about the candidate leaves these axes open."""
        try:
            yield
        except _NO_VERDICT as error:
            self._leave(part, str(error))

    def _leave(self, part: Part, why: str) -> None:
        self._left.append(f"{', '.join(part.axes)} ({why})")

    def _call(self, part: Part) -> None:
        if part.problem is None:
            self._leave(part, "too much for this machine")
            return
        larger = LargerThanPublished(part.problem, self._bench.published)
        try:
            self._answers.append(self._answer(part, larger))
        except CandidateFault as fault:
            self._leave(part, self._why_open(fault, larger.where))

    def _answer(self, part: Part, larger: LargerThanPublished) -> _Answered:
        inputs = larger.draw()
        tensors = [v for v in (*inputs, *larger.outputs, *larger.weights.values()) if isinstance(v, torch.Tensor)]
        with self._bench.process(self._candidate, shared_bytes_for(tensors)) as talk:
            talk.load(self._candidate.source)
            seat = Seat(talk, larger, self._bench.card)
            seat.sit()
            fired = seat.run([inputs], options=dict(AUDITED))
        answer = answer_of(fired)
        require_kernels(answer, larger.where)
        require_own_arithmetic(answer.report, self._reference.problem.library_ops, larger.where)
        return _Answered(part, larger, inputs, answer.outputs)

    def _why_open(self, fault: CandidateFault, where: str) -> str:
        """Why a call that ended leaves the question open. Raises Wrong where it does not."""
        if fault.unsupported:
            return fault.unsupported
        require_allowed_actions(fault.report, where)
        if fault.kind in ("timeout", "out_of_memory"):
            return str(fault)
        if fault.kind != "runtime_error":
            raise Wrong(LARGER, fault.kind, f"{where}: {fault}")
        self.scope.append(f"{where}: {fault}"[:600])
        return "refused by raising"

    def verified(self) -> Check:
        """Hold the answers to the reference, once nothing else in this process computes on the device. Raises Wrong."""
        right = []
        while self._answers:
            answered = self._answers.pop(0)
            with failing(LARGER), self._leaving(answered.part):
                answered.larger.hold(answered.inputs, answered.outputs, is_little=answered.part.is_little)
                right.append(answered.larger.description)
        said = [f"right on {' and on '.join(right)}"] * bool(right)
        said += [f"not tried larger: {'; '.join(self._left)}"] * bool(self._left)
        status: Status = "passed" if right and not self._left else "not_checked"
        return Check(name=LARGER, status=status, detail=f"on the device: {'; '.join(said) or NO_SIZES}")
