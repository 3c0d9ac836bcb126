"""Every kernel launch in the interpreter: which programs run, in which order, and what they touch.

A call may run all programs (in either order) or, at full size, as many as a time budget allows: corners, then random
ones.
Limits: the record lives beside the candidate's code; to the judge it is a claim that can fail a candidate, never pass
one.
"""

import dataclasses
import inspect
import itertools
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter
from triton.runtime.autotuner import Autotuner

from evaluators.inside.interpreter_memory import Memory, OutOfBounds
from evaluators.inside.serving import CallStopped

Program = tuple[int, int, int]
BEAT_S = 1.0
LISTED_MAX = 40
SAMPLED_ELEMENTS_MAX = 2_000_000


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


@dataclasses.dataclass(frozen=True)
class Sampling:
    """At full size: the time to spend, the seed that picks programs, how many launches a call makes."""

    budget_s: float
    seed: int
    launches: int
    batch: int


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
        self.sampling = Sampling(**options["sample"]) if "sample" in options else None
        self._sampled: tuple[Any, list[np.ndarray[Any, Any]]] | None = None
        self._last_written: dict[int, bytes] = {}
        self._most_written = 0  # elements stored by one program of the last launch, at most
        self._random = random.Random(self.sampling.seed if self.sampling else 0)  # noqa: S311 - picks samples

    def run(self, launch: Launch, arguments: dict[str, Any], call: Callable[[Program], None]) -> None:
        """Run the programs of one launch that this call wants."""
        self.memory.enter(arguments)
        self._most_written = 0
        try:
            if self.sampling is None:
                self._run_all(launch, call)
            else:
                self._run_some(launch, call, self.sampling)
        except OutOfBounds as error:
            self.out_of_bounds.append(f"kernel {launch.name}: {error}")
            raise
        launch.completed = True
        self._finish(launch)

    def _finish(self, launch: Launch) -> None:
        if self.sampling is None:
            written = self.memory.written_storages()
            self._last_written = {key: bytes(view) for key, view in written.items() if len(view) <= 1 << 22}
            return
        if launch.programs < launch.total or len(self.launches) >= self.sampling.launches:
            self._sampled = self.memory.written_elements(SAMPLED_ELEMENTS_MAX)
        is_partial = any(done.programs < done.total for done in self.launches)
        if is_partial and len(self.launches) >= self.sampling.launches:
            raise CallStopped  # what torch does with unfinished data afterwards only costs time and memory

    def _run_all(self, launch: Launch, call: Callable[[Program], None]) -> None:
        self._run_programs(launch, _programs(launch.grid, backwards=self.reversed), call)

    def _run_some(self, launch: Launch, call: Callable[[Program], None], sampling: Sampling) -> None:
        """All programs where that fits the budget, otherwise corners and random ones until it is spent."""
        if launch.total == 0:
            return
        started = time.monotonic()
        self._run_programs(launch, [(0, 0, 0)], call)
        first_s = time.monotonic() - started
        is_last = len(self.launches) >= sampling.launches
        if first_s * launch.total <= (sampling.budget_s if is_last else sampling.budget_s / 3):
            self._run_programs(launch, itertools.islice(_programs(launch.grid), 1, None), call)
            return
        count = int(sampling.budget_s / max(first_s, 1e-6))
        self._run_programs(launch, self._picked(launch, min(count, 400), sampling.batch), call)

    def _picked(self, launch: Launch, count: int, batch: int) -> list[Program]:
        """Corners, then programs near the ends of every axis (first and last batch item) and anywhere."""
        gx, gy, gz = launch.grid
        chosen: dict[Program, None] = dict.fromkeys([(gx - 1, gy - 1, gz - 1)])
        chosen |= dict.fromkeys(itertools.product({gx - 1, 0}, {gy - 1, 0}, {gz - 1, 0}))
        for attempt in range(4 * count):
            chosen[self._random_program(launch.grid, batch, near_end=attempt % 3 > 0)] = None
            if len(chosen) > count:
                break
        chosen.pop((0, 0, 0), None)
        return list(chosen)[: max(1, count)]

    def _random_program(self, grid: Program, batch: int, *, near_end: bool) -> Program:
        def along(n: int) -> int:
            span = max(1, n // batch) if near_end and batch > 1 else n
            return n - 1 - self._random.randrange(span)

        return along(grid[0]), along(grid[1]), along(grid[2])

    def _run_programs(self, launch: Launch, programs: Iterable[Program], call: Callable[[Program], None]) -> None:
        for program in programs:
            before = self.memory.stored_elements
            call(program)
            launch.programs += 1
            self._most_written = max(self._most_written, self.memory.stored_elements - before)
            if time.monotonic() - self._last_beat > BEAT_S:
                self._last_beat = time.monotonic()
                self._beat({"beat": launch.name, "programs": launch.programs, "of": launch.total})

    def report(self, outputs: list[torch.Tensor]) -> tuple[dict[str, Any], bytes]:
        """The record as plain values; at full size the sampled elements follow as bytes (offsets, then values)."""
        message: dict[str, Any] = {
            "launches": [[n.name[:200], n.grid, n.programs, n.completed] for n in self.launches[:LISTED_MAX]],
            "arguments": [launch.scalars for launch in self.launches[:LISTED_MAX]],
            "launched": sum(launch.completed for launch in self.launches),
            "failed_launches": [n.name[:200] for n in self.launches if not n.completed][:LISTED_MAX],
            "out_of_bounds": [text[:500] for text in self.out_of_bounds[:5]],
            "configs": self.configs,
            "dry": self.memory.is_dry,
            "tf32_dots": self.tf32_dots,
            "direct": bool(outputs) and all(self._is_direct(output) for output in outputs),
        }
        if self._sampled is None:
            return message, b""
        tensor, addresses = self._sampled
        offsets, values = self.memory.gather(tensor, addresses)
        message["sampled"] = {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "contiguous": tensor.is_contiguous(),
            "elements": len(offsets),
            "atomics": self.memory.has_atomics,
            "most_written": self._most_written,
            "partial": [launch.programs < launch.total for launch in self.launches],
        }
        return message, offsets.tobytes() + values.tobytes()

    def _is_direct(self, output: torch.Tensor) -> bool:
        """Whether the output is, byte for byte, what the last launch left in it."""
        storage = output.untyped_storage()
        seen = self._last_written.get(storage.data_ptr())
        return seen is not None and seen == bytes(self.memory.view(storage.data_ptr(), storage.nbytes()))


def _programs(grid: Program, *, backwards: bool = False) -> Iterator[Program]:
    """Programs in launch order; lazily, because a grid may have hundreds of millions."""
    axes = [range(n - 1, -1, -1) if backwards else range(n) for n in grid]
    return ((x, y, z) for x in axes[0] for y in axes[1] for z in axes[2])


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

    def create_dot(self: Any, a: Any, b: Any, d: Any, precision: Any, accumulated: Any) -> Any:
        a, b = _widened(a), _widened(b)
        if a.data.dtype == np.float32 and str(precision).upper().endswith("TF32"):
            recorder.tf32_dots += 1
            if recorder.emulates_tf32:
                a = interpreter.TensorHandle(truncated_to_tf32(a.data), a.dtype)
                b = interpreter.TensorHandle(truncated_to_tf32(b.data), b.dtype)
        return exact_dot(self, a, b, d, precision, accumulated)

    interpreter.InterpreterBuilder.create_dot = create_dot


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
