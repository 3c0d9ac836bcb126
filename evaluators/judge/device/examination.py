"""A candidate on the device: small geometries with the whole sequence of calls, then the published size, audited.

The same questions as in the interpreter (evaluators/judge/examination.py), less those only an interpreter can ask:
order of programs, autotune configurations one by one, kernels without their stores.
Limits: of the unpublished geometries a few are drawn at random, since each is compiled anew; all where the interpreter
could not run the candidate.
"""

from collections.abc import Callable

import torch

from evaluators.evaluation import Check, NumericError
from evaluators.judge.batch import Fired
from evaluators.judge.conversation import Answer
from evaluators.judge.device.bench import Bench, Seat
from evaluators.judge.device.published import WHERE
from evaluators.judge.examination import Examination
from evaluators.judge.geometry import Geometries
from evaluators.judge.own_arithmetic import require_own_arithmetic
from evaluators.judge.verdicts import CannotCheck, require_kernels
from evaluators.problem import Problem

FEW_GEOMETRIES = 2
# Truncated operands are off in one direction, which sums of a handful of products do not average out: 9.5e-4 on the
# smallest geometry of problem 68, 7.3e-4 on its published one (tl.dot in TF32, one H100). bf16 makes 1.6e-3 and more.
FEW_PRODUCTS = 4 / 3
AUDITED: dict[str, bool] = {"audit": True}


class DeviceExamination(Examination):
    """One candidate on the GPU."""

    options = AUDITED
    first_call_s: float | None = None  # of the published size: compilation and autotuning
    published_error: NumericError | None = None

    def __init__(self, bench: Bench, seat: Seat, problem: Problem) -> None:
        small = problem.tolerance.tf32_error_multiple * FEW_PRODUCTS
        tolerance = problem.tolerance.model_copy(update={"tf32_error_multiple": small})
        super().__init__(seat.talk, problem.key, tolerance, library_ops=problem.library_ops)
        self._bench = bench
        self._seat = seat

    def run_with(self, geometries: Geometries, few: Callable[[], bool]) -> None:
        """Ask everything; raises Wrong, CandidateFault or CannotCheck. `few`: the interpreter has seen the others."""
        base = self._own_geometry(geometries)
        if base is None:
            raise CannotCheck(self._limits[0])
        self._sequence(geometries.smallest, base.geometry)
        self._published()
        count = min(FEW_GEOMETRIES if few() else len(geometries.general), len(geometries.general))
        self._general(tuple(self._random.sample(geometries.general, count)))
        self.checks = {"on_device": self._summary(count)}

    def _published(self) -> None:
        """Calls at the published size whose time does not count: the first compiles, the second is audited."""
        published = self._bench.published
        self._seat.sit()
        for options in ({}, AUDITED):
            inputs = published.draw()
            fired = self._seat.run([inputs], options=dict(options))
            if options:
                answer = _answer(fired)
                require_kernels(answer, WHERE)
                require_own_arithmetic(answer.report, self.library_ops, WHERE)
            else:
                self.first_call_s = fired.seconds
            self.published_error = published.verify(inputs, fired.outputs[0], strictly=True)

    def _summary(self, general: int) -> Check:
        refused = f" ({len(self.scope)} refused by raising)" if self.scope else ""
        detail = (
            f"{self._bench.card.name}: small geometry, {general} unpublished ones{refused}, a sequence of calls and "
            f"2 calls at the published size right; operators and launches recorded; torch {torch.__version__}"
        )
        return Check(name="on_device", status="passed", detail=detail)


def _answer(fired: Fired) -> Answer:
    return Answer(
        described=fired.described[0],
        outputs=fired.outputs[0],
        report=fired.report,
        payload=b"",
        stopped=False,
        inputs_intact=True,
        seconds=fired.seconds,
    )
