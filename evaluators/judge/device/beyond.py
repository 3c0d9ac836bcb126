"""Sizes beyond the published ones on the device: one audited call for each set of them, held to the reference there.

A process of its own beside the others makes each call; all answers are verified after the calls at the published size,
because both switch the library's precision for the whole process. Every element is held to what holds every element of
a timed call: a tile, a row or a step that is missing is off by far more, so nothing is computed in float64 here.
Limits: sizes grow by less, or half of the axes at a time, where a few times the published call or a quarter of the free
memory is not enough for all; a call that is refused, takes too long or finds no memory leaves the question open.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from evaluators.candidate import Candidate
from evaluators.errors import BadProblem, MachineError
from evaluators.evaluation import Check, Status
from evaluators.judge.conversation import CandidateFault, shared_bytes_for
from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.examination import AUDITED, answer_of
from evaluators.judge.device.published import Published, full_precision
from evaluators.judge.examination import LARGER
from evaluators.judge.full_size import ROUNDING_OF_BOTH
from evaluators.judge.larger import NO_SIZES, parts_of
from evaluators.judge.own_arithmetic import require_allowed_actions, require_own_arithmetic
from evaluators.judge.reference import Reference, forget
from evaluators.judge.verdicts import Wrong, failing, require_kernels
from evaluators.problem import Problem

_SHARE = 0.25  # of the free memory: the calls at the published size need the rest at the same time
_BYTES_AN_ELEMENT = 24  # shared, the judge's copies, the candidate's own, the reference's, the difference
_NO_VERDICT = (MachineError, BadProblem, torch.OutOfMemoryError)  # of a size that nobody published


class LargerThanPublished(Published):
    """The reference at larger sizes; what its arithmetic is like was measured at the published one."""

    def __init__(self, problem: Problem, like: Published) -> None:
        reference = Reference(problem)
        forget(reference.published.module)
        shapes = ", ".join(str(fact.shape) for fact in reference.input_facts)
        tolerance = like.tolerance
        floor = ROUNDING_OF_BOTH * tolerance.floor  # sums are longer than published
        self.description = f"Model{reference.init_literal}, inputs {shapes}"
        where = f"larger than published, on the device ({self.description})"
        super().__init__(reference, tolerance.model_copy(update={"floor": floor}), where)
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

    def hold(self, inputs: Sequence[Any], outputs: Sequence[torch.Tensor]) -> None:
        """Every element, against a reference no coarser than the published one. Raises Wrong."""
        with nullcontext() if self._like.is_tf32 else full_precision():
            self.verify(inputs, outputs, strictly=False)


@dataclass(frozen=True)
class _Answered:
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
            with failing(LARGER):
                why = self._call(part.problem) if part.problem else "too much for this machine"
            if why:
                self._left.append(f"{', '.join(part.axes)} ({why})")

    def _call(self, problem: Problem) -> str:
        """Why there is no answer; empty where there is one."""
        try:
            larger = LargerThanPublished(problem, self._bench.published)
            try:
                self._answers.append(self._answer(larger))
            except CandidateFault as fault:
                return self._open(fault, larger.where)
        except _NO_VERDICT as error:
            return str(error)
        return ""

    def _answer(self, larger: LargerThanPublished) -> _Answered:
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
        return _Answered(larger, inputs, answer.outputs)

    def _open(self, fault: CandidateFault, where: str) -> str:
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
            with failing(LARGER):
                answered.larger.hold(answered.inputs, answered.outputs)
            right.append(answered.larger.description)
        said = [f"right on {' and on '.join(right)}"] * bool(right)
        said += [f"not tried larger: {'; '.join(self._left)}"] * bool(self._left)
        status: Status = "passed" if right and not self._left else "not_checked"
        return Check(name=LARGER, status=status, detail=f"on the device: {'; '.join(said) or NO_SIZES}")
