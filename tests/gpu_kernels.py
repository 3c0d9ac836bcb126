"""Beside a GPU: what a row of tests/gpu_playbook_bench.py is compiled, checked and timed with.

Errors are relative norms against float64 on the first and the last batch item, on memory that held NaN before, for the
inputs as they are and, where there is no bias, times 1e5. Times are medians with the L2 emptied before every sample: of
single calls between events, and of replays of a CUDA graph of the call.

Limits: it runs in the process that runs the kernel, so it is a bench for the families' author, not the judge.
"""

import contextlib
import copy
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from triton.runtime.jit import JITFunction
from triton.testing import do_bench

LIBRARY = ("eager", "channels_last")  # settings of the library; every other row is a file
WARM_MS, SAMPLE_MS = 10, 60
_GRAPH_BELOW_MS = 20.0  # of a longer call the launch is no share
GEOMETRIES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (  # input, arguments of the layer
    ((2, 32, 9, 20, 33), {"out": 64, "k": (3, 5, 5), "padding": (1, 2, 2), "bias": True}),
    ((3, 48, 7, 11, 20), {"out": 24, "k": (3, 3, 3), "padding": (0, 1, 0)}),
    ((2, 16, 5, 30, 40), {"out": 16, "k": (2, 3, 7), "bias": True}),
    ((2, 20, 6, 9, 31), {"out": 70, "k": (3, 1, 2), "bias": True}),
    ((1, 64, 8, 17, 30), {"out": 32, "k": (1, 3, 3), "padding": (0, 2, 1)}),
    ((5, 8, 4, 8, 16), {"out": 8, "k": (4, 4, 4), "padding": (3, 0, 3)}),
    ((2, 32, 7, 9, 16), {"out": 32, "k": (3, 3, 3), "stride": (2, 2, 2), "padding": (1, 1, 1), "groups": 4}),
)


def load(name: str, source: str) -> ModuleType:
    """A module from its text; Triton reads a kernel's lines from its file."""
    path = Path(tempfile.mkdtemp()) / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Reference:
    """A problem on the device: its module, one set of inputs, what float64 says about the first and the last item."""

    module: ModuleType
    exact: Any
    inputs: list[Any] = field(repr=False)

    @cached_property
    def truth(self) -> list[Any]:
        """The float64 outputs of both items."""
        double = copy.deepcopy(self.exact).double()
        return [double(self.inputs[0][item].double()) for item in (slice(0, 1), slice(-1, None))]

    @property
    def is_linear(self) -> bool:
        """Whether a scaled input has a scaled output."""
        return not any("bias" in name for name, _ in self.exact.named_parameters())


def reference_of(source: str) -> Reference:
    """Load it on the device."""
    module = load("reference", source)
    torch.manual_seed(0)
    with torch.device("cuda"):
        exact, inputs = module.Model(*module.get_init_inputs()), module.get_inputs()
    return Reference(module, exact, inputs)


class Bench:
    """Rows of many problems in one process; inputs and float64 outputs of a problem are made once."""

    def __init__(self) -> None:
        self._references: dict[str, Reference] = {}

    def row(self, request: dict[str, Any]) -> dict[str, Any]:
        """Errors and times of a library setting or of a file."""
        torch.backends.cudnn.allow_tf32 = request["class"] == "tf32"
        reference = self._reference(request["reference"])
        with torch.no_grad():
            if request.get("geometries"):
                return {"note": elsewhere(load("candidate", request["source"]), reference.module)}
            model, inputs = subject(request, reference)
            poisons = request["what"] not in LIBRARY
            row: dict[str, Any] = {} if request.get("known") else errors(model, reference, inputs, poisons=poisons)
            row |= times(lambda: model(*inputs))
            if request.get("profile"):
                row["kernels"] = profile(lambda: model(*inputs))
        torch.cuda.empty_cache()
        return row

    def _reference(self, source: str) -> Reference:
        if source not in self._references:
            self._references[source] = reference_of(source)
        return self._references[source]


def subject(request: dict[str, Any], reference: Reference) -> tuple[Any, list[Any]]:
    """What is called, and with what."""
    if request["what"] == "channels_last":
        order = torch.channels_last_3d
        model = copy.deepcopy(reference.exact).to(memory_format=order)  # type: ignore[call-overload]
        return model, [value.to(memory_format=order) for value in reference.inputs]
    if request["what"] == "eager":
        return reference.exact, reference.inputs
    model = load("candidate", request["source"]).ModelNew(*reference.module.get_init_inputs()).cuda()
    model.load_state_dict(reference.exact.state_dict())
    return model, reference.inputs


def errors(model: Any, reference: Reference, inputs: list[Any], *, poisons: bool) -> dict[str, float]:
    """`error` for the inputs as they are, `error scaled` for 1e5 times them. `poisons`: memory that nobody wrote is NaN.

    The library is measured without: with deterministic algorithms it computes in TF32 where by default it does not.
    """
    found = {"error": _error(model, inputs[0], reference.truth, 1.0, poisons=poisons)}
    if model is not reference.exact and reference.is_linear:
        found["error scaled"] = _error(model, inputs[0] * 1e5, reference.truth, 1e5, poisons=poisons)
    return found


def _error(model: Any, x: Any, truth: list[Any], scale: float, *, poisons: bool = True) -> float:
    """The worse of both items; NaN where any value of the output is not finite."""
    torch.use_deterministic_algorithms(mode=poisons, warn_only=True)  # fills torch.empty with NaN
    y = model(x)
    torch.use_deterministic_algorithms(mode=False)
    found = []
    for item, true in zip((y[:1], y[-1:]), truth, strict=True):
        assert item.shape == true.shape, f"shape {tuple(item.shape)}, expected {tuple(true.shape)}"
        found.append(float((item.double() / scale - true).norm() / true.norm()))
    return max(found) if bool(y.isfinite().all()) else float("nan")


def times(call: Callable[[], object]) -> dict[str, float]:
    """Medians in ms of single calls (events_ms) and of graph replays (graph_ms)."""
    row = {"events_ms": _median_ms(call)}
    row["graph_ms"] = row["events_ms"]
    if row["events_ms"] < _GRAPH_BELOW_MS:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            call()
        row["graph_ms"] = _median_ms(graph.replay)
    return row


def _median_ms(call: Callable[[], object]) -> float:
    return float(do_bench(call, warmup=WARM_MS, rep=SAMPLE_MS, return_mode="median"))


def profile(call: Callable[[], object], calls: int = 5) -> dict[str, float]:
    """Mean time of each kernel in ms; empty where CUPTI is not there."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    found = {event.key[:40]: event.device_time_total / calls / 1e3 for event in profiler.key_averages()}
    return {name: round(ms, 4) for name, ms in sorted(found.items(), key=lambda pair: -pair[1]) if ms > 0}


def elsewhere(candidate: ModuleType, reference: ModuleType) -> str:
    """The error on each of GEOMETRIES."""
    found = []
    for shape, layer in GEOMETRIES:
        options = {name: layer[name] for name in ("stride", "padding", "groups", "bias") if name in layer}
        init = (shape[1], layer["out"], layer["k"])
        exact = reference.Model(*init, **options).cuda()
        model = candidate.ModelNew(*init, **options).cuda()
        model.load_state_dict(exact.state_dict())
        there = Reference(reference, exact, [torch.randn(shape, device="cuda")])
        found.append(f"{shape} {layer}: {_error(model, there.inputs[0], there.truth, 1.0):.3g}")
    return "; ".join(found)


def compiled(request: dict[str, Any]) -> str:
    """Compile every kernel of a call into Triton's cache, launching none; what went wrong, or an empty text."""
    try:
        with compiling_only(), torch.no_grad():
            module = load("reference", request["reference"])
            with torch.device("meta"):
                described = module.get_inputs()
            inputs = [torch.empty(value.shape, dtype=value.dtype, device="cuda") for value in described]
            model = load("candidate", request["source"]).ModelNew(*module.get_init_inputs()).cuda()
            model(*inputs)
        torch.cuda.empty_cache()
    except Exception as failure:
        return f"{type(failure).__name__}: {failure}"[-600:]
    return ""


@contextlib.contextmanager
def compiling_only() -> Any:
    """Launches become compilations, of the kernel and of its launcher."""
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **options)
        kernel._init_handles()
        return kernel

    JITFunction.run = compile_only
    try:
        yield
    finally:
        JITFunction.run = run
