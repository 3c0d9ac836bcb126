"""The hard end of --max-seconds."""

import signal
import time

import pytest

from agent import time_limit
from agent.point_rank import preference
from agent.time_limit import STOPPED
from evaluators.evaluation import Estimate, KernelResources, Passed


def test_what_goes_on_beyond_the_grace_is_stopped_with_the_reason(monkeypatch):
    monkeypatch.setattr(time_limit, "GRACE_S", 0.05)
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match=f"{STOPPED}--max-seconds 10"), time_limit.time_limit(10, spent_s=12):
        time.sleep(5)
    assert time.monotonic() - started < 2
    with time_limit.time_limit(None, spent_s=0):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before


def judged(bound_ms, spills=0, second_ms=0.5, occupancy_pct=50.0):
    kernel = KernelResources(
        name="k",
        grid=(1, 1, 1),
        registers=64,
        spills=spills,
        shared_memory_bytes=0,
        theoretical_occupancy_pct=occupancy_pct,
        occupancy_limiter="registers",
        num_warps=4,
        num_stages=2,
        waves=1.0,
    )
    components = {"memory": bound_ms, "issue": second_ms}
    estimate = Estimate(value_ms=bound_ms, limiter="memory", components_ms=components, assumptions=(), unmodelled=())
    common = {"candidate_id": "c", "problem": "p", "gpu": "g", "duration_s": 1.0}
    return Passed(kernels=(kernel,), estimate=estimate, **common)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (judged(2.0), "estimated bound 1 against 2 ms"),
        (
            judged(1.001, spills=16),
            "bounds equal within 2 % (1 against 1.001 ms, estimated), 0 bytes spilled against 16",
        ),
        (judged(1.0, second_ms=0.8), "next limit 0.5 against 0.8 ms"),
        (judged(1.0, occupancy_pct=25), "occupancy up to 50 % against 25 %"),
        (judged(1.0, occupancy_pct=0), "that one does not fit the GPU"),
        (judged(1.0), "nothing compiled tells them apart"),
    ],
)
def test_why_one_point_of_a_space_ranks_above_another_is_said(other, words):
    assert words in preference(judged(1.0), other)
