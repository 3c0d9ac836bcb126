"""The messages of a capture child, each validated before anything is believed of it.

Limits: shape and size of messages; whether a claim is true is not decided here.
"""

from typing import Annotated, Literal

from pydantic import Field

from evaluators.evaluation import Kind
from evaluators.frozen import Frozen
from evaluators.rungs import CapturedLaunch

Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(max_length=500)]
Stage = Literal["import", "__init__", "forward"]
Texts = Annotated[dict[Name, Name], Field(max_length=256)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class StageMessage(Frozen):
    """Where the child is; `doing` names the kernel it compiles."""

    event: Literal["stage"]
    stage: Stage
    doing: Text


class KernelMessage(Frozen):
    """One compiled kernel; its payload is the cubin, then the TTIR, then the PTX."""

    event: Literal["kernel"]
    kernel: Name
    name: Name
    num_warps: Annotated[int, Field(ge=1, le=64)]
    num_stages: Count
    shared_memory_bytes: Count
    cubin_bytes: Count
    ttir_bytes: Count


class LaunchMessage(Frozen):
    """One launch of a kernel that was sent before."""

    event: Literal["launch"]
    kernel: Name
    grid: tuple[Count, Count, Count]
    config: Texts
    arguments: Annotated[dict[Name, bool | int | float | None], Field(max_length=1024)]
    pointer_bytes: Annotated[dict[Name, Count], Field(max_length=1024)]
    launches: Annotated[int, Field(ge=1, lt=2**31)]
    tuned_group: int | None

    def captured(self, kernel: KernelMessage, payload: bytes) -> CapturedLaunch:
        """The launch joined with its kernel."""
        end = kernel.cubin_bytes + kernel.ttir_bytes
        return CapturedLaunch(
            name=kernel.name,
            grid=self.grid,
            num_warps=kernel.num_warps,
            num_stages=kernel.num_stages,
            shared_memory_bytes=kernel.shared_memory_bytes,
            config=self.config,
            arguments=self.arguments,
            pointer_bytes=self.pointer_bytes,
            cubin=payload[: kernel.cubin_bytes],
            ttir=payload[kernel.cubin_bytes : end].decode(errors="replace"),
            ptx=payload[end:].decode(errors="replace"),
            launches=self.launches,
            tuned_group=self.tuned_group,
        )


class RefusalMessage(Frozen):
    """A launch that raised, although the candidate (or the autotuner) may have gone on."""

    event: Literal["refusal"]
    kind: Literal["compile_error", "runtime_error"]
    message: Text


class Output(Frozen):
    """One value that forward returned: a tensor's shape and dtype, or the type of something else."""

    shape: tuple[Count, ...] | None = None
    dtype: Name = ""
    type: Name = "Tensor"


class FinishedMessage(Frozen):
    """The candidate returned."""

    event: Literal["finished"]
    outputs: Annotated[tuple[Output, ...], Field(max_length=1024)]
    operators: Annotated[dict[Name, tuple[Count, Count]], Field(max_length=1024)]  # calls, bytes moved


class FailedMessage(Frozen):
    """The candidate raised, or needs tensor values that do not exist here (`uncaptured`)."""

    event: Literal["failed"]
    stage: Stage
    kind: Kind | Literal["uncaptured"]
    message: Text
