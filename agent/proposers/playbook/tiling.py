"""Arithmetic of GEMM-shaped tiles: shared memory, registers, predicted cost, the first tile to try.

BLOCK_M output pixels x BLOCK_N output channels, reduced in steps of BLOCK_K input channels of one tap.

Limits: a coarse model that orders families and moves; verdicts and published estimates come from the judge alone.
"""

import math
from dataclasses import dataclass

from agent.proposers.playbook.configuration import Configuration, Knob
from agent.proposers.playbook.family import Cost, Situation

# Accumulators per thread that leave room for operands and addresses, by what sm_80 and sm_89 code took: 64 with
# packed operands 168 registers, 32 with gathered operands 128 (64: 254, the limit).
ACCUMULATORS = 64
GATHERED_ACCUMULATORS = 32
KNOBS = ("BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M", "PRECISION", "NUM_WARPS", "NUM_STAGES")


@dataclass(frozen=True)
class Gemm:
    """How a family turns the workload into tiles.

    pixels: positions tiled per batch item and phase; taps: taps of one phase on average. overhead, per_element:
    instructions of a warp in one loop iteration besides products, in total and per gathered element of a lane (read
    from sm_89 code).
    """

    pixels: int
    phases: int
    taps: float
    overhead: float
    per_element: float
    item_bytes: int
    stores_apart: int = 1  # outputs between neighbouring stores: that many times the sectors are written


def start_tile(
    situation: Situation, *, pixels: int, item_bytes: int, accumulators: int = ACCUMULATORS
) -> dict[str, Knob]:
    """A tile that wastes few channels, leaves registers, and fits the target's shared memory as deep as it goes."""
    shape = situation.shape
    block_n = min(128, max(16, power_up(shape.out_channels)))
    block_k = best_block_k(shape.in_channels, 64 // item_bytes * 2)
    block_m = max(32, min(256, 128 * 64 // block_n, power_up(pixels)))
    if situation.precision == "ieee" or not situation.has_tensor_cores:
        block_m, accumulators = (
            max(32, block_m // 2),
            GATHERED_ACCUMULATORS,
        )  # operands live in registers too: 254 -> 96
    warps = max(1, min(8, block_m * block_n // (32 * accumulators)))
    tile: dict[str, Knob] = {"BLOCK_M": block_m, "BLOCK_N": block_n, "BLOCK_K": block_k, "GROUP_M": 1}
    for stages in (3, 2, 1):
        if shared_bytes(block_m, block_n, block_k, stages=stages, item_bytes=item_bytes) <= shared_limit(situation):
            return tile | {"PRECISION": situation.precision, "NUM_WARPS": warps, "NUM_STAGES": stages}
    return tile | {"BLOCK_M": 32, "BLOCK_K": 16, "PRECISION": situation.precision, "NUM_WARPS": 2, "NUM_STAGES": 1}


def best_block_k(channels: int, largest: int) -> int:
    """The largest step up to `largest` that pads the channel count least; tl.dot needs 16."""
    sizes = [size for size in (16, 32, 64, 128) if size <= max(16, largest)]
    return min(sizes, key=lambda size: (math.ceil(channels / size) * size, -size))


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
    per_thread = block_m * block_n / (32 * warps)
    needed = shared_bytes(block_m, block_n, block_k, stages=stages, item_bytes=item_bytes)
    sizes_fit = min(block_m, block_n, block_k) >= 16 and 1 <= stages <= 6 and 1 <= warps <= 16
    return sizes_fit and needed <= shared_limit(situation) and 4 <= per_thread <= 2 * ACCUMULATORS


def gemm_cost(configuration: Configuration, situation: Situation, gemm: Gemm) -> Cost:
    """The largest of product, issue and memory time of the main kernel."""
    shape, precision = situation.shape, configuration.word("PRECISION")
    block_m, block_n, block_k = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"))
    warps = configuration.number("NUM_WARPS")
    tiles = math.ceil(gemm.pixels / block_m) * math.ceil(shape.out_channels / block_n)
    iterations = shape.batch * shape.groups * gemm.phases * tiles * gemm.taps * math.ceil(shape.in_channels / block_k)
    lanes = 32 * warps
    products = block_m * block_n * block_k / (lanes if precision == "ieee" else warps * _mma_products(precision))
    instructions = products * 1.5 + gemm.overhead + gemm.per_element * block_m * block_k / lanes
    bounds = {
        f"{precision} products": iterations
        * 2
        * block_m
        * block_n
        * block_k
        / (situation.peak_tflops(precision) * 1e9),
        "instruction issue": situation.issue_ms(iterations * warps * instructions),
        "memory": situation.memory_ms(shape.moved_bytes + (min(8, gemm.stores_apart) - 1) * shape.written_bytes),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    return Cost(bounds[limiter], limiter, iterations * (block_m + block_n) * block_k * gemm.item_bytes)


def rounding_ms(configuration: Configuration, situation: Situation) -> float:
    """Time to write a copy of x rounded to TF32."""
    rounds = configuration.word("PRECISION") == "tf32" and situation.shape.dtype == "float32"
    return situation.memory_ms(2 * situation.shape.read_bytes) if rounds else 0.0


def _mma_products(precision: str) -> int:
    return 16 * 8 * (16 if precision == "half" else 8)  # m16n8k16 and m16n8k8


def power_up(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()
