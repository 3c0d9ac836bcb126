"""`python -m evaluators.judge STRICTNESS warm|cold DEVICE PARENT_PID`: judge/server.py, tied to the life of its parent.

The tie comes before the imports: they take a second, and a parent killed meanwhile would leave a judge behind.
Limits: nothing but that.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sandbox.tiers import Strictness

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Die with the parent, then serve."""
    strictness, start, device, parent = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it was killed before there was a signal for it
        return
    from evaluators.judge.zygotes import Zygotes

    fork_servers = Zygotes(cast("Strictness", strictness))
    if start == "warm":
        fork_servers.begin()  # it imports torch at the same time as this process
    gc.disable()  # imports leave little garbage: passes over their heap took 0.3 of 2.1 s
    from evaluators.judge.server import run

    gc.freeze()
    gc.enable()
    with contextlib.suppress(BrokenPipeError):
        run(fork_servers, is_warm=start == "warm", device=device)


if __name__ == "__main__":
    main()
