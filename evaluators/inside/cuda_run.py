"""Entries of the sandboxed process that runs a CUDA candidate without a GPU.

`record` runs it once at full size on meta tensors and only notes its launches; `emulate` answers the judge's calls with
the kernels executed on CPU tensors. The last shared descriptor is the socket to the judge's builder.

Limits: launches are counted next to untrusted code, so a count can only explain or worsen a verdict. In `record` the
wrapper's host code sees tensors without memory, so code that reads values there cannot be recorded.
"""

import ast
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from evaluators.gpu import GpuSpec
from evaluators.inside.capture_report import CANDIDATE_FILE, exception_text
from evaluators.inside.extension import EmulatedExtensions, Message, NotBuilt, builder_at, install
from evaluators.inside.operator_record import OperatorRecord
from evaluators.inside.process_audit import ProcessAudit
from evaluators.inside.resident import fresh_pages, written_elements
from evaluators.inside.serving import Channel, HostMemory, serve
from evaluators.inside.spoof import cuda_device

SAMPLED_BLOCKS = 48
SAMPLED_ELEMENTS = 200_000


class EmulationHarness:
    """Runs `forward` with CUDA spoofed on CPU tensors and the extension's kernels executed on the CPU."""

    def __init__(self, extensions: EmulatedExtensions, gpu: GpuSpec) -> None:
        self._extensions = extensions
        self._gpu = gpu
        self._samples = False
        self._operators = OperatorRecord()
        self._audit = ProcessAudit()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The candidate sees its tensors on a CUDA device."""
        with cuda_device(self._gpu, "cpu"), self._operators, self._audit.watching():
            yield

    def begin(self, options: Message) -> None:
        """Forget the last call. Uninitialised memory reads as NaN unless pages must stay untouched (full size)."""
        self._extensions.take_launches()
        sample = options.get("sample")
        sampled = (SAMPLED_BLOCKS, sample["seed"], max(1, sample["batch"])) if sample else (0, 0, 1)
        self._extensions.settle(is_reversed=options.get("reversed") is True, sampled=sampled)
        self._samples = bool(sample)
        self._operators.forget()
        torch._C._set_deterministic_algorithms(not sample, warn_only=True)  # the public setter imports torch._inductor

    def report(self, outputs: list[torch.Tensor]) -> tuple[Message, bytes]:
        """The launches of the call; of a sampled one also the elements written (offsets, then values)."""
        launches = self._extensions.take_launches()
        message: Message = {
            "launches": launches[:50],
            "launched": sum(launch[5] for launch in launches),
            "operators": self._operators.names,
            "actions": self._audit.actions,
        }
        if not self._samples or len(outputs) != 1:
            return message, b""
        offsets, values = written_elements(outputs[0], SAMPLED_ELEMENTS)
        return message | {"elements": len(offsets)}, offsets.numpy().tobytes() + values.numpy().tobytes()

    def unsupported(self, error: BaseException) -> str:
        """An extension that could not be built here is no fault of the candidate, wherever the error surfaced."""
        return self._extensions.unavailable or (str(error) if isinstance(error, NotBuilt) else "")


def emulate(channel: Channel, arguments: Message, shared: Sequence[int]) -> None:
    """Serve one candidate. `arguments`: {"gpu": the target}; shared: the memory, the builder's socket."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fresh_pages()
    extensions = EmulatedExtensions(builder_at(shared[-1]))
    install(extensions)
    harness = EmulationHarness(extensions, GpuSpec.model_validate(arguments["gpu"]))
    serve(channel, HostMemory(shared[0]), harness)


def record(channel: Channel, arguments: Message, shared: Sequence[int]) -> None:
    """Run one candidate at full size.

    Receives {gpu, init, inputs} with the source; sends `stage`, `building`, `built`, at last `finished` or `failed`.
    """
    request, source = channel.receive()
    warnings.simplefilter("ignore")
    extensions = EmulatedExtensions(builder_at(shared[-1]), lambda event: channel.send({"event": event}))
    extensions.only_note()
    install(extensions)
    steps = _Steps(request, source)
    with cuda_device(GpuSpec.model_validate(request["gpu"])):
        for stage, step in (("import", steps.load), ("__init__", steps.build), ("forward", steps.forward)):
            channel.send({"event": "stage", "stage": stage})
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - the candidate's own code: whatever it raises is a finding
                channel.send({"event": "failed", "stage": stage, "message": exception_text(error)})
                return
    channel.send(
        {
            "event": "finished",
            "outputs": steps.outputs,
            "launches": [launch[:6] for launch in extensions.take_launches()[:500]],
        }
    )


class _Steps:
    """Import, construct, call: what one run of a candidate consists of."""

    def __init__(self, request: Message, source: bytes) -> None:
        self._request = request
        self._source = source
        self._model: Any = None
        self._module = ModuleType("candidate")
        self.outputs: list[Message] = []

    def load(self) -> None:
        """Import the file."""
        Path(CANDIDATE_FILE).write_bytes(self._source)
        self._module.__file__ = CANDIDATE_FILE
        sys.modules["candidate"] = self._module
        exec(compile(self._source, str(Path(CANDIDATE_FILE).resolve()), "exec"), self._module.__dict__)  # noqa: S102

    def build(self) -> None:
        """Construct ModelNew with the published arguments."""
        if not callable(getattr(self._module, "ModelNew", None)):
            raise TypeError("the file defines no class ModelNew, which is what is built and called")
        self._model = self._module.ModelNew(*ast.literal_eval(self._request["init"]))

    def forward(self) -> None:
        """Call it on tensors that have a shape and no memory."""
        result = self._model(*(_input(fact) for fact in self._request["inputs"]))
        values = result if isinstance(result, tuple | list) else (result,)
        self.outputs = [
            {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
            if isinstance(value, torch.Tensor)
            else {"type": type(value).__name__}
            for value in values[:16]
        ]


def _input(fact: Message) -> Any:
    if fact.get("literal") is not None:
        return ast.literal_eval(fact["literal"])
    return torch.empty(fact["shape"], dtype=getattr(torch, fact["dtype"]), device="meta")
