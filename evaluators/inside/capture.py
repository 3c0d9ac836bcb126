"""Entry of the sandboxed build: run a candidate once at full size without a GPU and hand over every kernel it launches.

The candidate is imported, `ModelNew` is built and its forward is called on meta tensors, which have shapes but no
memory. Every Triton launch, each autotune configuration included, is specialised and compiled for the target by
Triton and its ptxas.

Protocol: receives {gpu, init, inputs} with the source as payload; sends `stage`, `kernel` (payload: cubin, then
TTIR), `launch`, `refusal` and finally `finished` or `failed`.

Limits: this process runs the candidate, so everything it sends is a claim that the judge checks or reads from the
binaries. Code that depends on the values of tensors cannot be captured and is reported as such.
"""

import ast
import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.fx.experimental.symbolic_shapes  # torch.randn on meta imports it, and sympy with it: 0.4 s per candidate

from evaluators.gpu import GpuSpec
from evaluators.inside import capture_driver, capture_hooks, version_key
from evaluators.inside.capture_operators import OperatorCount
from evaluators.inside.capture_report import CANDIDATE_FILE, exception_text, refusal_text
from evaluators.inside.capture_tape import Launch, Refusal, Tape
from evaluators.inside.spoof import cuda_device
from sandbox.frames import Channel

version_key.install()

# How torch words that an operation needs values, or a kernel, that a meta tensor does not have.
_NEEDS_VALUES = re.compile(r"\bmeta\b|data-dependent|DataDependent", re.IGNORECASE)


class _Ended(Exception):
    """The candidate cannot be captured any further; the reason was worded where it was found."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def main(channel: Channel, arguments: dict[str, Any], shared: Sequence[int]) -> None:
    """Capture one candidate; see the module's docstring for the protocol."""
    tempfile.tempdir = str(Path.cwd())  # the scratch directory: Triton writes PTX to temporary files
    request, source = channel.receive()
    gpu = GpuSpec.model_validate(request["gpu"])
    stage = {"event": "stage", "stage": "import"}
    tape = Tape(
        announce=lambda doing: channel.send({**stage, "doing": doing}),
        compiled=lambda kernel: _send_kernel(channel, kernel),
    )
    capture_driver.install(gpu, tape)
    capture_hooks.install(tape)
    try:
        with cuda_device(gpu):
            last = {"event": "finished", **_run(channel, stage, request, source)}
    except _Ended as end:
        last = {"event": "failed", "stage": stage["stage"], "kind": end.kind, "message": end.message}
    _hand_over(channel, tape)
    channel.send(last)


def _run(channel: Channel, stage: dict[str, str], request: dict[str, Any], source: bytes) -> dict[str, Any]:
    operators = OperatorCount()
    steps: dict[str, Callable[[Any], Any]] = {
        "import": lambda _: _load(source),
        "__init__": lambda module: _build(module, request["init"]),
        "forward": lambda model: _call(model, _inputs(request["inputs"]), operators),
    }
    result: Any = None
    for name, step in steps.items():
        stage["stage"] = name
        channel.send({**stage, "doing": ""})
        try:
            result = step(result)
        except _Ended:
            raise
        except BaseException as error:  # the candidate's own code: whatever it raises (SystemExit too) is a finding
            raise _Ended(*_verdict(error)) from error
    return {"outputs": _outputs(result), "operators": operators.calls}


def _load(source: bytes) -> ModuleType:
    path = Path(CANDIDATE_FILE).resolve()
    path.write_bytes(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _build(module: ModuleType, init: str) -> Any:
    if not callable(getattr(module, "ModelNew", None)):
        raise _Ended("rejected", "the file defines no class ModelNew, which is what is built and called")
    return module.ModelNew(*ast.literal_eval(init))


def _inputs(facts: Sequence[dict[str, Any]]) -> list[Any]:
    return [
        ast.literal_eval(fact["literal"])
        if fact.get("literal") is not None
        else torch.empty(fact["shape"], dtype=getattr(torch, fact["dtype"]), device="meta")
        for fact in facts
    ]


def _call(model: Any, inputs: Sequence[Any], operators: OperatorCount) -> Any:
    with operators:
        return model(*inputs)


def _outputs(result: object) -> list[dict[str, Any]]:
    values = result if isinstance(result, tuple | list) else (result,)
    return [
        {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        if isinstance(value, torch.Tensor)
        else {"type": type(value).__name__}
        for value in values
    ]


def _verdict(error: BaseException) -> tuple[str, str]:
    """Kind and message. An error of a launch was worded at the launch, with the kernel and its configuration."""
    where = exception_text(error)
    refusal: Refusal | None = getattr(error, "refusal", None)
    if refusal is None:
        return "uncaptured" if _NEEDS_VALUES.search(str(error)) else "runtime_error", where
    lines = where.splitlines()
    called = [line for line in lines if line.startswith(f"  {CANDIDATE_FILE}:")]
    return refusal.kind, "\n".join([refusal_text(refusal), *called[-1:]])


def _hand_over(channel: Channel, tape: Tape) -> None:
    for refusal in tape.refusals:
        channel.send({"event": "refusal", "kind": refusal.kind, "message": refusal_text(refusal)})
    for launch, count in tape.counts.items():
        channel.send(_launch_message(launch, count, tape.group_of(launch)))


def _send_kernel(channel: Channel, kernel: Any) -> None:
    cubin = kernel.asm["cubin"]
    ttir = kernel.asm.get("ttir", "").encode()  # Gluon begins one level lower, where nobody counts work
    message = {
        "event": "kernel",
        "kernel": kernel.hash,
        "name": kernel.metadata.name,
        "num_warps": kernel.metadata.num_warps,
        "num_stages": getattr(kernel.metadata, "num_stages", 1),
        "shared_memory_bytes": kernel.metadata.shared,
        "cubin_bytes": len(cubin),
        "ttir_bytes": len(ttir),
    }
    channel.send(message, cubin + ttir + kernel.asm.get("ptx", "").encode())


def _launch_message(launch: Launch, count: int, group: int | None) -> dict[str, Any]:
    return {
        "event": "launch",
        "kernel": launch.kernel,
        "grid": launch.grid,
        "config": dict(launch.config),
        "arguments": dict(launch.arguments),
        "pointer_bytes": dict(launch.pointer_bytes),
        "launches": count,
        "tuned_group": group,
    }
