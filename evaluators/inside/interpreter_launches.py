"""Every kernel launch in the interpreter: which programs run, in which order, and what they touch.

A call may run all programs (in either order) or, at full size, a sample (interpreter_sampling.py).
Limits: the record lives beside the candidate's code; to the judge it is a claim that can fail a candidate, never pass
one.
"""

import dataclasses
import inspect
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter
from triton.runtime.autotuner import Autotuner

from evaluators.inside.interpreter_memory import Memory, OutOfBounds
from evaluators.inside.interpreter_sampling import Program, Sampler, Sampling, programs

BEAT_S = 1.0
LISTED_MAX = 40


@dataclasses.dataclass
class Launch:
    """One launch: what was asked for and what was run of it."""

    name: str
    grid: Program = (0, 0, 0)
    programs: int = 0
    completed: bool = False
    scalars: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        """Programs of the whole grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]


class Recorder:
    """What happened during one call; `begin` forgets the call before."""

    def __init__(self, beat: Callable[[dict[str, Any]], None]) -> None:
        self._beat = beat
        self._last_beat = time.monotonic()
        self.memory = Memory()
        self.begin({})

    def begin(self, options: dict[str, Any]) -> None:
        """Set how the next call is run."""
        self.launches: list[Launch] = []
        self.out_of_bounds: list[str] = []
        self.configs = 1
        self.tf32_dots = 0
        self.emulates_tf32 = bool(options.get("tf32"))
        self.reversed = bool(options.get("reversed"))
        self.memory.is_dry = bool(options.get("dry"))
        self.config_index = int(options.get("config", 0))
        self.memory.forget()
        self.memory.is_sampled = "sample" in options
        self._sampler = Sampler(Sampling(**options["sample"]), self.memory) if "sample" in options else None
        self._last_written: dict[int, bytes] = {}

    def run(self, launch: Launch, arguments: dict[str, Any], call: Callable[[Program], None]) -> None:
        """Run the programs of one launch that this call wants."""
        self.memory.enter(arguments)
        run = partial(self._run_programs, launch, call)
        try:
            if self._sampler is None:
                run(programs(launch.grid, backwards=self.reversed))
            else:
                self._sampler.run(launch.grid, run)
        except OutOfBounds as error:
            self.out_of_bounds.append(f"kernel {launch.name}: {error}")
            raise
        launch.completed = True
        if self._sampler is None:
            self._keep_written()
        else:
            self._sampler.finish(launch.programs, launch.total)
        self.memory.leave()

    def _keep_written(self) -> None:
        written = self.memory.written_storages()
        self._last_written = {key: bytes(view) for key, view in written.items() if len(view) <= 1 << 22}

    def _run_programs(self, launch: Launch, call: Callable[[Program], None], wanted: Iterable[Program]) -> list[int]:
        """Run these programs; how many elements each stored."""
        stored = []
        for program in wanted:
            before = self.memory.stored_elements
            call(program)
            launch.programs += 1
            stored.append(self.memory.stored_elements - before)
            if time.monotonic() - self._last_beat > BEAT_S:
                self._last_beat = time.monotonic()
                self._beat({"beat": launch.name, "programs": launch.programs, "of": launch.total})
        return stored

    def report(self, outputs: list[torch.Tensor]) -> tuple[dict[str, Any], bytes]:
        """The record as plain values; at full size the sampled elements follow as bytes (offsets, then values)."""
        message: dict[str, Any] = {
            "launches": [[n.name[:200], n.grid, n.programs, n.completed] for n in self.launches[:LISTED_MAX]],
            "arguments": [launch.scalars for launch in self.launches[:LISTED_MAX]],
            "accesses": self.memory.accesses,
            "launched": sum(launch.completed for launch in self.launches),
            "failed_launches": [n.name[:200] for n in self.launches if not n.completed][:LISTED_MAX],
            "out_of_bounds": [text[:500] for text in self.out_of_bounds[:5]],
            "configs": self.configs,
            "dry": self.memory.is_dry,
            "tf32_dots": self.tf32_dots,
            "direct": bool(outputs) and all(self._is_direct(output) for output in outputs),
        }
        if self._sampler is None:
            return message, b""
        sampled, data = self._sampler.report(outputs)
        return {**message, **({"sampled": sampled} if sampled else {})}, data

    def _is_direct(self, output: torch.Tensor) -> bool:
        """Whether the output is, byte for byte, what the last launch left in it."""
        storage = output.untyped_storage()
        seen = self._last_written.get(storage.data_ptr())
        return seen is not None and seen == bytes(self.memory.view(storage.data_ptr(), storage.nbytes()))


def install(recorder: Recorder) -> None:
    """Route every launch, autotuner and memory access of this process through the recorder."""

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        if not warmup:
            with torch._C.DisableTorchFunction():
                _launch(recorder, self, grid, args, kwargs)

    interpreter.InterpretedFunction.run = run
    Autotuner.run = lambda self, *args, **kwargs: _run_autotuned(recorder, self, args, kwargs)
    recorder.memory.install()
    _install_tf32(recorder)


def _launch(recorder: Recorder, kernel: Any, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    launch = Launch(kernel.fn.__name__)
    recorder.launches.append(launch)
    function = kernel.rewrite()
    names = inspect.getfullargspec(function).args
    executor = interpreter.GridExecutor(function, kernel.arg_names, grid, kernel.pre_run_hooks)
    keywords = {name: value for name, value in kwargs.items() if name in names}
    for hook in kernel.pre_run_hooks:
        hook(*args, **keywords)
    bound = inspect.getcallargs(function, *args, **keywords)
    launch.scalars = _scalars(bound)
    interpreter._patch_lang(function)
    values = {n: v if n in executor.constexprs else interpreter._implicit_cvt(v) for n, v in bound.items()}
    sizes = tuple(int(n) for n in (grid(bound) if callable(grid) else grid))
    launch.grid = (*sizes, *[1] * (3 - len(sizes)))  # type: ignore[assignment]
    builder = interpreter.interpreter_builder
    builder.set_grid_dim(*launch.grid)

    def call(program: Program) -> None:
        builder.set_grid_idx(*program)
        function(**values)

    recorder.run(launch, bound, call)


def _scalars(bound: dict[str, Any]) -> dict[str, Any]:
    """Plain numbers among the arguments, `tl.constexpr` opened."""
    plain = {
        name: value.value if isinstance(value, interpreter.tl.constexpr) else value for name, value in bound.items()
    }
    return {name: v for name, v in plain.items() if type(v) in (int, bool) or (type(v) is float and math.isfinite(v))}


def _run_autotuned(recorder: Recorder, tuner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run with one configuration, chosen by the call; nothing is timed. Equal meta-parameters count once."""
    tuner.nargs = dict(zip(tuner.arg_names, args, strict=False))
    configs = tuner.prune_configs(kwargs) if len(tuner.configs) > 1 else tuner.configs
    distinct = list({str(sorted(config.kwargs.items())): config for config in reversed(configs)}.values())[::-1]
    recorder.configs = max(recorder.configs, len(distinct))
    config = distinct[recorder.config_index % len(distinct)]
    tuner.best_config = config
    everything = {**tuner.nargs, **kwargs, **config.all_kwargs()}
    tuner.pre_hook(everything, reset_only=True)
    if config.pre_hook is not None:
        config.pre_hook(everything)
    result = tuner.fn.run(*args, **kwargs, **config.all_kwargs())
    tuner.nargs = None
    return result


def _install_tf32(recorder: Recorder) -> None:
    exact_dot = interpreter.InterpreterBuilder.create_dot
    options = interpreter.interpreter_builder.options
    allowed = (*options.allowed_dot_input_precisions, "bf16x3", "bf16x6")  # those of the compiler for a GPU
    interpreter.interpreter_builder.options = dataclasses.replace(options, allowed_dot_input_precisions=allowed)

    def create_dot(self: Any, a: Any, b: Any, d: Any, precision: Any, accumulated: Any) -> Any:
        a, b = _widened(a), _widened(b)
        if a.data.dtype == np.float32 and (parts := _BF16_PARTS.get(precision.name)):
            halves = [_parts(handle, parts) for handle in (a, b)]
            for i, j in sorted(np.ndindex(parts, parts), key=sum, reverse=True):
                d = exact_dot(self, halves[0][i], halves[1][j], d, precision, accumulated) if i + j < parts else d
            return d
        if a.data.dtype == np.float32 and str(precision).upper().endswith("TF32"):
            recorder.tf32_dots += 1
            if recorder.emulates_tf32:
                a = interpreter.TensorHandle(truncated_to_tf32(a.data), a.dtype)
                b = interpreter.TensorHandle(truncated_to_tf32(b.data), b.dtype)
        return exact_dot(self, a, b, d, precision, accumulated)

    interpreter.InterpreterBuilder.create_dot = create_dot


_BF16_PARTS = {"BF16x3": 2, "BF16x6": 3}  # terms of each operand; products of more than that many in all are left out


def _parts(handle: Any, count: int) -> list[Any]:
    """A float32 operand as a sum of bfloat16 terms."""
    left, terms = np.ascontiguousarray(handle.data), []
    for _ in range(count):
        bits = left.view(np.uint32)
        term = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(
            np.float32
        )
        terms.append(interpreter.TensorHandle(term, handle.dtype))
        left = left - term
    return terms


def _widened(handle: Any) -> Any:
    """bfloat16 lives in the interpreter as bit patterns, which its dot would multiply as integers."""
    if handle.dtype.scalar == interpreter.tl.bfloat16:
        bits = handle.data.astype(np.uint32) << np.uint32(16)
        return interpreter.TensorHandle(bits.view(np.float32), interpreter.tl.float32)
    return handle


def truncated_to_tf32(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The value without its last 13 mantissa bits: what the tensor core makes of float32 operands of tl.dot.

    Measured on an H100 (triton 3.6 emits no rounding conversion): 7.3e-4 on problem 68, operands rounded first 3.0e-4.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)
