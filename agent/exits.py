"""How a command ends: the final words, the one JSON object, the exit code.

    0 passed or improved    1 candidate failed or nothing better found    4 unverified
    2 wrong usage           3 this machine cannot

Limits: numbers and words only; codes 2 and 3 come from the error tree in agent/cli.py.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

from agent.decision import is_unranked
from agent.time_limit import STOPPED
from evaluators.evaluation import Evaluation
from evaluators.gpu_catalog import load_gpu
from evaluators.problem import Problem
from evaluators.problem_catalog import BUILT_IN_DIR
from runs.inert import one_line
from runs.measured import timing_of
from runs.measured_text import floor_text, speedup_text, time_text
from runs.nouns import Attempt, RunConfig
from runs.report.roofline import roof_of
from runs.show import ended_text, usage_text
from runs.state import RunState
from runs.store import RunDirectory

MORE = {  # the option that lets a run go on, by how the reason begins for which it ended
    "attempts used up": "--max-attempts",
    "time used up": "--max-seconds",
    "no time for another attempt": "--max-seconds",
}
_BY_VERDICT = {"passed": 0, "failed": 1, "unverified": 4}


def code_of(evaluation: Evaluation | None) -> int:
    """The exit code of a verdict; 1 where there is none."""
    return _BY_VERDICT[evaluation.verdict] if evaluation else 1


def finish(directory: RunDirectory, reason: str, *, as_json: bool) -> NoReturn:
    """Say how a run ended and leave with its exit code."""
    state = directory.state()
    best = state.best
    if as_json:
        print(json.dumps(summary(directory, state, reason)))
    for line in final_words(directory, state, reason):
        print(line, file=sys.stderr)
    sys.exit(code_of(best.evaluation if best else None))


def final_words(directory: RunDirectory, state: RunState, reason: str) -> list[str]:
    """The end of a run for a person: why it ended, what is best, where it is, what was not checked."""
    best = state.best
    look = f"look at it: agent show {directory.argument}, or open {directory.path / 'report.html'}"
    if reason == "interrupted" or reason.startswith(STOPPED):
        look += f"; go on: agent resume {directory.argument}"
    elif option := more_of(reason):
        look += f"; go on: agent resume {directory.argument} {option} N"
    made = "1 attempt" if len(state.attempts) == 1 else f"{len(state.attempts)} attempts"
    words = [f"{ended_text(directory, reason)}; {made}, {usage_text(state.usage)}"]
    if best is None or best.evaluation is None:
        return [*words, f"no kernel found: {_why_none(state)}", look]
    open_ = [check.name for check in best.evaluation.checks if check.status == "not_checked"]
    return [
        *words,
        f"best: attempt {best.number} ({best.evaluation.verdict}), {figure_text(best.evaluation)}",
        problem_floor_text(directory),
        f"not checked on this machine: {', '.join(open_) or 'nothing'}",
        _exported_words(directory, best),
        *_unverified_words(directory, state.attempts, best),
        *_unranked_words(directory, state.attempts, best),
        look,
    ]


def _exported_words(directory: RunDirectory, best: Attempt) -> str:
    if code_of(best.evaluation) == 0:
        return f"exported: {directory.path / 'best.py'}"
    return (
        f"not exported, because it did not pass; judge it on a machine with this GPU: {_judge_command(directory, best)}"
        f"; or take it as it is: agent export {directory.argument} --allow-unverified -o kernel.py"
    )


def _unverified_words(directory: RunDirectory, attempts: tuple[Attempt, ...], best: Attempt) -> list[str]:
    """Other candidates that this machine could not verify, with the command that can."""
    return [
        f"unverified here, so not ranked against attempt {best.number}: attempt {attempt.number}, "
        f"{one_line(attempt.plan, 320)}; on a machine with this GPU: {_judge_command(directory, attempt)}"
        for attempt in attempts
        if attempt.number != best.number
        and attempt.reused_from is None
        and attempt.evaluation is not None
        and attempt.evaluation.verdict == "unverified"
    ]


def _unranked_words(directory: RunDirectory, attempts: tuple[Attempt, ...], best: Attempt) -> list[str]:
    """Other candidates that passed and that nothing on this machine orders against the best: the user may choose."""
    if best.evaluation is None or best.evaluation.verdict != "passed":
        return []
    others = [
        str(attempt.number)
        for attempt in attempts
        if attempt.number != best.number
        and attempt.reused_from is None
        and attempt.evaluation is not None
        and attempt.evaluation.verdict == "passed"
        and is_unranked(attempt.evaluation, best.evaluation)
    ]
    if not others:
        return []
    return [
        f"passed as well, and not ranked against attempt {best.number} here (one of the two has no complete estimate): "
        f"attempt {', '.join(others)}; registers, spills, occupancy: agent show {directory.argument}; take one: "
        f"agent export {directory.argument} --attempt {others[0]}"
    ]


def _judge_command(directory: RunDirectory, attempt: Attempt) -> str:
    config = directory.run.config
    kernel = shlex.quote(str(directory.attempt_file(attempt.number, "kernel.py")))
    return f"agent evaluate {kernel} --problem {shlex.quote(problem_argument(config))} --gpu {config.gpu}"


def problem_argument(config: RunConfig) -> str:
    """How the problem of a run is named on the command line: the key of a built-in one, else the path of its file."""
    path = Problem.model_validate_json(config.problem_source).path
    return config.problem if path is None or Path(path).parent == BUILT_IN_DIR else path


def figure_text(evaluation: Evaluation) -> str:
    """The figure of an evaluation that counts, with its origin."""
    timing = timing_of(evaluation)
    if timing is not None:
        return f"measured {time_text(timing)}: {speedup_text(timing)}; {floor_text(timing)}"
    if evaluation.estimate is None:
        return "neither measured nor estimated"
    estimate = evaluation.estimate
    return f"estimated lower bound {estimate.value_ms:.3g} ms on {estimate.target} (limited by {estimate.limiter})"


def problem_floor_text(directory: RunDirectory) -> str:
    """What the problem takes at least on this part, beside which the figure of a kernel is read."""
    roof = roof_of(directory.facts(), load_gpu(directory.run.config.gpu))
    if roof is None:
        return "floor of the problem: not known, its FLOP and bytes were not counted"
    bytes_text = f"{roof.memory_ms:.3g} ms for {roof.bytes_moved / 1e6:.4g} MB at {roof.tb_per_s:.3g} TB/s"
    rates = ", ".join(
        f"{roof.flop / peak / 1e9:.3g} ms at {peak:.4g} TFLOP/s {name}" for name, peak in roof.peaks.items()
    )
    work = f"{roof.flop / 1e9:.4g} GFLOP: {rates}" if roof.flop else "its FLOP were not counted"
    return f"floor of the problem (estimated from vendor figures): {bytes_text}; {work}"


def summary(directory: RunDirectory, state: RunState, reason: str) -> dict[str, Any]:
    """The final JSON object of a run."""
    best = state.best
    return {
        "run": directory.id,
        "path": str(directory.path),
        "problem": directory.run.config.problem,
        "gpu": directory.run.config.gpu,
        "model": directory.run.config.model,
        "ended": reason,
        "attempts": len(state.attempts),
        "usage": state.usage.model_dump(mode="json"),
        "best": _best_summary(best) if best else None,
        "exported": str(directory.path / "best.py") if best and code_of(best.evaluation) == 0 else None,
        "floor": _floor_summary(directory),
    }


def _best_summary(best: Attempt) -> dict[str, Any]:
    evaluation = best.evaluation
    return {
        "attempt": best.number,
        "candidate_id": best.candidate_id,
        "verdict": evaluation.verdict if evaluation else None,
        "timing": evaluation.timing.model_dump(mode="json") if evaluation and evaluation.timing else None,
        "estimate": evaluation.estimate.model_dump(mode="json") if evaluation and evaluation.estimate else None,
    }


def _floor_summary(directory: RunDirectory) -> dict[str, Any] | None:
    roof = roof_of(directory.facts(), load_gpu(directory.run.config.gpu))
    if roof is None:
        return None
    flop_ms = {name: roof.flop / peak / 1e9 for name, peak in roof.peaks.items() if roof.flop}
    return {"kind": "estimated", "bytes_ms": roof.memory_ms, "flop_ms": flop_ms, "limiter": roof.limiter}


def more_of(reason: str) -> str | None:
    """The option that lets a run go on which ended for this reason, if one does."""
    return next((option for begins, option in MORE.items() if reason.startswith(begins)), None)


def _why_none(state: RunState) -> str:
    if state.pending is not None:
        return f"attempt {state.pending.number} was interrupted; it has its reply and is judged when the run goes on"
    if not state.attempts:
        return "no attempt was made"
    reasons = [attempt.reply_problem or attempt.reason for attempt in state.attempts]
    return "; ".join(dict.fromkeys(reasons))
