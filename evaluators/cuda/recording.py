"""The trusted end of a recording: run a CUDA candidate once at full size in a sandboxed child, launches only noted.

Limits: reads the protocol of evaluators/inside/cuda_run.py:record; what the child says is a claim, what it asked to be
built is kept by the service.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from evaluators.compiled.capturing import request_for
from evaluators.cuda.service import BuildService
from evaluators.evaluation import Kind
from evaluators.frozen import Frozen
from evaluators.rungs import MAX_PROCESSES, Failure
from sandbox import ChildEnded, Limits

if TYPE_CHECKING:
    from evaluators.rungs import Task

ENTRY = "evaluators.inside.cuda_run:record"
OWN_LIMIT_S = 30.0  # between two messages, for the candidate's own code
BUILD_LIMIT_S = 300.0  # while it waits for compilers, which have limits of their own
WALL_LIMIT_S = 420.0
_Count = Annotated[int, Field(ge=0)]
_Text = Annotated[str, Field(max_length=4000)]
_STAGES = {"import": "importing the file", "__init__": "ModelNew.__init__", "forward": "ModelNew.forward"}
_KINDS_OF_KILLS: dict[str, Kind] = {"timeout": "timeout", "memory": "out_of_memory"}


class NotedLaunch(Frozen):
    """One launch at full size; equal ones are counted."""

    name: _Text
    symbol: _Text
    grid: tuple[_Count, _Count, _Count]
    block: tuple[_Count, _Count, _Count]
    dynamic_shared_bytes: _Count
    count: Annotated[int, Field(ge=1)]

    @property
    def threads(self) -> int:
        """Threads per block."""
        x, y, z = self.block
        return x * y * z

    def described(self) -> str:
        """`name<<<grid, block, bytes>>>`, with the number of equal launches."""
        times = f" x{self.count}" if self.count > 1 else ""
        return f"{self.name}<<<{self.grid}, {self.block}, {self.dynamic_shared_bytes}>>>{times}"


class _Stage(Frozen):
    event: Literal["stage"]
    stage: Literal["import", "__init__", "forward"]


class _Building(Frozen):
    event: Literal["building", "built"]


class _Failed(Frozen):
    event: Literal["failed"]
    stage: Literal["import", "__init__", "forward"]
    message: _Text


class RecordedOutput(Frozen):
    """One value that forward returned: a tensor's shape and dtype, or the type of something else."""

    shape: Annotated[tuple[_Count, ...], Field(max_length=64)] | None = None
    dtype: _Text = ""
    type: _Text = "Tensor"


class _Finished(Frozen):
    event: Literal["finished"]
    outputs: Annotated[tuple[RecordedOutput, ...], Field(max_length=64)]
    launches: Annotated[
        tuple[tuple[_Text, _Text, list[_Count], list[_Count], _Count, _Count], ...], Field(max_length=600)
    ]


_messages: TypeAdapter[_Stage | _Building | _Failed | _Finished] = TypeAdapter(_Stage | _Building | _Failed | _Finished)


@dataclass(frozen=True)
class Recording:
    """How the run ended: finished with launches and outputs, or with a failure."""

    launches: tuple[NotedLaunch, ...] = ()
    outputs: tuple[RecordedOutput, ...] = ()
    stage: str = "import"
    error: str = ""
    failure: Failure | None = None


def record(task: "Task", service: BuildService) -> Recording:
    """Run the task's candidate and note what it launches."""
    limits = Limits(wall_s=WALL_LIMIT_S, processes=MAX_PROCESSES)
    with task.zygotes.compile.start(ENTRY, limits=limits, shared=(service.endpoint,)) as child:
        stage, limit_s = "import", OWN_LIMIT_S
        try:
            child.send(request_for(task), task.candidate.source.encode("utf-8", "surrogatepass"))
            while True:
                message = _messages.validate_python(child.receive(limit_s)[0])
                limit_s = BUILD_LIMIT_S if message.event == "building" else OWN_LIMIT_S
                match message:
                    case _Stage():
                        stage = message.stage
                    case _Failed():
                        return Recording(stage=message.stage, error=message.message)
                    case _Finished():
                        return Recording(_noted(message), message.outputs, stage="forward")
        except ChildEnded as ended:
            kind = _KINDS_OF_KILLS.get(ended.outcome.killed or "", "crashed")
            said = f"{_STAGES[stage]}: {ended.outcome.describe()}. {ended.outcome.output.strip()[-500:]}".strip()
            return Recording(stage=stage, failure=Failure(kind, said))
        except ValidationError:
            child.kill("protocol")
            return Recording(stage=stage, failure=Failure("crashed", f"{_STAGES[stage]}: a malformed message was sent"))


def _noted(message: _Finished) -> tuple[NotedLaunch, ...]:
    names = ("name", "symbol", "grid", "block", "dynamic_shared_bytes", "count")
    return tuple(NotedLaunch.model_validate(dict(zip(names, launch, strict=True))) for launch in message.launches)
