"""`python tests/bench_engines.py [ray]`: what scheduling costs, and how much two judges do that one does not.

Figures are printed, never asserted. Limits: wall times of this machine as it is now; a loaded one shows no speedup.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkout  # noqa: F401 - the packages below are found by it

from agent.engines import Engine, Wish, engine_for
from agent.engines.local import LocalEngine
from evaluators.candidate import candidate_from
from evaluators.evaluation import Evaluation
from evaluators.gpu_catalog import load_gpu
from evaluators.problem_catalog import load_problem

HONEST = Path(__file__).parent / "exploits" / "honest"
SMALL = load_problem(str(HONEST.parent / "reference_small.py"))
GPU = load_gpu("4090")
CANDIDATES = [candidate_from((HONEST / f"{name}.py").read_text()) for name in ("direct_triton", "stride_phase")]
NO_CANDIDATE = candidate_from("x = 1")  # refused by the screen in a millisecond: what is left is scheduling
ROUNDS = 8


def overhead_ms(engine: Engine) -> float:
    """Median time of a request less what the judge itself took."""
    took = []
    for _ in range(30):
        started = time.perf_counter()
        evaluation: Evaluation = engine.evaluate(SMALL, NO_CANDIDATE, GPU, announce=lambda rung: None)
        took.append(1e3 * (time.perf_counter() - started - evaluation.duration_s))
    return statistics.median(took)


def evaluations_per_minute(jobs: int) -> float:
    """Throughput of the whole ladder with this many judges, all warm."""
    with LocalEngine(jobs) as engine, ThreadPoolExecutor(jobs) as askers:

        def judged(number: int) -> str:
            return engine.evaluate(SMALL, CANDIDATES[number % 2], GPU).verdict

        list(askers.map(judged, range(2 * jobs)))
        started = time.perf_counter()
        verdicts = list(askers.map(judged, range(ROUNDS * jobs)))
        assert set(verdicts) == {"passed"}
        return 60 * len(verdicts) / (time.perf_counter() - started)


def printed(what: str, measure: Callable[[], float], unit: str) -> float:
    """Measure, print, return."""
    value = measure()
    print(f"{what}: {value:.3g} {unit} (load {os.getloadavg()[0]:.1f})", flush=True)
    return value


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", nargs="?", choices=["ray"], help="measured as well")
    options = parser.parse_args()
    with LocalEngine(1) as engine:
        engine.evaluate(SMALL, CANDIDATES[0], GPU)
        printed("local, scheduling of one evaluation", lambda: overhead_ms(engine), "ms")
    if options.engine == "ray":
        with engine_for("ray", Wish(jobs=1, gpu=GPU.key)) as engine:
            overhead_ms(engine)
            printed("ray, scheduling of one evaluation", lambda: overhead_ms(engine), "ms")
    one = printed("local, 1 judge", lambda: evaluations_per_minute(1), "evaluations/min")
    two = printed("local, 2 judges", lambda: evaluations_per_minute(2), "evaluations/min")
    print(f"2 judges do {two / one:.2f} times what one does")


if __name__ == "__main__":
    main()
