"""The attempt that is exported, with all an export needs.

Limits: finding and refusing; what is written is up to the formats.
"""

import re
from dataclasses import dataclass

from evaluators.candidate import Language, candidate_from
from evaluators.errors import UsageError
from evaluators.problem import Problem
from runs.inert import one_line
from runs.nouns import Attempt
from runs.store import RunDirectory


@dataclass(frozen=True)
class Winner:
    """An attempt with its code and its problem."""

    directory: RunDirectory
    attempt: Attempt
    problem: Problem
    source: str

    @property
    def verdict(self) -> str:
        """The verdict in one word; `not judged` where there is none."""
        return self.attempt.evaluation.verdict if self.attempt.evaluation else "not judged"

    @property
    def language(self) -> Language:
        """Triton or CUDA."""
        return candidate_from(self.source).language

    @property
    def identifier(self) -> str:
        """The problem's and the GPU's name as a Python identifier."""
        name = re.sub(r"[^0-9a-z]+", "_", f"{self.problem.key}_{self.directory.run.config.gpu}".lower()).strip("_")
        return name if name[:1].isalpha() else f"kernel_{name}"


def winner_of(directory: RunDirectory, number: int | None = None) -> Winner:
    """The best attempt, or the one named. Raises UsageError where there is no code to export."""
    return winner_from(directory, _attempt(directory, number))


def winner_from(directory: RunDirectory, attempt: Attempt) -> Winner:
    """This attempt of the run. Raises UsageError where it holds no code to export."""
    source = directory.read(attempt.number, "kernel.py")
    if source is None:
        why = attempt.reply_problem or "kernel.py is missing"
        raise UsageError(f"attempt {attempt.number} of {directory.id} holds no code to export: {one_line(why)}")
    problem = Problem.model_validate_json(directory.run.config.problem_source)
    return Winner(directory, attempt, problem, source)


def verified(winner: Winner) -> Winner:
    """The winner, if it passed. Raises UsageError otherwise."""
    if winner.verdict != "passed":
        raise UsageError(f"{standing(winner)}; export it all the same with --allow-unverified")
    return winner


def standing(winner: Winner) -> str:
    """The attempt with its verdict, and why it is not passed; that it failed stands out."""
    evaluation = winner.attempt.evaluation
    why = one_line(evaluation.message if evaluation else winner.attempt.reply_problem, 120)
    verdict = f"FAILED at {evaluation.rung}" if evaluation and evaluation.verdict == "failed" else winner.verdict
    return f"attempt {winner.attempt.number} of {winner.directory.id} is {verdict}{f' ({why})' if why else ''}"


def _attempt(directory: RunDirectory, number: int | None) -> Attempt:
    state = directory.state()
    if number is None:
        if not state.attempts:
            raise UsageError(f"{directory.id} has no attempt yet, so there is nothing to export")
        if state.best is None:
            raise UsageError(f"{directory.id} has no best kernel to export; name one: --attempt N")
        return state.best
    attempt = state.attempt(number)
    if attempt is None:
        raise UsageError(f"{directory.id} has no attempt {number}; it has {len(state.attempts)}")
    return attempt
