"""A candidate on the device: small geometries with the whole sequence of calls, then the published size, audited.

The same questions as in the interpreter (evaluators/judge/examination.py), less those only an interpreter can ask:
order of programs, autotune configurations one by one, kernels without their stores. Each geometry has a process of its
own and all run abreast, because what takes time is compiling, anew for each.
Limits: of the unpublished geometries a few are drawn at random; all where the interpreter could not run the candidate.
"""

from dataclasses import dataclass, field

import torch

from evaluators.candidate import Candidate
from evaluators.evaluation import Check, NumericError
from evaluators.judge.batch import Fired
from evaluators.judge.conversation import Answer, Conversation
from evaluators.judge.device.bench import Bench
from evaluators.judge.device.published import WHERE
from evaluators.judge.examination import Examination
from evaluators.judge.expectation import expect
from evaluators.judge.geometry import Geometries, Geometry
from evaluators.judge.own_arithmetic import require_own_arithmetic
from evaluators.judge.verdicts import CannotCheck, require_kernels
from evaluators.problem import Problem

FEW_GEOMETRIES = 2
# Truncated operands are off in one direction, which sums of a handful of products do not average out: 9.5e-4 on the
# smallest geometry of problem 68, 7.3e-4 on its published one (tl.dot in TF32, one H100). bf16 makes 1.6e-3 and more.
FEW_PRODUCTS = 4 / 3
AUDITED: dict[str, bool] = {"audit": True}


class DeviceExamination(Examination):
    """One process on the GPU and the small geometries it is asked for. `tf32`: what the problem itself allows."""

    options = AUDITED

    def __init__(self, talk: Conversation, problem: Problem, *, tf32: bool) -> None:
        small = problem.tolerance.tf32_error_multiple * FEW_PRODUCTS
        tolerance = problem.tolerance.model_copy(update={"tf32_error_multiple": small})
        super().__init__(talk, problem.key, tolerance, library_ops=problem.library_ops)
        self.tf32 = tf32

    def own(self, geometries: Geometries) -> None:
        """The problem's own hyperparameters, made small."""
        if self._own_geometry(geometries) is None:
            raise CannotCheck(self._limits[0])

    def many_calls(self, geometries: Geometries) -> None:
        """The sequence of calls on one model."""
        self._sequence((geometries.smallest, *geometries.own), None)

    def unpublished(self, geometry: Geometry) -> None:
        """A geometry that was never published; refusing it by raising limits the scope."""
        self._general((geometry,))


@dataclass
class PublishedCalls:
    """Calls at the published size whose time does not count: the first compiles, the second is audited."""

    bench: Bench
    candidate: Candidate
    library_ops: tuple[str, ...]
    first_call_s: float | None = None  # compilation and autotuning
    errors: list[NumericError] = field(default_factory=list)

    def make(self) -> None:
        """Raises Wrong or CandidateFault."""
        seat = self.bench.seat(self.candidate)
        seat.sit()
        for options in ({}, AUDITED):
            inputs = self.bench.published.draw()
            fired = seat.run([inputs], options=dict(options))
            if options:
                answer = answer_of(fired)
                require_kernels(answer, WHERE)
                require_own_arithmetic(answer.report, self.library_ops, WHERE)
            else:
                self.first_call_s = fired.seconds
            if held := self.bench.published.verify(inputs, fired.outputs[0], strictly=True):
                self.errors.append(held)


def allows_tf32(problem: Problem, geometries: Geometries) -> bool:
    """Whether the problem itself may be computed in TF32; geometries that were never published are held to it too."""
    small = geometries.reduced
    return expect(small.build(0), small.draw(0), problem.key, problem.tolerance)[0].tf32


def tunes_itself(candidate: Candidate) -> bool:
    """Whether its first call may time configurations, for which it must have the device to itself."""
    return "autotune" in candidate.source


def what_held(device: str, general: int, refused: int) -> Check:
    """The check of a candidate that is right on the device: which calls were made."""
    said = f" ({refused} refused by raising)" if refused else ""
    detail = (
        f"{device}: small geometry, {general} unpublished ones{said}, a sequence of calls and "
        f"2 calls at the published size right; operators and launches recorded; torch {torch.__version__}"
    )
    return Check(name="on_device", status="passed", detail=detail)


def answer_of(fired: Fired) -> Answer:
    """The only call of a batch."""
    return Answer(
        described=fired.described[0],
        outputs=fired.outputs[0],
        report=fired.report,
        payload=b"",
        stopped=False,
        inputs_intact=True,
        seconds=fired.seconds,
    )
