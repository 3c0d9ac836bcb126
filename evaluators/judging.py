"""Who says what is true of a candidate: the judge process, or the verdicts of a recorded run.

Limits: the protocol only. The judge itself is evaluators/client.py, a recorded one runs/verdicts.py.
"""

from collections.abc import Callable
from typing import Protocol

from evaluators.candidate import Candidate
from evaluators.evaluation import Evaluation
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts


class Judge(Protocol):
    """Facts about a problem and verdicts on candidates."""

    def facts(self, problem: Problem) -> ProblemFacts: ...

    def evaluate(
        self, problem: Problem, candidate: Candidate, gpu: GpuSpec, *, announce: Callable[[str], None]
    ) -> Evaluation: ...
