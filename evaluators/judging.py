"""Who says what is true of a candidate: the judge process, or the verdicts of a recorded run.

Limits: the protocol only. The judge itself is evaluators/client.py, a recorded one runs/verdicts.py.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from evaluators.candidate import Candidate
from evaluators.evaluation import Evaluation, Rung
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from evaluators.rungs import Incumbent


class Judge(Protocol):
    """Facts about a problem and verdicts on candidates."""

    def facts(self, problem: Problem) -> ProblemFacts: ...

    def device(self) -> str | None:
        """Name of the GPU that measures; None where none does."""

    def evaluate(
        self,
        problem: Problem,
        candidate: Candidate,
        gpu: GpuSpec,
        *,
        announce: Callable[[str], None],
        incumbent: Incumbent | None = None,
        metrics: Sequence[str] = (),
        rungs: Sequence[Rung] | None = None,
    ) -> Evaluation:
        """`incumbent`: measured on this device, compared interleaved; `metrics`: what a profiler is asked for.

        `rungs`: only these; None: the whole ladder.
        """
