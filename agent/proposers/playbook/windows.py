"""Arithmetic of packed-window products: shifts, rows, padded sizes, predicted cost, the first tile and its neighbours.

Limits: as tiling.py, a coarse model that orders families and moves. The emitted text (window_text.py) computes the same
sizes again for the arguments of every call.
"""

import math
from dataclasses import dataclass

from agent.proposers.playbook.configuration import Configuration, Knob
from agent.proposers.playbook.family import Choice, Cost, Situation
from agent.proposers.playbook.shape import Axes, ConvShape
from agent.proposers.playbook.tiling import best_block_k, power_up, shared_bytes, shared_limit

PRODUCTS = {"split": 3, "tf32x3": 3}  # products per multiply-add where it is not one
# Output rows that do not begin on 16 bytes: every warp store touches a line more (73: stores of 255 floats in a row
# reached 52 to 56 % of an H200's bandwidth, aligned ones nearly all of it).
_UNALIGNED_STORES = 1.7
_ITERATION = 60  # warp instructions of one loop iteration besides products and loads, read from sm_90 code
_STORED_VALUE = 8  # warp instructions per stored value of a lane: address, test, interleaving, store


@dataclass(frozen=True)
class Windows:
    """How a configuration turns the workload into tiles; the names are those of the emitted text."""

    shape: ConvShape
    joins_all: bool
    rows: int  # phases that are rows of one product
    channels_out: int  # of one tile
    columns: int  # positions of one tile
    tiles: int  # of one plane
    steps: int  # loop iterations of one tile of positions and channels, all its phases together
    packed: Axes  # rows of one plane
    channels: int  # of one row, padded

    @property
    def channel_tiles(self) -> int:
        """Tiles of output channels of one group."""
        return math.ceil(self.shape.out_channels / self.channels_out)

    @property
    def iterations(self) -> int:
        """Loop iterations of all programs."""
        return self.shape.batch * self.shape.groups * self.tiles * self.channel_tiles * self.steps


def shifts(shape: ConvShape, axis: int) -> tuple[int, int]:
    """The smallest and the largest input shift of any tap of any phase."""
    kernel, stride = shape.kernel[axis], shape.stride[axis]
    reached = [
        phase + shape.padding[axis] - tap * shape.dilation[axis] for phase in range(stride) for tap in range(kernel)
    ]
    found = [offset // stride for offset in reached if offset % stride == 0]
    return min(found), max(found)


def phase_rows(shape: ConvShape) -> Axes:
    """Phases with a tap per axis, padded to powers of two."""
    depth, height, width = (
        power_up(s // math.gcd(s, d)) for s, d in zip(shape.stride, shape.dilation, strict=True)
    )
    return depth, height, width


def has_dead_phases(shape: ConvShape) -> bool:
    """Whether stride and dilation share a factor, so that some phases have no tap."""
    return any(math.gcd(s, d) > 1 for s, d in zip(shape.stride, shape.dilation, strict=True))


def windows_of(configuration: Configuration, situation: Situation) -> Windows:
    """The tiles of a configuration."""
    shape = situation.shape
    block_m, block_n, block_k = (configuration.number(name) for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"))
    low, high = zip(*(shifts(shape, axis) for axis in range(3)), strict=True)
    phases = phase_rows(shape)
    joins_all = (
        configuration.word("JOIN") == "all" and math.prod(phases) <= block_n and not has_dead_phases(shape)
    )
    rows = math.prod(phases) if joins_all else phases[2]
    channels_out = max(1, block_n // rows)
    columns = max(16, min(block_m, block_m * block_n // (rows * channels_out)))
    ends = [math.ceil(o / s) for o, s in zip(shape.output, shape.stride, strict=True)]
    packed = [max(i - min(0, a), j + max(0, b)) for i, j, a, b in zip(shape.source, ends, low, high, strict=True)]
    span = ((ends[0] - 1) * packed[1] + ends[1] - 1) * packed[2] + ends[2]
    unit = 16 // operand_bytes(configuration, situation)
    channels = math.ceil(shape.in_channels / unit) * unit
    chunks = math.ceil((high[2] - low[2] + 1) * channels / block_k)
    taps = math.prod(b - a + 1 for a, b in zip(low[:2], high[:2], strict=True)) if joins_all else shape.kernel[0] * shape.kernel[1]
    return Windows(
        shape=shape,
        joins_all=joins_all,
        rows=rows,
        channels_out=channels_out,
        columns=columns,
        tiles=math.ceil(span / columns),
        steps=taps * chunks,
        packed=(packed[0], packed[1], packed[2]),
        channels=channels,
    )


def operand_bytes(configuration: Configuration, situation: Situation) -> int:
    """Bytes of one element of one packed array."""
    return 2 if configuration.word("PRECISION") in ("half", "split") else situation.shape.item_bytes


def window_cost(configuration: Configuration, situation: Situation) -> Cost:
    """The largest of product, issue and memory time of the main kernel, after one pass that packs x."""
    found, precision = windows_of(configuration, situation), configuration.word("PRECISION")
    shape, block_k, warps = situation.shape, configuration.number("BLOCK_K"), configuration.number("NUM_WARPS")
    products = PRODUCTS.get(precision, 1)
    copies = 2 if precision == "split" else 1
    item_bytes = operand_bytes(configuration, situation) * copies
    tile = found.rows * found.channels_out * found.columns
    loaded = (found.rows * found.channels_out + found.columns) * block_k * item_bytes
    flop = found.iterations * 2 * tile * block_k * products
    per_mma = 32 if precision == "ieee" else 16 * 8 * (16 if item_bytes == 2 * copies else 8)
    instructions = 1.5 * products * tile * block_k / per_mma + loaded / 128 + _ITERATION * warps
    written = shape.batch * shape.groups * shape.out_channels * math.prod(shape.output)
    stores = _STORED_VALUE * written / 32
    packed_bytes = shape.batch * shape.groups * math.prod(found.packed) * found.channels * item_bytes
    unaligned = _UNALIGNED_STORES if shape.output[2] * shape.item_bytes % 16 else 1.0
    bounds = {
        f"{precision} products": flop / (situation.peak_tflops(_unit_of(precision)) * 1e9),
        "instruction issue": situation.issue_ms(found.iterations * instructions + stores),
        "memory": situation.memory_ms(packed_bytes + written * shape.item_bytes * unaligned),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    cost = Cost(bounds[limiter], limiter, found.iterations * loaded)
    return cost.after(situation.memory_ms(shape.read_bytes + packed_bytes))


def _unit_of(precision: str) -> str:
    return {"split": "half", "tf32x3": "tf32"}.get(precision, precision)


def start_window(situation: Situation) -> Configuration:
    """A tile whose rows are the phases of the width (all phases where channels are few), as deep as it fits."""
    shape = situation.shape
    precision = situation.window_precision
    phases = phase_rows(shape)
    joins_all = math.prod(phases) * shape.out_channels <= 64 and math.prod(phases[:2]) > 1 and not has_dead_phases(shape)
    rows = math.prod(phases) if joins_all else phases[2]
    block_n = max(16, min(128, power_up(rows * shape.out_channels)))
    block_m = min(128, 128 * 64 // block_n * (2 if block_n < 64 else 1))
    warps = max(1, block_m * block_n // (32 * 64))
    draft = Configuration("phase_window", (("PRECISION", precision),))
    item_bytes = operand_bytes(draft, situation)
    low, high = shifts(shape, 2)
    unit = 16 // item_bytes
    width = (high - low + 1) * math.ceil(shape.in_channels / unit) * unit
    block_k = best_block_k(width, 128 // item_bytes)
    copies = 2 if precision == "split" else 1
    steps = math.prod(shape.kernel[:2]) / (1 if joins_all else math.prod(shape.stride[:2]))
    stages = next(
        n
        for n in ((3, 2, 1) if steps > 4 else (2, 1))  # many small programs hide latency better than deep short loops
        if n == 1
        or shared_bytes(block_m, block_n, block_k, stages=n, item_bytes=item_bytes * copies) <= shared_limit(situation)
    )
    knobs: tuple[tuple[str, Knob], ...] = (
        ("BLOCK_M", block_m),
        ("BLOCK_N", block_n),
        ("BLOCK_K", block_k),
        ("GROUP_M", 1),
        ("PRECISION", precision),
        ("NUM_WARPS", warps),
        ("NUM_STAGES", stages),
        ("JOIN", "all" if joins_all else "width"),
        ("PROMOTE", 4),
    )
    return Configuration("phase_window", knobs)


CHOICES = (
    Choice(
        "memory",
        lambda configuration: configuration.having(BLOCK_K=configuration.number("BLOCK_K") * 2),
        when=lambda configuration, situation: configuration.number("BLOCK_K") < 128,
        reason="a window in fewer, longer steps: fewer barriers, some products of zeros",
    ),
    Choice(
        "tiling",
        lambda configuration: configuration.having(JOIN="all", BLOCK_N=128, BLOCK_M=64),
        when=lambda configuration, situation: (
            configuration.word("JOIN") == "width"
            and not has_dead_phases(situation.shape)
            and math.prod(situation.shape.stride[:2]) > 1
            and math.prod(phase_rows(situation.shape)) * situation.shape.out_channels <= 128
        ),
        reason="all phases as rows of one product: x is read once for all of them",
    ),
    Choice(
        "algorithm",
        lambda configuration: configuration.having(PRECISION="tf32"),
        when=lambda configuration, situation: (
            configuration.word("PRECISION") == "half" and situation.precision == "tf32"
        ),
        reason="operands rounded to TF32 need no common scale: one pass less over x",
    ),
    Choice(
        "algorithm",
        lambda configuration: configuration.having(PRECISION="tf32x3"),
        when=lambda configuration, situation: configuration.word("PRECISION") == "split",
        reason="three TF32 products of unscaled operands: half the launches of the packing",
    ),
)
