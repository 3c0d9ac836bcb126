"""From a captured launch to `KernelResources`: what the binary needs and how it fills the target GPU.

Limits: theoretical occupancy and waves are arithmetic on the binary's needs, an upper bound of what a profiler
would show.
"""

import math

from evaluators.compiled import cubin, sass
from evaluators.compiled.occupancy import occupancy
from evaluators.evaluation import KernelResources
from evaluators.gpu import GpuSpec
from evaluators.rungs import CapturedLaunch


def resources_of(launch: CapturedLaunch, gpu: GpuSpec) -> KernelResources:
    """Read registers, spills and instruction mix from the launch's cubin and fit its grid onto `gpu`."""
    usage = cubin.function(launch.cubin, launch.name)
    code = sass.listing(launch.cubin, launch.name)
    shared = launch.shared_memory_bytes + usage.static_shared_bytes
    fit = occupancy(gpu, threads=launch.num_warps * 32, registers=usage.registers, shared_bytes=shared)
    resident = fit.blocks_per_sm * gpu.sm_count
    return KernelResources(
        name=launch.name,
        grid=launch.grid,
        registers=usage.registers,
        spills=_spill_bytes(usage, code),
        shared_memory_bytes=shared,
        theoretical_occupancy_pct=fit.pct,
        occupancy_limiter=fit.limiter,
        num_warps=launch.num_warps,
        num_stages=launch.num_stages,
        waves=round(math.prod(launch.grid) / resident, 3) if resident else 0.0,
        launches=launch.launches,
        config=launch.config,
        sass_mix_pct=code.mix_pct(),
        global_load_bits=code.global_load_bits(),
    )


def _spill_bytes(usage: cubin.FunctionUsage, code: sass.Listing) -> int:
    """Spilled registers live in the stack frame; one that no instruction touches (printf, a call) is no spill."""
    touches = code.counts()["local"]
    return usage.stack_bytes + usage.local_bytes if touches else 0
