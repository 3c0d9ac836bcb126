"""The candidate's side of a conversation with the judge: load, build, take weights, answer calls.

Runs inside the sandbox, next to untrusted code: nothing it reports decides anything. The judge draws the inputs,
poisons the output region and compares the bytes it finds there; what stands in the messages (shapes, launches,
errors) explains a verdict and can only worsen it. Limits: knows neither a reference nor a tolerance; how a kernel is
run is the harness's.
"""

import ast
import linecache
import mmap
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch

from evaluators.inside.freshness import form_of, is_kept
from evaluators.inside.kept_code import packed

Message = dict[str, Any]
TEXT_MAX = 1500
FILE_NAME = "candidate.py"


class Channel(Protocol):
    """Frames of a JSON object and raw bytes (sandbox.frames.Channel)."""

    def send(self, message: Message, payload: bytes = b"") -> None: ...

    def receive(self, timeout_s: float | None = None) -> tuple[Message, bytes]: ...


class Harness(Protocol):
    """How the candidate's kernels are run here and what is seen of them."""

    def running(self) -> AbstractContextManager[None]:
        """What the candidate's own code runs under."""

    def begin(self, options: Message) -> None:
        """A call follows."""

    def report(self, outputs: list[torch.Tensor]) -> tuple[Message, bytes]:
        """What was seen during the call, and bytes that belong to it."""

    def unsupported(self, error: BaseException) -> str:
        """Why this error says nothing about the candidate, or an empty text."""


class CallStopped(BaseException):
    """Raised by a harness to leave `forward` once it has seen enough; no Exception, so that candidates let it pass."""


class Memory(Protocol):
    """The judge's memory as this process sees it; every region is a tensor with a storage of its own."""

    device_type: str

    def region(self, offset: int, dtype: torch.dtype, count: int) -> torch.Tensor: ...

    def settle(self) -> None: ...


class HostMemory:
    """A memfd."""

    device_type = "cpu"

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, 0)

    def region(self, offset: int, dtype: torch.dtype, count: int) -> torch.Tensor:
        """`count` elements from a byte offset on, one dimension."""
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=offset)

    def settle(self) -> None:
        """What was written is there."""


def serve(channel: Channel, memory: Memory, harness: Harness) -> None:
    """Answer the judge until it closes the channel."""
    session = _Session(memory, harness)
    handlers: dict[str, Callable[[Message, bytes], tuple[Message, bytes]]] = {
        "load": session.load,
        "build": session.build,
        "weights": session.weights,
        "call": session.call,
        "calls": session.calls,
        "reread": session.reread,
        "read_weights": session.read_weights,
        "compiled": session.compiled,
    }
    while True:
        try:
            request, payload = channel.receive()
        except EOFError:
            return
        try:
            message, data = handlers[request["do"]](request, payload)
        except (Exception, SystemExit, CallStopped) as error:  # noqa: BLE001 - the candidate's code runs in there
            message, data = session.fault(error), b""
        channel.send(message, data)


class _Session:
    """One candidate: its module, its model, the outputs it gave."""

    def __init__(self, memory: Memory, harness: Harness) -> None:
        self._memory = memory
        self._harness = harness
        self._module = ModuleType("candidate")
        self._model: Any = None
        self._inputs: list[Any] = []
        self._kept: list[list[torch.Tensor]] = []

    def load(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Import the candidate from source text."""
        source = payload.decode("utf-8", "surrogatepass")
        self._module.__file__ = FILE_NAME
        linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(keepends=True), FILE_NAME)
        sys.modules["candidate"] = self._module
        with self._harness.running():
            exec(compile(source, FILE_NAME, "exec"), self._module.__dict__)  # noqa: S102 - what the sandbox is for
        return {"did": "load", "has_model": callable(getattr(self._module, "ModelNew", None))}, b""

    def build(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Construct `ModelNew` with the arguments of a geometry; say which parameters it has."""
        self._kept, self._model = [], None
        arguments = ast.literal_eval(request["init"])
        torch.manual_seed(0)
        with self._harness.running():
            self._model = self._module.ModelNew(*arguments)
            if isinstance(self._model, torch.nn.Module) and self._memory.device_type != "cpu":
                self._model = self._model.to(self._memory.device_type)
            state = self._model.state_dict() if hasattr(self._model, "state_dict") else {}
            parameters = {name for name, _ in self._model.named_parameters()} if state else set()
        listed = [[n, list(v.shape), _dtype(v), n in parameters] for n, v in state.items()][:500]
        return {"did": "build", "state": listed}, b""

    def weights(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Copy weights by name, the way training does: in place, or through load_state_dict."""
        views = {spec["name"]: self._view(spec) for spec in request["tensors"]}
        with self._harness.running(), torch.no_grad():
            if request["how"] == "load_state_dict":
                self._model.load_state_dict({n: v.clone() for n, v in views.items()}, strict=False)
            else:
                state = self._model.state_dict()
                for name, view in views.items():
                    state[name].copy_(view)
        self._memory.settle()
        return {"did": "weights"}, b""

    def call(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Run `forward` once and put its outputs where the judge reads them."""
        self._inputs = [self._input(spec) for spec in request["inputs"]]
        self._harness.begin(request.get("options", {}))
        stopped, forms = False, [form_of(value) for value in self._inputs]
        try:
            outputs = self._forward()
        except CallStopped:
            stopped, outputs = True, []
        is_sampled = "sample" in request.get("options", {})  # then the harness itself refers to what was sampled
        kept = [False] * len(outputs) if is_sampled else is_kept(outputs)
        described = [self._describe(output, kept=is_one) for output, is_one in zip(outputs[:16], kept, strict=False)]
        self._write_out(outputs, request["outputs"])
        plain = [output for output in outputs if type(output) is torch.Tensor]
        self._kept.append(plain)
        report, data = self._harness.report(plain)
        is_same = forms == [form_of(value) for value in self._inputs]
        return {"did": "call", "stopped": stopped, "outputs": described, "inputs": is_same, "report": report}, data

    def _forward(self) -> list[Any]:
        with self._harness.running(), torch.no_grad():
            returned = self._model(*self._inputs)
        return list(returned) if isinstance(returned, (tuple, list)) else [returned]

    def calls(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Run `forward` on several sets of inputs, one after another; each output goes out before the next call."""
        sets = [([self._input(spec) for spec in each["inputs"]], each["outputs"]) for each in request["sets"]]
        self._harness.begin(request.get("options", {}))
        described = []
        for self._inputs, regions in sets:
            with self._harness.running(), torch.no_grad():
                returned = self._model(*self._inputs)
            outputs = list(returned) if isinstance(returned, (tuple, list)) else [returned]
            described.append([self._describe(output, kept=False) for output in outputs[:16]])
            self._write_out(outputs, regions)
        report, data = self._harness.report([])
        return {"did": "calls", "sets": described, "report": report}, data

    def reread(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Write the outputs of an earlier call out again."""
        self._write_out(self._kept[request["call"]], request["outputs"])
        self._memory.settle()
        return {"did": "reread"}, b""

    def read_weights(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """Write the model's weights out as they are now."""
        state = self._model.state_dict()
        for spec in request["tensors"]:
            self._view(spec).copy_(state[spec["name"]])
        self._memory.settle()
        return {"did": "read_weights"}, b""

    def compiled(self, request: Message, payload: bytes) -> tuple[Message, bytes]:
        """What Triton has compiled here."""
        return {"did": "compiled"}, packed(Path(os.environ["TRITON_CACHE_DIR"]))

    def fault(self, error: BaseException) -> Message:
        """What the candidate's code raised, in words, with the line it came from."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == FILE_NAME]
        report, _ = self._harness.report([])
        return {
            "fault": type(error).__name__,
            "message": str(error)[:TEXT_MAX],
            "line": lines[-1] if lines else getattr(error, "lineno", None),
            "unsupported": self._harness.unsupported(error)[:TEXT_MAX],
            "report": report,
        }

    def _view(self, spec: Message) -> torch.Tensor:
        dtype: torch.dtype = getattr(torch, spec["dtype"])
        shape = tuple(spec["shape"])
        count = torch.Size(shape).numel()
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        return self._memory.region(spec["offset"], dtype, count).reshape(shape)

    def _input(self, spec: Message) -> Any:
        if "literal" in spec:
            return ast.literal_eval(spec["literal"])
        if "items" not in spec:
            return self._view(spec)
        sparse = torch.zeros(spec["shape"], dtype=getattr(torch, spec["dtype"]))  # calloc: untouched pages cost nothing
        for item in spec["items"]:
            part = {"shape": spec["shape"][1:], "dtype": spec["dtype"], "offset": item["offset"]}
            sparse[item["index"]] = self._view(part)
        return sparse

    def _write_out(self, outputs: list[torch.Tensor], regions: list[Message]) -> None:
        for output, region in zip(outputs, regions, strict=False):
            if type(output) is not torch.Tensor or output.device.type != self._memory.device_type:
                continue
            if _dtype(output) == region["dtype"] and list(output.shape) == region["shape"] and output.numel():
                self._view(region).copy_(output)

    def _describe(self, output: Any, *, kept: bool) -> Message:
        if type(output) is not torch.Tensor:
            return {"type": f"{type(output).__module__}.{type(output).__qualname__}"[:200]}
        return {
            "type": "Tensor",
            "shape": list(output.shape),
            "dtype": _dtype(output),
            "strides": list(output.stride()),
            "contiguous": output.is_contiguous(),
            "aliases": self._alias(output) or ("a tensor that the module keeps" if kept else ""),
        }

    def _alias(self, output: torch.Tensor) -> str:
        where = output.untyped_storage().data_ptr()
        owners = {"an input": [v for v in self._inputs if isinstance(v, torch.Tensor)]}
        if hasattr(self._model, "state_dict"):
            owners["a parameter"] = [v for v in self._model.state_dict().values() if isinstance(v, torch.Tensor)]
        owners["an earlier output"] = [tensor for outputs in self._kept for tensor in outputs]
        for owner, tensors in owners.items():
            if output.numel() and any(t.untyped_storage().data_ptr() == where for t in tensors):
                return owner
        return ""


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
