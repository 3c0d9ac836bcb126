"""Sizes beyond the published ones on the device: one audited call, held to the reference there.

The call has a process of its own beside the others; it is verified after the calls at the published size, because both
switch the library's precision for the whole process.
Limits: one call; sizes grow by less, or not at all, where the tensors do not fit into half of the free memory.
"""

from dataclasses import replace
from typing import Any

import torch

from evaluators.candidate import Candidate
from evaluators.errors import BadProblem, MachineError
from evaluators.evaluation import Check
from evaluators.judge.batch import Fired
from evaluators.judge.conversation import CandidateFault, shared_bytes_for
from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.examination import AUDITED, answer_of
from evaluators.judge.device.published import Published
from evaluators.judge.examination import LARGER
from evaluators.judge.larger import Cost, larger_problem
from evaluators.judge.own_arithmetic import require_own_arithmetic
from evaluators.judge.reference import Reference, forget
from evaluators.judge.verdicts import Wrong, require_kernels
from evaluators.rungs import Failure, Findings

_MOST_FLOP = 10**14  # a second or two of float64
_BYTES_AN_ELEMENT = 48  # half of the free memory: shared, copied, given to the reference, compared in float64
_TOO_LARGE = (MachineError, BadProblem, torch.OutOfMemoryError)  # the published size fitted


class Beyond:
    """One candidate at a size above the published one: `call`, then `verified`."""

    def __init__(self, bench: Bench, candidate: Candidate, reference: Reference) -> None:
        self._bench = bench
        self._candidate = candidate
        most = Cost(bench.card.free_bytes // _BYTES_AN_ELEMENT, _MOST_FLOP)
        self._problem = larger_problem(reference, most)
        self._found = _open(self._problem if isinstance(self._problem, str) else "no call was made")
        self._answered: tuple[Published, list[Any], Fired] | None = None

    def call(self) -> None:
        """Make the call; what came of it is said by `verified`."""
        if isinstance(self._problem, str):
            return
        reference = Reference(self._problem)
        shapes = ", ".join(str(fact.shape) for fact in reference.input_facts)
        where = f"larger than published, on the device (Model{reference.init_literal}, inputs {shapes})"
        try:
            published = Published(reference, self._problem.tolerance, where)
            self._answered = self._answer(published, self._problem.library_ops)
        except Wrong as wrong:
            self._found = _failed(wrong.failure)
        except CandidateFault as fault:
            self._found = _after(fault.at(where))
        except _TOO_LARGE as error:
            self._found = _open(str(error))
        finally:
            forget(reference.published.module)

    def _answer(self, published: Published, library_ops: tuple[str, ...]) -> tuple[Published, list[Any], Fired]:
        inputs = published.draw()
        size = shared_bytes_for(list(published.weights.values())) + published.set_bytes + (1 << 16)
        with self._bench.process(self._candidate, size) as talk:
            talk.load(self._candidate.source)
            seat = Seat(talk, published, self._bench.card)
            seat.sit()
            fired = seat.run([inputs], options=dict(AUDITED))
        answer = answer_of(fired)
        require_kernels(answer, published.where)
        require_own_arithmetic(answer.report, library_ops, published.where)
        return published, inputs, fired

    def verified(self) -> Findings:
        """Hold the answer to the reference; once nothing else in this process computes on the device."""
        if self._answered is None:
            return self._found
        (published, inputs, fired), self._answered = self._answered, None
        try:
            published.verify(inputs, fired.outputs[0], strictly=True)
        except Wrong as wrong:
            return _failed(wrong.failure)
        except _TOO_LARGE as error:
            return _open(str(error))
        return Findings(checks=(Check(name=LARGER, status="passed", detail=f"right {published.where}"),))


def _after(fault: CandidateFault) -> Findings:
    if fault.unsupported or fault.kind == "out_of_memory":
        return _open(fault.unsupported or str(fault))
    if fault.kind == "runtime_error":
        return replace(_open("refused by raising"), scope=(str(fault)[:600],))
    return _failed(Failure(fault.kind, str(fault)))


def _failed(failure: Failure) -> Findings:
    return Findings(checks=(Check(name=LARGER, status="failed", detail=failure.message),), failure=failure)


def _open(why: str) -> Findings:
    return Findings(checks=(Check(name=LARGER, status="not_checked", detail=f"on the device: {why}"),))
