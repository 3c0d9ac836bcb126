"""What a run leaves for later ones: measured figures where there are any, and no judgement where nothing ranks."""

from evaluators.gpu_catalog import load_gpu
from evaluators.problem import ProblemFacts
from runs.memory import most_relevant, outcomes_of
from runs.nouns import Attempted
from runs.state import fold

FACTS = ProblemFacts(inputs=(), parameters=(), outputs=(), init_args="", operator="scale", flop=1, bytes_moved=1)


def outcomes(recorded, attempts):
    state = fold([Attempted(attempt=attempt) for attempt in attempts])
    return outcomes_of(recorded, FACTS, load_gpu("4090"), state)


def test_times_are_remembered_as_measured(recorded_measured):
    known = {outcome.attempt: outcome for outcome in outcomes(recorded_measured, recorded_measured.state().attempts)}
    assert (known[6].origin, known[6].before_ms, known[6].after_ms, known[6].outcome) == ("measured", 4.0, 2.5, "gain")


def test_an_attempt_that_nothing_ranks_is_no_failure_to_gain(recorded):
    best = recorded.state().best
    estimate = best.evaluation.estimate.model_copy(update={"left_out": ("a loop",)})
    unranked = best.evaluation.model_copy(update={"estimate": estimate})
    later = best.model_copy(
        update={"number": 3, "parent": 2, "evaluation": unranked, "decision": "discard", "candidate_id": "x"}
    )
    known = outcomes(recorded, [best.model_copy(update={"parent": None}), later])
    assert [outcome.outcome for outcome in known] == ["first", "not ranked"]
    equal = later.model_copy(update={"evaluation": best.evaluation})
    assert outcomes(recorded, [best.model_copy(update={"parent": None}), equal])[-1].outcome == "no gain"
    assert [each.outcome for each in most_relevant(known[::-1], "tiling")] == ["first", "not ranked"]
