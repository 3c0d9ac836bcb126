"""Which candidates are worth ten seconds of a profiler."""

import pytest

from evaluators.candidate import Candidate
from evaluators.measurement import Duel, Latency, Timing
from evaluators.rungs import Findings, Incumbent, Task
from evaluators.rungs.profile import WORTH_PROFILING, check


def measured(ms):
    latency = Latency(median_ms=ms, p20_ms=ms, p80_ms=ms, samples=9)
    return Timing(
        device="a GPU",
        is_target=True,
        latency=latency,
        clock="judge's clock",
        outside=latency,
        protocol_ms=1.0,
        protocol_spread_ms=0.1,
        calls_per_sample=1,
        verified_calls=9,
        floor_ms=1.0,
        floor_limiter="memory",
        precision="fp32",
    )


@pytest.mark.parametrize(("ms", "is_left_out"), [(9.0, False), (12.0, False), (13.0, True)])
def test_a_candidate_that_is_clearly_slower_is_not_profiled(ms, is_left_out):
    candidate = Candidate(language="triton", source="")
    best = Incumbent(candidate=Candidate(language="triton", source="# best"), latency_ms=10.0)
    task = Task(
        None, candidate, None, None, None, bench=_NoBench(), incumbent=best, found=Findings(timing=measured(ms))
    )
    if not is_left_out:
        with pytest.raises(_Reached):
            check(task)
        return
    (found,) = check(task).checks
    assert (found.status, ms > 10 * WORTH_PROFILING) == ("not_checked", True)
    assert "1.3 times as long as the best" in found.detail


@pytest.mark.parametrize(("high", "is_left_out"), [(0.98, False), (1.0, True), (1.2, True)])
def test_after_a_duel_only_the_winner_is_profiled(high, is_left_out):
    duel = Duel(incumbent_id="other", ratio=high - 0.05, low=high - 0.1, high=high, pairs=12)
    best = Incumbent(candidate=Candidate(language="triton", source="# best"), latency_ms=10.0)
    found = Findings(timing=measured(9.9), duel=duel)
    task = Task(None, Candidate(language="triton", source=""), None, None, None, _NoBench(), best, found=found)
    if not is_left_out:
        with pytest.raises(_Reached):
            check(task)
        return
    assert check(task).checks[0].detail == "not profiled: no gain over the best so far in 12 pairs"


class _Reached(Exception):
    pass


class _NoBench:
    @property
    def card(self):
        raise _Reached
