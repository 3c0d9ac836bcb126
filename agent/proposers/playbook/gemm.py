"""Products whose operands are read as they lie: the first tile to try and what it is expected to cost.

BLOCK_M positions x BLOCK_N output channels, reduced in steps of BLOCK_K input channels of one tap.

Limits: a coarse model that orders families and moves; products of packed windows are windows.py.
"""

import math
from dataclasses import dataclass

from agent.proposers.playbook.configuration import Configuration, Knob
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.tiling import power_up, shared_bytes, shared_limit

# Per thread, what left room for the operands and addresses of gathered tiles in sm_80 and sm_89 code: 128 registers
# (64 accumulators: 254, the limit).
ACCUMULATORS = 32


@dataclass(frozen=True)
class Gemm:
    """How a family turns the workload into tiles.

    positions: tiled per batch item. overhead, per_element: instructions of a warp in one loop iteration besides
    products, in total and per gathered element of a lane (read from sm_89 code).
    """

    positions: int
    taps: int
    overhead: float
    per_element: float


def start_tile(situation: Situation, positions: int) -> dict[str, Knob]:
    """A tile that wastes few channels, leaves registers, and fits the target's shared memory as deep as it goes."""
    shape = situation.shape
    block_n = min(128, max(16, power_up(shape.out_channels)))
    block_k = best_block_k(shape.in_channels, 64 // shape.item_bytes * 2)
    block_m = max(32, min(256, 128 * 64 // block_n, power_up(positions)))
    if situation.precision == "ieee" or not situation.has_tensor_cores:
        block_m = max(32, block_m // 2)  # operands live in registers too: 254 -> 96
    warps = max(1, min(8, block_m * block_n // (32 * ACCUMULATORS)))
    tile: dict[str, Knob] = {"BLOCK_M": block_m, "BLOCK_N": block_n, "BLOCK_K": block_k, "GROUP_M": 1}
    for stages in (3, 2, 1):
        needed = shared_bytes(block_m, block_n, block_k, stages=stages, item_bytes=shape.item_bytes)
        if needed <= shared_limit(situation):
            return tile | {"PRECISION": situation.precision, "NUM_WARPS": warps, "NUM_STAGES": stages}
    return tile | {"BLOCK_M": 32, "BLOCK_K": 16, "PRECISION": situation.precision, "NUM_WARPS": 2, "NUM_STAGES": 1}


def best_block_k(channels: int, largest: int) -> int:
    """The largest step up to `largest` that pads the channel count least; tl.dot needs 16."""
    sizes = [size for size in (16, 32, 64, 128) if size <= max(16, largest)]
    return min(sizes, key=lambda size: (math.ceil(channels / size) * size, -size))


def gemm_cost(configuration: Configuration, situation: Situation, gemm: Gemm) -> Cost:
    """The largest of product, issue and memory time of the kernel."""
    shape, precision = situation.shape, configuration.word("PRECISION")
    block_m, block_n, block_k = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"))
    warps, split = configuration.number("NUM_WARPS"), 3 if precision == "tf32x3" else 1
    tiles = math.ceil(gemm.positions / block_m) * math.ceil(shape.out_channels / block_n)
    iterations = shape.batch * shape.groups * tiles * gemm.taps * math.ceil(shape.in_channels / block_k)
    lanes, multiplies = 32 * warps, block_m * block_n * block_k
    issued = multiplies / (lanes if precision == "ieee" else warps * 16 * 8 * 8)  # m16n8k8
    instructions = split * issued * 1.5 + gemm.overhead + gemm.per_element * block_m * block_k / lanes
    peak = situation.peak_tflops("tf32" if precision == "tf32x3" else precision)
    bounds = {
        f"{precision} products": iterations * split * 2 * multiplies / (peak * 1e9),
        "instruction issue": situation.issue_ms(iterations * warps * instructions),
        "memory": situation.memory_ms(shape.moved_bytes),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    return Cost(bounds[limiter], limiter, iterations * (block_m + block_n) * block_k * shape.item_bytes)
