"""What a profiler did not deliver is said when it changes, and not again at every attempt."""

from types import SimpleNamespace

from agent.profile_gaps import gaps
from evaluators.measurement import Profile


def evaluation(**missing):
    return SimpleNamespace(profile=Profile(source="cupti", device="a card", missing=missing))


def state(*evaluations):
    return SimpleNamespace(attempts=[SimpleNamespace(evaluation=each) for each in evaluations])


def test_names_with_one_reason_stand_in_one_line():
    said = gaps(evaluation(b="no ncu", a="no ncu", c="printed 'n/a'"), state())
    assert said == ["not measured: a, b: no ncu", "not measured: c: printed 'n/a'"]


def test_only_what_changed_since_the_last_profile_is_said():
    before = state(evaluation(a="no ncu"), None, SimpleNamespace(profile=None))
    assert gaps(evaluation(a="no ncu"), before) == []
    assert gaps(evaluation(a="no ncu", b="no ncu"), before) == ["not measured: b: no ncu"]
    assert gaps(evaluation(a="not permitted"), before) == ["not measured: a: not permitted"]


def test_an_attempt_without_a_profile_says_nothing():
    assert gaps(None, state()) == []
    assert gaps(SimpleNamespace(profile=None), state(evaluation(a="no ncu"))) == []
