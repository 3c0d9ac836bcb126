"""Format `kernelbench`: the file names and eval_results.json that KernelBench's analysis reads (as sample 0).

A measured runtime is the median of one call in ms. One that nobody measured is written as KernelBench writes a missing
one, -1.0, and the metadata says so: its fast_p then counts the kernel as not faster.

Limits: problems of KernelBench, known by level and number.
"""

import json
import re
from pathlib import Path
from typing import Any

from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation
from evaluators.measurement import Latency
from runs.export import export_source
from runs.exports.winner import Winner
from runs.measured import timing_of
from runs.verdict_text import verdict_text

NOT_MEASURED_MS = -1.0
_NOT_BUILT = ("screen", "build")
_TITLE = re.compile(r"level (\d+), problem (\d+)", re.IGNORECASE)
_PATH = re.compile(r"level_?(\d+)/(\d+)_")


def files(winner: Winner) -> dict[str, str]:
    """The kernel of sample 0 and the results of its run, in a folder named as the run."""
    level, problem = _place(winner)
    run = winner.directory.id
    kernel = export_source(winner.directory, winner.attempt.number)
    results = {str(problem): [entry_of(winner.attempt.evaluation, winner.directory.run.config.gpu)]}
    return {
        f"runs/{run}/level_{level}_problem_{problem}_sample_0_kernel.py": kernel,
        f"runs/{run}/eval_results.json": json.dumps(results, indent=2),
    }


def loading(winner: Winner, at: Path) -> str:
    """Where KernelBench's analysis looks for it."""
    level, _ = _place(winner)
    return (
        f"copy {at / 'runs'} into a checkout of KernelBench; there: python scripts/benchmark_eval_analysis.py "
        f"run_name={winner.directory.id} level={level} ..."
    )


def _place(winner: Winner) -> tuple[int, int]:
    problem = winner.problem
    found = _TITLE.search(problem.title) or _PATH.search(problem.path or "")
    if found is None:
        raise UsageError(
            f"{problem.key} is no problem of KernelBench (neither its title nor its path names level and number); "
            "use another --format"
        )
    return int(found[1]), int(found[2])


def entry_of(evaluation: Evaluation | None, gpu: str) -> dict[str, Any]:
    """One evaluation as an entry of eval_results.json; None (no kernel) neither compiled nor is correct."""
    bound = evaluation.estimate.value_ms if evaluation and evaluation.estimate else None
    timing = timing_of(evaluation)
    return {
        "sample_id": 0,
        "compiled": evaluation is not None and (evaluation.verdict != "failed" or evaluation.rung not in _NOT_BUILT),
        "correctness": evaluation is not None and evaluation.verdict == "passed",
        "metadata": {
            "hardware": timing.device if timing else gpu,
            "device": timing.device if timing else "none: not run on a GPU",
            "runtime": "median of a call" if timing else "not measured",
            "verdict": verdict_text(evaluation),
            "estimated_lower_bound_ms": bound,
        },
        "runtime": timing.latency.median_ms if timing else NOT_MEASURED_MS,
        "runtime_stats": runtime_stats(timing.latency, timing.device) if timing else {},
    }


def runtime_stats(latency: Latency, device: str) -> dict[str, Any]:
    """A latency in KernelBench's words, in ms; its `mean` is our median, which `statistic` says."""
    return {
        "mean": latency.median_ms,
        "statistic": "median",
        "p20": latency.p20_ms,
        "p80": latency.p80_ms,
        "num_trials": latency.samples,
        "hardware": device,
        "device": device,
    }
