"""The trusted end of a capture: start the child, read what it claims, say how it ended.

Every message is validated and bounded; an end of the child without a proper last message is a finding about the
candidate.
Limits: reads the protocol of evaluators/inside/capture.py; what the binaries need is resources.py's
business.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from evaluators.compiled.messages import (
    FailedMessage,
    FinishedMessage,
    KernelMessage,
    LaunchMessage,
    Output,
    RefusalMessage,
    StageMessage,
)
from evaluators.evaluation import Kind
from evaluators.rungs import CapturedLaunch, Failure, OperatorCalls
from sandbox import Child, ChildEnded, Limits, Outcome

if TYPE_CHECKING:
    from evaluators.rungs import Task

ENTRY = "evaluators.inside.capture:main"
_MAX_MESSAGES = 20_000
_MAX_KERNELS = 256  # each costs the judge a disassembly; a minute of compiling yields fewer
_MAX_KERNEL_BYTES = 16 << 20  # the largest cubin seen had 0.1 MB
_MAX_TEXT = 3000
_GRACE_S = 5.0  # the sandbox ends the child at the wall limit itself; only if it does not, we do
_Message = StageMessage | KernelMessage | LaunchMessage | RefusalMessage | FinishedMessage | FailedMessage
_messages: TypeAdapter[_Message] = TypeAdapter(_Message)
_KINDS_OF_KILLS: dict[str, Kind] = {
    "timeout": "timeout",
    "memory": "out_of_memory",
    "processes": "crashed",
    "disk": "crashed",
    "output": "crashed",
    "protocol": "crashed",
}


@dataclass
class Capture:
    """What the child claims to have launched, and how it ended: `finished`, `failed`, or neither."""

    launches: list[CapturedLaunch] = field(default_factory=list)
    refusals: list[RefusalMessage] = field(default_factory=list)
    outputs: tuple[Output, ...] = ()
    operators: tuple[OperatorCalls, ...] = ()
    failure: Failure | None = None
    uncaptured: str = ""


def capture(task: "Task", *, limits: Limits, on_cubin: Callable[[bytes], object] = lambda cubin: None) -> Capture:
    """Run one candidate through the capture in a sandboxed child and collect its launches.

    `on_cubin` gets every binary as soon as it is compiled, while the child compiles the next one.
    """
    with task.zygotes.compile.start(ENTRY, limits=limits) as child:
        session = _Session(child, limits, on_cubin)
        return session.run(request_for(task), task.candidate.source.encode("utf-8", "surrogatepass"))


def request_for(task: "Task") -> dict[str, Any]:
    """What the child is told: the target GPU, the init arguments as a literal, the inputs as shapes or literals."""
    facts = iter(task.reference.input_facts)
    inputs = [
        {"literal": literal} if literal is not None else next(facts).model_dump(include={"shape", "dtype"})
        for literal in task.reference.input_literals
    ]
    return {"gpu": task.gpu.model_dump(mode="json"), "init": task.reference.init_literal, "inputs": inputs}


class _Session:
    """One conversation with one child."""

    def __init__(self, child: Child, limits: Limits, on_cubin: Callable[[bytes], object]) -> None:
        self._child = child
        self._limits = limits
        self._on_cubin = on_cubin
        self._deadline_s = time.monotonic() + limits.wall_s + _GRACE_S
        self._at = StageMessage(event="stage", stage="import", doing="")
        self._kernels: dict[str, tuple[KernelMessage, bytes]] = {}
        self._capture = Capture()

    def run(self, request: dict[str, Any], source: bytes) -> Capture:
        """Hand the candidate over and read messages until the last one or the child's end."""
        try:
            self._child.send(request, source)
            for _ in range(_MAX_MESSAGES):
                remaining_s = max(0.0, self._deadline_s - time.monotonic())
                if self._take(*self._child.receive(remaining_s, _MAX_KERNEL_BYTES)):
                    return self._capture
            raise ChildEnded(self._child.kill("protocol"), f"sent more than {_MAX_MESSAGES} messages")
        except ChildEnded as ended:
            self._capture.failure = self._ended(ended.outcome, ended.detail)
        except (ValidationError, KeyError) as error:
            outcome = self._child.kill("protocol")
            self._capture.failure = self._ended(outcome, f"sent a malformed message ({type(error).__name__})")
        return self._capture

    def _take(self, raw: dict[str, Any], payload: bytes) -> bool:
        """Take one message in; True at the last one."""
        match _messages.validate_python(raw):
            case StageMessage() as stage:
                self._at = stage
            case KernelMessage() as kernel:
                self._kernels[kernel.kernel] = (kernel, payload)
                if len(self._kernels) > _MAX_KERNELS:
                    raise ChildEnded(self._child.kill("protocol"), f"sent more than {_MAX_KERNELS} kernels")
                self._on_cubin(payload[: kernel.cubin_bytes])
            case LaunchMessage() as launch:
                self._capture.launches.append(launch.captured(*self._kernels[launch.kernel]))
            case RefusalMessage() as refusal:
                self._capture.refusals.append(refusal)
            case FinishedMessage() as finished:
                self._capture.outputs = finished.outputs
                self._capture.operators = tuple(
                    OperatorCalls(name, calls, moved) for name, (calls, moved) in finished.operators.items()
                )
                return True
            case FailedMessage() as failed:
                self._fail(failed)
                return True
        return False

    def _fail(self, failed: FailedMessage) -> None:
        if failed.kind == "uncaptured":
            self._capture.uncaptured = failed.message
        else:
            stage = {"import": "importing the file", "__init__": "ModelNew.__init__", "forward": "ModelNew.forward"}
            where = "" if failed.kind == "rejected" else f"{stage[failed.stage]}: "
            self._capture.failure = Failure(failed.kind, where + failed.message)

    def _ended(self, outcome: Outcome, detail: str) -> Failure:
        kind = _KINDS_OF_KILLS.get(outcome.killed or "", "crashed")
        doing = f", {self._at.doing}" if self._at.doing else ""
        stage = {"import": "while importing the file", "__init__": "in ModelNew.__init__", "forward": "in forward"}
        if kind == "timeout":
            what = f"no end after {self._limits.wall_s:g} s"
        elif kind == "out_of_memory":
            what = f"used more than {self._limits.memory_mb} MB"
        else:
            what = f"{outcome.describe()} ({detail})" if detail else outcome.describe()
        return Failure(kind, f"{what} {stage[self._at.stage]}{doing}{_tail(outcome.output)}")


def _tail(output: str) -> str:
    """The last lines that the child printed; the rest would bury the message."""
    lines = [line for line in output.splitlines() if line.strip() and not re.match(r"^=+$", line)]
    return ("; last output:\n" + "\n".join(lines[-8:]))[:_MAX_TEXT] if lines else ""
