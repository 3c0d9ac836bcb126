"""Does the GPU still answer? Asked after a candidate crashed or hung, from a fresh process with a fresh context.

Limits: one small kernel and a copy; what only large loads show is not seen.
"""

import time

from evaluators.errors import MachineError
from evaluators.judge.device.card import Card
from evaluators.judge.zygotes import Zygotes
from sandbox import ChildEnded, Limits

ENTRY = "evaluators.inside.device_probe:main"
_TIMEOUT_S = 30.0  # a killed kernel that never ends takes the driver some seconds to clear
_TRIES = 3


def require_healthy(card: Card, zygotes: Zygotes) -> None:
    """Raise MachineError where the GPU does not compute any more: it is not used again by this run."""
    said = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(5)
        said = problem_with_a_kernel(zygotes)
        if not said:
            return
    raise MachineError(
        f"{card.name} ({card.uuid}) does not compute any more after a candidate that crashed or hung: {said}. It is "
        "left alone; `nvidia-smi` shows its state, CUDA_VISIBLE_DEVICES chooses another, `agent resume` goes on"
    )


def problem_with_a_kernel(zygotes: Zygotes) -> str:
    """What went wrong with a small kernel in a fresh process, or an empty text. Raises SandboxUnavailable."""
    try:
        with zygotes.device.start(ENTRY, {}, Limits(wall_s=_TIMEOUT_S), shared=()) as child:
            answer, _ = child.receive(_TIMEOUT_S)
    except ChildEnded as end:
        return str(end)
    return "" if answer.get("sum") == answer.get("expected") else "a small kernel gave a wrong sum"
