"""A candidate's Triton kernels on CPU tensors, in Triton's own interpreter, under watch.

Entry of the sandboxed process: `main(channel, arguments, shared)`; imported once by the fork server,
TRITON_INTERPRET=1.
Limits: programs run one after another (races look right); pipelining, shared memory and warps do not exist here;
products are exact in float32 unless TF32 rounding is emulated.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from evaluators.inside import interpreter_language, no_library
from evaluators.inside.interpreter_device import CudaOnCpu, pretend_cuda
from evaluators.inside.interpreter_launches import Recorder, install
from evaluators.inside.operator_record import OperatorRecord
from evaluators.inside.process_audit import ProcessAudit
from evaluators.inside.serving import Channel, HostMemory, serve

interpreter_language.install()


class InterpreterHarness:
    """Runs `forward` with CUDA spoofed on CPU tensors and every kernel launch recorded."""

    def __init__(self, recorder: Recorder, device: CudaOnCpu) -> None:
        self._recorder = recorder
        self._device = device
        self._operators = OperatorRecord()
        device.noted = self._operators.note
        self._audit = ProcessAudit()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The candidate sees its tensors on a CUDA device."""
        with self._device, self._operators, self._audit.watching():
            yield

    def begin(self, options: dict[str, Any]) -> None:
        """Forget the last call. Uninitialised memory reads as NaN unless pages must stay untouched (full size)."""
        self._recorder.begin(options)
        self._operators.forget()
        fills = not options.get("lazy")  # the public setter imports torch._inductor, 1 s in every process
        torch._C._set_deterministic_algorithms(fills, warn_only=True)

    def note(self, operator: str) -> None:
        """Count an operator that something else than the dispatch mode saw."""
        self._operators.note(operator)

    def report(self, outputs: list[torch.Tensor]) -> tuple[dict[str, Any], bytes]:
        """Launches and what was seen in them."""
        message, data = self._recorder.report(outputs)
        return {**message, "operators": self._operators.names, "actions": self._audit.actions}, data

    def unsupported(self, error: BaseException) -> str:
        """Constructs the interpreter cannot run."""
        return interpreter_language.unsupported(error)


def main(channel: Channel, arguments: dict[str, Any], shared: tuple[int, ...]) -> None:
    """Serve one candidate. `arguments`: {"device": facts of the target GPU, "library_ops": what the problem allows}."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    recorder = Recorder(beat=channel.send)
    install(recorder)
    pretend_cuda(arguments["device"])
    harness = InterpreterHarness(recorder, CudaOnCpu())
    if not arguments.get("library_ops"):
        no_library.install(harness.note)
    serve(channel, HostMemory(shared[0]), harness)
