"""A candidate on the GPU itself: Triton compiles, kernels run, the judge's buffers are mapped, nothing is spoofed.

Entry of the sandboxed process: `main(channel, arguments, shared)`. What this process says of its own time is a claim
that the judge holds against its own clock; a value that is wrong or late is seen by the judge in its own memory.
Limits: the operator record and the launch count are kept in calls with the option `audit` only, because they cost time;
convolutions and matrix products of the library are refused in every call.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import triton

from evaluators.inside import no_library, triton_driver, version_key
from evaluators.inside.kernel_trace import KernelTrace
from evaluators.inside.operator_record import OperatorRecord
from evaluators.inside.process_audit import ProcessAudit
from evaluators.inside.serving import Channel, Message, serve
from sandbox.device_memory import DeviceMemory, attach

if TYPE_CHECKING:
    from evaluators.inside.extension import CardExtensions

version_key.install()
triton_driver.install()


class SharedDeviceMemory:
    """The judge's device memory; every region is a tensor with a storage of its own."""

    device_type = "cuda"

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._synchronize: Callable[[], None] = torch._C._cuda_synchronize

    def region(self, offset: int, dtype: torch.dtype, count: int) -> torch.Tensor:
        """`count` elements from a byte offset on, one dimension."""
        part = _Part(self._memory.address + offset, count * dtype.itemsize)
        return torch.as_tensor(part, device="cuda").view(dtype)

    def settle(self) -> None:
        """Wait until the device has done what it was asked for: the judge reads by a context of its own."""
        self._synchronize()


class _Part:
    def __init__(self, address: int, size_bytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size_bytes,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


class DeviceHarness:
    """Runs `forward` as it is.

    In a call with the option `clock` every run of the model lies between two device events, behind a write of
    `flush_mb` that empties the L2 cache and keeps the device busy while the host catches up.
    """

    def __init__(self, extensions: "CardExtensions | None" = None) -> None:
        """`extensions`: of a candidate written in CUDA."""
        self._extensions = extensions
        self._operators = OperatorRecord()
        self._audit = ProcessAudit((*torch.__path__, *triton.__path__))
        # the builtins themselves: a candidate may replace the functions above them
        self._synchronize: Callable[[], None] = torch._C._cuda_synchronize
        self._event: Any = torch.cuda.Event
        self._is_audited = self._is_clocked = False
        self._trace: KernelTrace | None = None
        self._launched = 0
        self._refused: dict[str, int] = {}
        self._laps: list[tuple[Any, Any]] = []
        self._host_ms: list[float] = []
        self._clock = time.perf_counter
        self._scratch = torch.empty(0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """What the candidate's own code runs under."""
        with self._traced(), self._audit.watching(), self._operators if self._is_audited else nullcontext():
            if not self._is_clocked:
                yield
                return
            before, after = self._event(enable_timing=True), self._event(enable_timing=True)
            self._scratch.zero_()
            before.record()
            started = self._clock()
            yield
            self._host_ms.append(1e3 * (self._clock() - started))
            after.record()
            self._laps.append((before, after))

    @contextmanager
    def _traced(self) -> Iterator[None]:
        if self._trace is None:
            yield
            return
        self._synchronize()
        with self._trace:
            yield
            self._synchronize()

    def begin(self, options: Message) -> None:
        """A call or a batch of calls follows."""
        self._is_audited, self._is_clocked = options.get("audit") is True, options.get("clock") is True
        self._trace = KernelTrace() if options.get("trace") is True else None
        self._launched, self._laps, self._host_ms, self._refused = 0, [], [], {}
        self._operators.forget()
        flush_bytes = int(options.get("flush_mb", 0)) << 20
        if self._is_clocked and self._scratch.nbytes != flush_bytes:
            self._scratch = torch.empty(flush_bytes, dtype=torch.uint8, device="cuda")
        torch._C._set_deterministic_algorithms(self._is_audited, warn_only=True)  # uninitialised memory reads as NaN
        _count_launches(self._launch if self._is_audited else None)
        if self._extensions is not None:
            self._extensions.take_launched()

    def _launch(self, metadata: Any) -> None:
        self._launched += 1

    def refuse(self, name: str) -> None:
        """A library operator was asked for; the candidate may have caught the refusal."""
        self._refused[name] = self._refused.get(name, 0) + 1

    def report(self, outputs: list[torch.Tensor]) -> tuple[Message, bytes]:
        """What was seen during the call, once the device is done with it."""
        self._synchronize()
        message: Message = {"actions": self._audit.actions}
        if self._is_audited:
            message["launched"] = self._launched + (self._extensions.take_launched() if self._extensions else 0)
        if self._is_audited or self._refused:
            message["operators"] = self._operators.names | self._refused
        if self._trace is not None:
            message["kernels"] = self._trace.kernels()
        if self._is_clocked:
            message["inside_ms"] = [before.elapsed_time(after) for before, after in self._laps]
            message["host_ms"] = self._host_ms
        return message, b""

    def unsupported(self, error: BaseException) -> str:
        """Everything can run here but an extension that this machine cannot build."""
        return self._extensions.unavailable if self._extensions else ""


def _count_launches(hook: Any) -> None:
    """Have Triton call `hook` at every launch; None takes ours away again."""
    from triton import knobs

    chain = knobs.runtime.launch_enter_hook
    for ours in [call for call in chain.calls if getattr(call, "__name__", "") == "_launch"]:
        chain.remove(ours)
    if hook is not None:
        chain.add(hook)


def _extensions(descriptor: int) -> "CardExtensions":
    from evaluators.inside.extension import CardExtensions, builder_at, install  # starts a thread: never before a fork

    extensions = CardExtensions(builder_at(descriptor))
    install(extensions)
    return extensions


def main(channel: Channel, arguments: Message, shared: tuple[int, ...]) -> None:
    """Serve one candidate. `arguments`: {"library_ops": what the problem allows, "is_trusted": no guard is needed}.

    shared: the memory, and for a candidate in CUDA the socket to the judge's builder.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.zeros(1, device="cuda")  # makes the context that the driver's calls need
    memory = SharedDeviceMemory(attach(shared[0], arguments["shared_bytes"]))
    harness = DeviceHarness(_extensions(shared[1]) if len(shared) > 1 else None)
    if not arguments.get("library_ops") and not arguments.get("is_trusted"):
        no_library.install(harness.refuse, keys=("CPU", "CUDA"))
    serve(channel, memory, harness)
