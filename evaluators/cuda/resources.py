"""What a CUDA candidate's launches need on the target, and whether the target accepts them.

Registers and shared memory are read from nvcc's cubin, grid and block from the recorded run at full size.
Limits: theoretical occupancy only; a kernel with internal linkage is found by its source name.
"""

from collections.abc import Iterator, Sequence

from evaluators.compiled import cubin
from evaluators.compiled.cubin import FunctionUsage
from evaluators.compiled.resources import resources_of
from evaluators.cuda.recording import NotedLaunch
from evaluators.evaluation import KernelResources
from evaluators.gpu import GpuSpec
from evaluators.rungs import CapturedLaunch

_WITHOUT_OPT_IN = 48 << 10  # dynamic shared memory beyond this needs cudaFuncSetAttribute (CUDA programming guide)
_GRID_LIMITS = (2**31 - 1, 65535, 65535)
_BLOCK_LIMITS = (1024, 1024, 64)


def kernels_of(launches: Sequence[NotedLaunch], cubins: Sequence[bytes], gpu: GpuSpec) -> tuple[KernelResources, ...]:
    """Resources of every launch whose kernel is in one of the cubins."""
    found = ((launch, _located(launch, cubins)) for launch in launches)
    return tuple(_resources(launch, *place, gpu=gpu) for launch, place in found if place is not None)


def _located(launch: NotedLaunch, cubins: Sequence[bytes]) -> tuple[bytes, str] | None:
    """The cubin and the mangled name of the kernel: by symbol, else by a mangled source name."""
    mangled = f"{len(launch.name)}{launch.name}"
    for binary in cubins:
        names = [usage.name for usage in cubin.functions(binary)]
        fits = [n for n in names if n == launch.symbol] or [n for n in names if mangled in n or n == launch.name]
        if fits:
            return binary, fits[0]
    return None


def _resources(launch: NotedLaunch, binary: bytes, symbol: str, *, gpu: GpuSpec) -> KernelResources:
    captured = CapturedLaunch(
        name=symbol,
        grid=launch.grid,
        num_warps=max(1, -(-launch.threads // gpu.warp_size)),
        num_stages=1,
        shared_memory_bytes=launch.dynamic_shared_bytes,
        config={"block": "x".join(str(size) for size in launch.block)},
        arguments={},
        pointer_bytes={},
        cubin=binary,
        ttir="",
        launches=launch.count,
    )
    return resources_of(captured, gpu).model_copy(update={"name": launch.name})


def refused(launches: Sequence[NotedLaunch], cubins: Sequence[bytes], text: str, gpu: GpuSpec) -> str:
    """Why the card would refuse one of these launches; empty if it takes them all."""
    for launch in launches:
        place = _located(launch, cubins)
        usage = cubin.function(*place) if place else None
        reason = next(_reasons(launch, usage, "cudaFuncSetAttribute" in text, gpu), "")
        if reason:
            return f"{launch.described()} cannot be launched: {reason}"
    return ""


def _reasons(launch: NotedLaunch, usage: FunctionUsage | None, opts_in: bool, gpu: GpuSpec) -> Iterator[str]:
    for what, sizes, limits in (("grid", launch.grid, _GRID_LIMITS), ("block", launch.block, _BLOCK_LIMITS)):
        for axis, size, limit in zip("xyz", sizes, limits, strict=True):
            if not 1 <= size <= limit:
                yield f"{what} {axis} is {size}, must be 1 to {limit} (an int that overflowed shows as such a number)"
    if launch.threads > gpu.max_threads_per_block:
        yield f"{launch.threads} threads per block, at most {gpu.max_threads_per_block}"
    if launch.dynamic_shared_bytes > _WITHOUT_OPT_IN and not opts_in:
        yield (
            f"{launch.dynamic_shared_bytes} bytes of dynamic shared memory need "
            "cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) first"
        )
    if usage is not None:
        yield from _reasons_of_binary(launch, usage, gpu)


def _reasons_of_binary(launch: NotedLaunch, usage: FunctionUsage, gpu: GpuSpec) -> Iterator[str]:
    shared, limit = launch.dynamic_shared_bytes + usage.static_shared_bytes, gpu.shared_memory_per_block_kb << 10
    if shared > limit:
        yield f"{shared} bytes of shared memory per block, at most {limit} on {gpu.name}"
    registers = -(-usage.registers // 8) * 8 * -(-launch.threads // gpu.warp_size) * gpu.warp_size
    if registers > gpu.registers_per_sm:
        yield f"{usage.registers} registers x {launch.threads} threads exceed an SM's {gpu.registers_per_sm} registers"
