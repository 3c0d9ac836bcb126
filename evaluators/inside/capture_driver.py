"""A CUDA driver without a device: Triton compiles for the target through it, launches end on the tape.

Limits: the part of Triton's driver interface that compiling and launching use (3.5 to 3.7); memory is never touched.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget

from evaluators.gpu import GpuSpec
from evaluators.inside.capture_tape import Tape

_MAX_GRID = (2**31 - 1, 65535, 65535)  # every compute capability from 3.0 on


class Launcher:
    """What Triton calls to launch one compiled kernel."""

    def __init__(self, tape: Tape, src: Any, metadata: Any) -> None:
        """`src` and `metadata` are those of the compiled kernel."""
        self._tape = tape
        self._hash: str = metadata.hash
        self._parameters: list[Any] = list(src.fn.params) if hasattr(src, "fn") else []

    def __call__(self, grid_x: Any, grid_y: Any, grid_z: Any, *rest: Any) -> None:
        """Check the grid as the driver would and record the launch; an empty grid launches nothing."""
        grid = (operator.index(grid_x), operator.index(grid_y), operator.index(grid_z))
        if any(size < 0 or size > limit for size, limit in zip(grid, _MAX_GRID, strict=True)):
            raise RuntimeError(f"Triton Error [CUDA]: invalid argument: grid {grid} exceeds {_MAX_GRID}")
        arguments = rest[6:]  # stream, function, packed metadata, launch metadata, enter hook, exit hook
        if 0 not in grid:
            names = [parameter.name for parameter in self._parameters]
            constants = [parameter.name for parameter in self._parameters if parameter.is_constexpr]
            self._tape.launched(self._hash, grid, dict(zip(names, arguments, strict=False)), constants)


class Properties:
    """`driver.active.utils`: device properties and loading."""

    def __init__(self, gpu: GpuSpec) -> None:
        """Properties of `gpu`."""
        self._gpu = gpu

    def get_device_properties(self, device: int) -> dict[str, int]:
        """What the real driver reads from the device."""
        return {
            "max_shared_mem": self._gpu.shared_memory_per_block_kb << 10,
            "max_num_regs": self._gpu.registers_per_sm,
            "multiprocessor_count": self._gpu.sm_count,
            "warpSize": self._gpu.warp_size,
            "sm_clock_rate": self._gpu.boost_clock_mhz * 1000,
            "mem_clock_rate": int(self._gpu.memory_bandwidth_gb_s * 1e6 / 2 / 32),
            "mem_bus_width": 256,
        }

    def load_binary(self, name: str, cubin: bytes, shared: int, device: int) -> tuple[int, int, int, int, int]:
        """Module, function, registers, spills, threads; the judge reads registers from the cubin, here they are -1."""
        return 1, 1, -1, -1, self._gpu.max_threads_per_block

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None  # TMA descriptors, occupancy queries, printf buffers


class Driver:
    """`triton.runtime.driver.active` for a target that is not here."""

    def __init__(self, gpu: GpuSpec, tape: Tape) -> None:
        """Compile for `gpu`, record on `tape`."""
        self._gpu = gpu
        self.utils = Properties(gpu)
        self.launcher_cls = functools.partial(Launcher, tape)

    @staticmethod
    def is_active() -> bool:
        """There is no device, but Triton must think so."""
        return True

    def get_current_target(self) -> GPUTarget:
        """The compilation target."""
        return GPUTarget("cuda", self._gpu.capability, self._gpu.warp_size)

    def get_current_device(self) -> int:
        """The only device."""
        return 0

    def set_current_device(self, device: int) -> None:
        """Nothing to choose."""

    def get_current_stream(self, device: int = 0) -> int:
        """The default stream."""
        return 0

    def get_device_capability(self, device: int = 0) -> tuple[int, int]:
        """Compute capability of the target."""
        return divmod(self._gpu.capability, 10)

    def get_active_torch_device(self) -> torch.device:
        """As the real driver says."""
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        """The (spoofed) torch.cuda."""
        return torch.cuda

    def map_python_to_cpp_type(self, type_name: str) -> str:
        """Only launchers compiled from C need it."""
        return type_name

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        """A benchmark flushes L2 with this."""
        return torch.empty(1)

    def clear_cache(self, cache: torch.Tensor) -> None:
        """Nothing was cached."""

    def get_benchmarker(self) -> Callable[..., Any]:
        """Every configuration is compiled and recorded, none is timed."""
        return once


def once(call: Callable[[], object], *args: object, quantiles: Any = None, **options: object) -> Any:
    """In place of a benchmark: run the call once, report that every configuration took equally long."""
    call()
    return [1.0] * len(quantiles) if quantiles else 1.0


def install(gpu: GpuSpec, tape: Tape) -> None:
    """Make Triton compile for `gpu` from now on in this process."""
    triton.runtime.driver.set_active(Driver(gpu, tape))
