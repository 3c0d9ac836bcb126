"""Arithmetic of GEMM-shaped tiles: shared memory, registers, what the target can build.

BLOCK_M positions x BLOCK_N rows of phases and output channels, reduced in steps of BLOCK_K values of a window.

Limits: sizes; what a tile is expected to cost is windows.py.
"""

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Situation

ACCUMULATORS = 64  # per thread: what left room for operands and addresses in sm_80 and sm_89 code (168 registers)
KNOBS = ("BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M", "PRECISION", "NUM_WARPS", "NUM_STAGES")


def shared_bytes(block_m: int, block_n: int, block_k: int, *, stages: int, item_bytes: int) -> int:
    """Most shared memory a tile can need: every stage of both operands, or the fp32 tile on its way out."""
    return max(stages * (block_m + block_n) * block_k * item_bytes, (block_m + 8) * block_n * 4)


def shared_limit(situation: Situation) -> int:
    """Shared memory one block may use on the target."""
    return situation.gpu.shared_memory_per_block_kb * 1024


def is_buildable(configuration: Configuration, situation: Situation, item_bytes: int) -> bool:
    """Whether shared memory, registers and threads of the target hold this tile."""
    block_m, block_n, block_k = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"))
    warps, stages = configuration.number("NUM_WARPS"), configuration.number("NUM_STAGES")
    per_thread = block_m * block_n / (32 * max(1, warps))
    needed = shared_bytes(block_m, block_n, block_k, stages=stages, item_bytes=item_bytes)
    sizes_fit = min(block_m, block_n, block_k) >= 16 and 1 <= stages <= 6 and 1 <= warps <= 16
    return sizes_fit and needed <= shared_limit(situation) and 4 <= per_thread <= 2 * ACCUMULATORS


def power_up(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()
