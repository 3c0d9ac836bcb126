"""What the judge process does. Trusted; holds torch, the references and the verdict.

One JSON request per line on standard input, JSON events per line on the answer descriptor (the original standard
output; file descriptor 1 is pointed at standard error so that a stray print of a reference module cannot forge an
answer).

    {"op": "facts", "problem"}                             -> {"event": "facts", "facts"}
    {"op": "evaluate", "problem", "candidate", "gpu"}      -> {"event": "rung", "name"}*, {"event": "evaluation", ...}
    (at the start)                                         -> {"event": "ready"}
    any                                                    -> {"event": "error", "type", "message"}

Limits: it ends when its input ends or its parent dies; restarting it is the client's work (evaluators/client.py).
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any, TextIO, cast

from evaluators.candidate import Candidate
from evaluators.errors import AgentError, BadProblem
from evaluators.gpu import GpuSpec
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.ladder import RUNGS, climb
from evaluators.problem import Problem
from evaluators.rungs import Task
from sandbox import SandboxUnavailable
from sandbox.tiers import Strictness

_LOADING_S = 60  # the largest built-in reference takes under a second


def run(strictness: str, *, is_warm: bool) -> None:
    """Serve requests until standard input ends.

    strictness: which sandbox tiers are accepted. is_warm: candidates will come, so start the fork servers at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's business; it ends us by closing our input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with Zygotes(cast("Strictness", strictness)) as zygotes:
        if is_warm:
            zygotes.warm()
        answers.write('{"event": "ready"}\n')
        answers.flush()
        for line in sys.stdin:
            serve(json.loads(line), zygotes, answers)


def serve(request: dict[str, Any], zygotes: Zygotes, answers: TextIO) -> None:
    """Answer one request; an error of ours is an event, not the end of the judge."""

    def say(event: dict[str, object]) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    try:
        problem = Problem.model_validate(request["problem"])
        if request["op"] == "facts":
            from evaluators.judge.facts import facts_of

            with _loading(problem):
                facts = facts_of(problem)
            say({"event": "facts", "facts": facts.model_dump(mode="json")})
            return
        task = Task(
            problem=problem,
            candidate=Candidate.model_validate(request["candidate"]),
            gpu=GpuSpec.model_validate(request["gpu"]),
            reference=reference_of(problem),
            zygotes=zygotes,
        )
        evaluation = climb(task, lambda rung: say({"event": "rung", "name": rung}), rungs=request.get("rungs") or RUNGS)
        say({"event": "evaluation", "evaluation": evaluation.model_dump(mode="json")})
    except SandboxUnavailable as error:
        say({"event": "error", "type": "MachineError", "message": f"sandbox: {error}"})
    except AgentError as error:
        say({"event": "error", "type": type(error).__name__, "message": str(error)})
    except Exception as error:  # noqa: BLE001 - a bug of ours must reach the host with its traceback, not kill the night's run
        traceback.print_exc()
        say({"event": "error", "type": "Bug", "message": f"{type(error).__name__}: {error}"})


@lru_cache(maxsize=4)
def reference_of(problem: Problem) -> Reference:
    """The loaded reference of a problem, kept while the judge lives."""
    with _loading(problem):
        return Reference(problem)


@contextmanager
def _loading(problem: Problem) -> Iterator[None]:
    """A reference that hangs at import or in its first call is a bad problem, not a stuck judge."""

    def too_long(signum: int, frame: FrameType | None) -> None:
        where = problem.path or problem.key
        raise BadProblem(f"{where}: loading and running the reference did not end within {_LOADING_S} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(_LOADING_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
