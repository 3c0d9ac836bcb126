"""`python -m evaluators.judge STRICTNESS`: run evaluators/judge/server.py, tied to the life of the parent process.

The tie comes before the imports: they take a second, and a parent killed meanwhile would leave a judge behind.
Limits: nothing but that.
"""

import contextlib
import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Die with the parent, then serve."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    from evaluators.judge.server import run

    with contextlib.suppress(BrokenPipeError):
        run(sys.argv[1])


if __name__ == "__main__":
    main()
