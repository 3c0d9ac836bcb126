"""A judge that repeats the verdicts of a recorded run: no GPU, no torch, nothing is executed.

With `--model replay:RUN` a run is then made again bit for bit: the same prompts, replies, kernels, verdicts, decisions.

Limits: candidates of that run for that problem and GPU. Any other candidate is refused, never guessed.
"""

from collections.abc import Callable, Sequence

from evaluators.candidate import Candidate
from evaluators.client import JudgeBug
from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation, Rung, evaluation_adapter
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from evaluators.rungs import Incumbent
from runs.store import RunDirectory, point_file


class RecordedJudge:
    """Answers from a run directory."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._state = run.state()

    def facts(self, problem: Problem) -> ProblemFacts:
        """The facts the run was given. Raises UsageError where it did not keep them."""
        facts = self._run.facts()
        if facts is None:
            raise UsageError(f"run {self._run.id} kept no facts.json; replay it without --recorded-verdicts")
        return facts

    def device(self) -> str | None:
        """None: nothing is measured."""
        return None

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
        """The recorded verdict. Raises UsageError where this candidate was never judged for this problem and GPU."""
        is_full = rungs is None or "correctness" in rungs
        known = self._point(candidate, is_full=is_full) or self._attempt(candidate, is_full=is_full)
        recorded = Problem.model_validate_json(self._run.run.config.problem_source)
        if known is None or gpu.key != self._run.run.config.gpu or problem.id != recorded.id:
            raise UsageError(
                f"run {self._run.id} holds no verdict on candidate {candidate.id} for {problem.key} on {gpu.key}; "
                "replay it without --recorded-verdicts"
            )
        return known

    def _attempt(self, candidate: Candidate, *, is_full: bool) -> Evaluation | None:
        known = self._state.judged(candidate.id) if is_full else None
        return known.evaluation if known else None

    def _point(self, candidate: Candidate, *, is_full: bool) -> Evaluation | None:
        """The verdict on a point of a SPACE, where it was one. Raises JudgeBug where the recorded run had none."""
        for attempt in self._state.attempts:
            rows = attempt.tuning.points if attempt.tuning else ()
            row = next((row for row in rows if row.candidate_id == candidate.id), None)
            if row is None:
                continue
            if row.verdict == "not judged":
                raise JudgeBug(row.detail)
            text = self._run.read(attempt.number, point_file(candidate.id, is_full=is_full))
            if text is not None:
                return evaluation_adapter.validate_json(text)
        return None

    def close(self) -> None:
        """Nothing is open."""
