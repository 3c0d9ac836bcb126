"""Theoretical occupancy: how many blocks of a kernel fit on one SM, and what stops the next one.

The formula is NVIDIA's (cuda_occupancy.h of the CUDA toolkit): registers are handed out per warp in units of 256
from the four schedulers' partitions, shared memory in units of 128 bytes with 1 KiB reserved per block from CC
8.0 on.
Limits: compute capability 7.5 and later; an upper bound of what a profiler would measure; clusters are
not modelled.
"""

from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec

_REGISTER_UNIT = 256  # registers per warp are rounded up to this (cudaOccRegAllocationGranularity)
_SCHEDULERS = 4  # partitions of an SM that the registers are split over (cudaOccSubPartitionsPerMultiprocessor)


class Occupancy(Frozen):
    """Blocks that an SM holds at once; `limiter` names the resources that run out first."""

    blocks_per_sm: int
    warps_per_sm: int
    pct: float
    limiter: str


def occupancy(gpu: GpuSpec, *, threads: int, registers: int, shared_bytes: int) -> Occupancy:
    """Theoretical occupancy of a kernel with `threads` per block; all zeros where not even one block fits."""
    warps = -(-threads // gpu.warp_size)
    limits = {
        "warps": gpu.max_warps_per_sm // warps,
        "blocks": gpu.max_blocks_per_sm,
        "registers": _blocks_by_registers(gpu, warps, registers),
        "shared memory": _blocks_by_shared_memory(gpu, shared_bytes),
    }
    blocks = min(limits.values())
    resident = blocks * warps
    return Occupancy(
        blocks_per_sm=blocks,
        warps_per_sm=resident,
        pct=round(100 * resident / gpu.max_warps_per_sm, 2),
        limiter=", ".join(name for name, limit in limits.items() if limit == blocks),
    )


def _blocks_by_registers(gpu: GpuSpec, warps: int, registers: int) -> int:
    if registers > gpu.max_registers_per_thread:
        return 0
    if registers == 0:
        return gpu.max_blocks_per_sm
    per_warp = -(-registers * gpu.warp_size // _REGISTER_UNIT) * _REGISTER_UNIT
    warps_per_partition = gpu.registers_per_sm // _SCHEDULERS // per_warp
    return warps_per_partition * _SCHEDULERS // warps


def _blocks_by_shared_memory(gpu: GpuSpec, shared_bytes: int) -> int:
    reserved, unit = (1024, 128) if gpu.capability >= 80 else (0, 256)
    if shared_bytes > gpu.shared_memory_per_block_kb * 1024:
        return 0
    taken = -(-(shared_bytes + reserved) // unit) * unit
    return gpu.shared_memory_per_sm_kb * 1024 // taken if taken else gpu.max_blocks_per_sm
