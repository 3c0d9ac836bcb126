"""Whether an attempt becomes the new best, and why, in words.

Measured against measured, the duel decides: both were timed in turns in one sitting, and the new one is kept where the
whole interval of the ratio says faster. A measured candidate beats one that was only estimated.

Without a clock only the estimate ranks, and it is a lower bound: bounds that differ by less than `CLAIM_RATIO` order
the search but claim no difference. Where two bounds are equal (both at the memory floor, say) compiled evidence breaks
the tie: fewer spilled bytes, then a lower second limit. A candidate that passed always beats one that could not be
verified.

Where one of two has no complete bound (CUDA text has none without a GPU) nothing says which is faster, and no reason
claims it. The search goes on from the one that later attempts can be ranked against, unless it spills more; the user
can take the other one by its number.

Limits: two candidates at a time.
"""

import math

from evaluators.evaluation import Evaluation
from runs.nouns import Attempt, Decision

# Measured time over bound was 1.7 to 3.0 for three of five of 34 kernels on an H100 (docs/calibration): bounds that
# differ by less than 3.0 / 1.7 say nothing about who is faster.
CLAIM_RATIO = 2.0
NOISE_RATIO = 1.01  # a bound less than 1 % lower is no progress
SECOND_RATIO = 1.1  # the second limit has to fall by 10 % to count: it is not what the estimate says bounds the kernel


def decide(evaluation: Evaluation | None, best: Attempt | None) -> tuple[Decision, str]:
    """Keep, discard or crash, with the reason. `evaluation` is None where the reply held no candidate."""
    if evaluation is None:
        return "discard", "the reply held no candidate"
    if evaluation.verdict == "failed":
        crashed = evaluation.kind in ("crashed", "timeout")
        return "crash" if crashed else "discard", f"failed at {evaluation.rung}: {evaluation.kind}"
    if best is None or best.evaluation is None:
        return "keep", f"first candidate that is {evaluation.verdict}"
    if evaluation.verdict != best.evaluation.verdict:
        if evaluation.verdict == "passed":
            return "keep", f"passed, while the best so far (attempt {best.number}) is unverified"
        return "discard", f"unverified, while attempt {best.number} passed"
    return _by_clock(evaluation, best.evaluation, best.number) or _by_estimate(evaluation, best.evaluation, best.number)


def _by_clock(challenger: Evaluation, incumbent: Evaluation, number: int) -> tuple[Decision, str] | None:
    """None where neither was measured."""
    mine, theirs, duel = challenger.timing, incumbent.timing, challenger.duel
    if mine is None:
        return None if theirs is None else ("discard", f"not measured, while attempt {number} was")
    figure = f"measured {mine.latency.median_ms:.4g} ms on {mine.device}"
    if theirs is None:
        return "keep", f"{figure}, while attempt {number} was only estimated"
    if duel is None:
        return "discard", f"{figure} against {theirs.latency.median_ms:.4g} ms of attempt {number}: clearly slower"
    interval = f"{1 / duel.high:.3f}-{1 / duel.low:.3f}"
    said = f"{1 / duel.ratio:.3f}x ({interval}) the speed of attempt {number} in {duel.pairs} pairs"
    if duel.high < 1:
        return "keep", f"{figure}: {said}"
    return "discard", f"{figure}: {said}: no gain beyond doubt"


def _by_estimate(challenger: Evaluation, incumbent: Evaluation, number: int) -> tuple[Decision, str]:
    new, old = _bound_ms(challenger), _bound_ms(incumbent)
    if new is None or old is None:
        return _unranked(challenger, incumbent, number)
    mine, theirs = _told_apart(new, old)
    figures = f"estimated bound {mine} ms against {theirs} ms of attempt {number}"
    if new * NOISE_RATIO >= old:
        tie = _tie_breaker(challenger, incumbent) if new <= old * NOISE_RATIO else None
        nearly = ", less than 1 % lower" if new < old else ""
        return ("keep", f"{figures}: equal, but {tie}") if tie else ("discard", f"{figures}{nearly}: no gain")
    if old / new < CLAIM_RATIO:
        return "keep", f"{figures}: ranked by estimate, below {CLAIM_RATIO:g}x no difference is claimed"
    return "keep", f"{figures}: {old / new:.1f}x lower bound"


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Both with three digits, or as many as it takes to tell them apart (at most seven)."""
    digits = next((n for n in range(3, 7) if f"{one:.{n}g}" != f"{other:.{n}g}"), 3 if one == other else 7)
    return f"{one:.{digits}g}", f"{other:.{digits}g}"


def _unranked(challenger: Evaluation, incumbent: Evaluation, number: int) -> tuple[Decision, str]:
    """A bound is missing, so what was compiled speaks, and then whether the search could go on ranking."""
    new, old = _bound_ms(challenger), _bound_ms(incumbent)
    none_here = f"no complete estimate to rank it against attempt {number}"
    if old is not None:
        return "discard", none_here
    spilled, before = _spilled_bytes(challenger), _spilled_bytes(incumbent)
    spills = f"{spilled} bytes spilled in place of {before} (compiled)"
    if spilled > before:
        return "discard", f"attempt {number} has no complete estimate to rank it against, and {spills}"
    if new is not None:
        return "keep", (
            f"attempt {number} has no complete estimate, so which is faster is not known here; from this one (bound "
            f"{new:.3g} ms) the search can rank. To take the other: agent export --attempt {number}"
        )
    return ("keep", f"{none_here}, but {spills}") if spilled < before else ("discard", f"{none_here}; equal spills")


def is_unranked(one: Evaluation, other: Evaluation) -> bool:
    """Whether nothing on record orders the two: neither was timed and one has no complete bound."""
    is_timed = one.timing is not None or other.timing is not None
    return not is_timed and (_bound_ms(one) is None or _bound_ms(other) is None)


def _tie_breaker(challenger: Evaluation, incumbent: Evaluation) -> str | None:
    """Why the challenger is preferred at an equal bound, in words; None where nothing speaks for it."""
    new, old = _spilled_bytes(challenger), _spilled_bytes(incumbent)
    if new != old:
        return f"{new} bytes spilled in place of {old} (compiled)" if new < old else None
    (name, second), (_, old_second) = _second_limit(challenger), _second_limit(incumbent)
    if second * SECOND_RATIO < old_second:
        return f"the next limit is {second:.3g} ms ({name}) in place of {old_second:.3g} ms (estimated)"
    return None


def _spilled_bytes(evaluation: Evaluation) -> int:
    return sum(kernel.spills for kernel in evaluation.kernels)


def _second_limit(evaluation: Evaluation) -> tuple[str, float]:
    """The component of the estimate that would bound it if the largest were not there."""
    components = evaluation.estimate.components_ms if evaluation.estimate else {}
    ordered = sorted(components.items(), key=lambda item: -item[1])
    return ordered[1] if len(ordered) > 1 else ("none", 0.0)


def rank(evaluation: Evaluation | None) -> tuple[int, float]:
    """A key that sorts candidates best first: passed before unverified before failed, then the lower time or bound."""
    if evaluation is None:
        return 3, math.inf
    order = ("passed", "unverified", "failed").index(evaluation.verdict)
    if evaluation.timing is not None:
        return order, evaluation.timing.latency.median_ms
    bound = _bound_ms(evaluation)
    return order, math.inf if bound is None else bound


def _bound_ms(evaluation: Evaluation) -> float | None:
    """The bound, unless work was left out of it: then it is too low to compare."""
    estimate = evaluation.estimate
    return estimate.value_ms if estimate is not None and not estimate.left_out else None
