"""The hard end of `--max-seconds`: an attempt in progress gets `GRACE_S` more, then the run stops as by Ctrl-C.

No attempt is begun that would not end in time (agent/budget.py); this is for the one that takes longer than expected.

Limits: the main thread of a process with one run; `agent bench` keeps to its shares between attempts only.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 60.0  # on a GPU an attempt takes 28 to 61 s and the confirmation of the best as long as its judging
STOPPED = "stopped: "


@contextmanager
def time_limit(seconds: float | None, spent_s: float) -> Iterator[None]:
    """Raise KeyboardInterrupt, its message saying why, `GRACE_S` after the run's `seconds`; None: never."""
    if seconds is None:
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"{STOPPED}--max-seconds {seconds:g} and {GRACE_S:g} s of grace are over")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds - spent_s, 0.0) + GRACE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
