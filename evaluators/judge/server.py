"""What the judge process does. Trusted; holds torch, the references and the verdict.

One JSON request per line on standard input, JSON events per line on the answer descriptor (the original standard
output; file descriptor 1 is pointed at standard error so that a stray print of a reference module cannot forge an
answer).

    {"op": "facts", "problem"}                             -> {"event": "facts", "facts"}
    {"op": "evaluate", "problem", "candidate", "gpu"}      -> {"event": "rung", "name"}*, {"event": "evaluation", ...}
        also "rungs", "incumbent": {"candidate", "latency_ms"}, "metrics": names for a profiler
    {"op": "baselines", "problem"}                         -> {"event": "baselines", "baselines", "environment"}
    (at the start)                                         -> {"event": "ready", "device"}
    {"op": "device"}                                       -> {"event": "device", "report"}
    {"op": "hello"}                                        -> {"event": "hello"} or an error where a GPU must be
    any                                                    -> {"event": "error", "type", "message"}

Limits: it ends when its input ends or its parent dies; restarting it is the client's work (evaluators/client.py).
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import evaluators.inside.uncompiled  # noqa: F401 - for what it does: a reference runs on meta tensors here
from evaluators.candidate import Candidate
from evaluators.compiled import sass
from evaluators.errors import AgentError, BadProblem, MachineError
from evaluators.evaluation import Evaluation, Rung
from evaluators.gpu import GpuSpec
from evaluators.judge.reference import Reference
from evaluators.judge.zygotes import Zygotes
from evaluators.ladder import climb
from evaluators.problem import Problem
from evaluators.rungs import Incumbent, Task
from sandbox import SandboxUnavailable

if TYPE_CHECKING:
    from evaluators.judge.device.bench import Bench
    from evaluators.judge.device.card import Card

_LOADING_S = 60  # the largest built-in reference takes under a second
_AGAIN_S = 5  # after it, where the reference itself caught the first word


def run(fork_servers: Zygotes, *, is_warm: bool, device: str = "auto") -> None:
    """Serve requests until standard input ends.

    is_warm: candidates will come, so start the fork servers at once.
    device: auto | cpu | cuda, whether a GPU of this machine is used.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's business; it ends us by closing our input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    card = None if device == "cpu" else _card()
    with fork_servers as zygotes:
        if is_warm:
            zygotes.warm(has_gpu=card is not None)
        answers.write(json.dumps({"event": "ready", "device": card.name if card else None}) + "\n")
        answers.flush()
        for line in sys.stdin:
            serve(json.loads(line), Machine(zygotes, card, wants_gpu=device == "cuda"), answers)


@dataclass(frozen=True)
class Machine:
    """What this judge works with. `wants_gpu`: a missing GPU is an error, not a reason to go on without."""

    zygotes: Zygotes
    card: "Card | None"
    wants_gpu: bool = False

    def require_gpu(self) -> "Card":
        """The GPU; raises MachineError where there is none."""
        if self.card is None:
            raise MachineError(f"no NVIDIA GPU can be used: {_why_no_gpu()}; see `agent doctor`")
        return self.card


def serve(request: dict[str, Any], machine: Machine, answers: TextIO) -> None:
    """Answer one request; an error of ours is an event, not the end of the judge."""

    def say(event: dict[str, object]) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    try:
        say(_answer(request, machine, lambda rung: say({"event": "rung", "name": rung})))
    except SandboxUnavailable as error:
        say({"event": "error", "type": "MachineError", "message": f"sandbox: {error}"})
    except AgentError as error:
        say({"event": "error", "type": type(error).__name__, "message": str(error)})
    except Exception as error:  # noqa: BLE001 - a bug of ours must reach the host with its traceback, not kill the night's run
        traceback.print_exc()
        say({"event": "error", "type": "Bug", "message": f"{type(error).__name__}: {error}"})


def _answer(request: dict[str, Any], machine: Machine, announce: Callable[[Rung], None]) -> dict[str, object]:
    """The event that ends a request."""
    if request["op"] == "hello":
        if machine.wants_gpu:
            machine.require_gpu()
        return {"event": "hello"}
    if request["op"] == "device":
        return {"event": "device", "report": _device_report(machine)}
    problem = Problem.model_validate(request["problem"])
    if request["op"] == "facts":
        from evaluators.judge.facts import facts_of

        with _loading(problem):
            facts = facts_of(problem)
        return {"event": "facts", "facts": facts.model_dump(mode="json")}
    if request["op"] == "baselines":
        return {"event": "baselines", **_baselines(problem, machine)}
    evaluation = _evaluate(problem, request, machine, announce)
    listings = evaluation.listings  # which no dump of an evaluation holds
    return {"event": "evaluation", "evaluation": evaluation.model_dump(mode="json"), "listings": listings}


def _evaluate(
    problem: Problem, request: dict[str, Any], machine: Machine, announce: Callable[[Rung], None]
) -> Evaluation:
    if machine.wants_gpu:
        machine.require_gpu()
    reference, incumbent = reference_of(problem), request.get("incumbent")
    with _bench(machine, reference) as bench:
        task = Task(
            problem=problem,
            candidate=Candidate.model_validate(request["candidate"]),
            gpu=GpuSpec.model_validate(request["gpu"]),
            reference=reference,
            zygotes=machine.zygotes,
            bench=bench,
            incumbent=Incumbent.model_validate(incumbent) if incumbent else None,
            metrics=tuple(request.get("metrics") or ()),
        )
        try:
            evaluation = climb(task, announce, rungs=request.get("rungs"))
        finally:
            sass.forget()
    if machine.card and evaluation.kind in ("crashed", "timeout"):
        from evaluators.judge.device.health import require_healthy

        require_healthy(machine.card, machine.zygotes)
    return evaluation


def _bench(machine: Machine, reference: Reference) -> "AbstractContextManager[Bench | None]":
    if machine.card is None:
        return nullcontext()
    from evaluators.judge.device.bench import Bench

    return Bench(machine.card, machine.zygotes, reference)


def _device_report(machine: Machine) -> dict[str, Any]:
    card = machine.require_gpu()
    from evaluators.judge.device.report import report_of

    return report_of(card, machine.zygotes).model_dump(mode="json")


def _baselines(problem: Problem, machine: Machine) -> dict[str, Any]:
    card = machine.require_gpu()
    from evaluators.judge.device.baselines import baselines_of
    from evaluators.judge.device.published import published_of

    with card.leased():
        found = baselines_of(problem, published_of(reference_of(problem)), card, full=True)
    return {"baselines": found.model_dump(mode="json"), "environment": card.fingerprint}


def _card() -> "Card | None":
    from evaluators.judge.device.card import card

    return card()


def _why_no_gpu() -> str:
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    if not Path("/dev/nvidiactl").exists():
        return "there is no NVIDIA driver on this machine"
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no device its driver can serve"


@lru_cache(maxsize=4)
def reference_of(problem: Problem) -> Reference:
    """The loaded reference of a problem, kept while the judge lives."""
    with _loading(problem):
        return Reference(problem)


class _TooLong(BaseException):
    """Time is up. No Exception: what runs a reference to see whether it fails must not take it for its answer."""


@contextmanager
def _loading(problem: Problem) -> Iterator[None]:
    """A reference that hangs or leaves at import or in its first calls is a bad problem, not a stuck judge."""

    def too_long(signum: int, frame: FrameType | None) -> None:
        raise _TooLong

    where = problem.path or problem.key
    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, _LOADING_S, _AGAIN_S)
    try:
        yield
    except _TooLong:
        raise BadProblem(f"{where}: loading and running the reference did not end within {_LOADING_S} s") from None
    except SystemExit as end:
        raise BadProblem(f"{where}: the reference ends its process, sys.exit({end.code!r})") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
