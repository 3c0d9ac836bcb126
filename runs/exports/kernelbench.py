"""Format `kernelbench`: the file names and eval_results.json that KernelBench's analysis reads (as sample 0).

A runtime nobody measured is written as KernelBench writes a missing one, -1.0, and the metadata says so: its fast_p
then counts the kernel as not faster.

Limits: problems of KernelBench, known by level and number.
"""

import json
import re
from typing import Any

from evaluators.errors import UsageError
from runs.export import export_source
from runs.exports.winner import Winner
from runs.verdict_text import verdict_text

_TITLE = re.compile(r"level (\d+), problem (\d+)", re.IGNORECASE)
_PATH = re.compile(r"level_?(\d+)/(\d+)_")


def files(winner: Winner) -> dict[str, str]:
    """The kernel of sample 0 and the results of its run, in a folder named as the run."""
    level, problem = _place(winner)
    run = winner.directory.id
    kernel = export_source(winner.directory, winner.attempt.number)
    results = {str(problem): [_entry(winner)]}
    return {
        f"runs/{run}/level_{level}_problem_{problem}_sample_0_kernel.py": kernel,
        f"runs/{run}/eval_results.json": json.dumps(results, indent=2),
    }


def _place(winner: Winner) -> tuple[int, int]:
    problem = winner.problem
    found = _TITLE.search(problem.title) or _PATH.search(problem.path or "")
    if found is None:
        raise UsageError(
            f"{problem.key} is no problem of KernelBench (neither its title nor its path names level and number); "
            "use another --format"
        )
    return int(found[1]), int(found[2])


def _entry(winner: Winner) -> dict[str, Any]:
    evaluation = winner.attempt.evaluation
    bound = evaluation.estimate.value_ms if evaluation and evaluation.estimate else None
    return {
        "sample_id": 0,
        "compiled": evaluation is not None and (evaluation.verdict != "failed" or evaluation.rung != "build"),
        "correctness": winner.verdict == "passed",
        "metadata": {
            "hardware": winner.directory.run.config.gpu,
            "device": "none: not run on a GPU",
            "runtime": "not measured",
            "verdict": verdict_text(evaluation),
            "estimated_lower_bound_ms": bound,
        },
        "runtime": -1.0,
        "runtime_stats": {},
    }
