"""Arithmetic of packed-window products: shifts, rows, padded sizes, predicted cost, the first tile.

Limits: as tiling.py, a coarse model that orders families and moves. The emitted text (window_text.py) computes the same
sizes again for the arguments of every call.
"""

import math
from dataclasses import dataclass

from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.family import Cost, Situation
from agent.proposers.playbook.shape import Axes, ConvShape
from agent.proposers.playbook.tiling import power_up, shared_bytes, shared_limit

_PRODUCTS = {"split": 3, "tf32x3": 3}  # products per multiply-add where it is not one
# Output rows that do not begin on 16 bytes: every warp store touches a line more (73: stores of 255 floats in a row
# reached 52 to 56 % of an H200's bandwidth, aligned ones nearly all of it). Zeros between the values of a row cost as
# much again (77 on an H100: 571 MB in 0.6 ms by phase windows).
_UNALIGNED_STORES = 1.7
_STORES_BETWEEN_ZEROS = 3.4
# A loop step holds an SM so long per warp, whatever it multiplies (H100, 4 warps: 68 0.38 us, 61 0.30, 72 0.45, a tile
# of 256 positions on an H200 0.29; 2 warps: 70 0.20). At 1.7 GHz 150 cycles for about 100 instructions.
_STEP_CYCLES_PER_WARP = 150
_STEP_PRODUCTS = 128 * 64  # and in proportion beyond so many: 72 in split products 0.153 ms, 70 10.5 ms
_ITERATION = 60  # warp instructions of one loop iteration besides products and loads, read from sm_90 code
_SHORT_LOOP = 4  # steps of a phase
_PROMOTED = 256  # products a tensor core may sum up: error 2.2e-7 to 2.8e-7 (72, 73, 77 on an H200), 512 5e-7
_WORTH_WIDTH = 1.02  # gain from which wider tiles are worth their registers
_STORED_VALUE = 8  # warp instructions per stored value of a lane: address, test, interleaving, store


@dataclass(frozen=True)
class Windows:
    """How a configuration turns the workload into tiles; the names are those of the emitted text."""

    configuration: Configuration
    shape: ConvShape

    @property
    def joins_all(self) -> bool:
        """Whether all phases are rows of one product, not only those of the width."""
        fits = math.prod(phase_rows(self.shape)) <= self.configuration.number("BLOCK_N")
        return self.configuration.word("JOIN") == "all" and fits and not has_dead_phases(self.shape)

    @property
    def rows(self) -> int:
        """Phases that are rows of one product."""
        phases = phase_rows(self.shape)
        return math.prod(phases) if self.joins_all else phases[2]

    @property
    def channels_out(self) -> int:
        """Output channels of one tile."""
        return max(1, self.configuration.number("BLOCK_N") // self.rows)

    @property
    def columns(self) -> int:
        """Positions of one tile."""
        block_m, block_n = self.configuration.number("BLOCK_M"), self.configuration.number("BLOCK_N")
        return max(16, min(block_m, block_m * block_n // (self.rows * self.channels_out)))

    @property
    def packed(self) -> Axes:
        """Rows of one plane per axis, with the zeros between."""
        depth, height, width = (
            max(size - min(0, low), ends + max(0, high))
            for size, ends, (low, high) in zip(self.shape.source, self._ends, self._shifts, strict=True)
        )
        return depth, height, width

    @property
    def channels(self) -> int:
        """Input channels of one row, padded to 16 bytes."""
        unit = 16 if self._pixel_step > 1 else 16 // self.item_bytes
        return math.ceil(self.shape.in_channels / unit) * unit

    @property
    def item_bytes(self) -> int:
        """Bytes of one element of one packed array."""
        return 2 if self.configuration.word("PRECISION") in ("half", "split") else self.shape.item_bytes

    @property
    def width(self) -> int:
        """Length of a window: pixels x channels."""
        low, high = self._shifts[2]
        jump = self._pixel_step if self.channels % self.configuration.number("BLOCK_K") == 0 else 1
        return ((high - low) // jump + 1) * self.channels

    @property
    def _pixel_step(self) -> int:
        """Pixels from tap to tap of the only phase; 1 where a window serves several phases."""
        dilation, stride = self.shape.dilation[2], self.shape.stride[2]
        return dilation // stride if dilation % stride == 0 else 1

    @property
    def steps(self) -> int:
        """Loop iterations of one tile of positions and channels, all its phases together."""
        taps = math.prod(self.shape.kernel[:2])
        if self.joins_all:
            taps = math.prod(high - low + 1 for low, high in self._shifts[:2])
        return taps * math.ceil(self.width / self.configuration.number("BLOCK_K"))

    @property
    def iterations(self) -> int:
        """Loop iterations of all programs."""
        packed, ends = self.packed, self._ends
        span = ((ends[0] - 1) * packed[1] + ends[1] - 1) * packed[2] + ends[2]
        tiles = math.ceil(span / self.columns) * math.ceil(self.shape.out_channels / self.channels_out)
        return self.shape.batch * self.shape.groups * tiles * self.steps

    @property
    def _ends(self) -> list[int]:
        return [math.ceil(o / s) for o, s in zip(self.shape.output, self.shape.stride, strict=True)]

    @property
    def _shifts(self) -> list[tuple[int, int]]:
        return [shifts(self.shape, axis) for axis in range(3)]


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
    depth, height, width = (power_up(s // math.gcd(s, d)) for s, d in zip(shape.stride, shape.dilation, strict=True))
    return depth, height, width


def has_dead_phases(shape: ConvShape) -> bool:
    """Whether stride and dilation share a factor, so that some phases have no tap."""
    return any(math.gcd(s, d) > 1 for s, d in zip(shape.stride, shape.dilation, strict=True))


def window_cost(configuration: Configuration, situation: Situation) -> Cost:
    """The largest of product, issue, step and memory time of the main kernel, after one pass that packs x."""
    found, precision, shape = Windows(configuration, situation.shape), configuration.word("PRECISION"), situation.shape
    block_k, warps = configuration.number("BLOCK_K"), configuration.number("NUM_WARPS")
    products = _PRODUCTS.get(precision, 1)
    item_bytes = found.item_bytes * _copies(precision)
    tile = found.rows * found.channels_out * found.columns
    loaded = (found.rows * found.channels_out + found.columns) * block_k * item_bytes
    weight = max(1.0, tile * products / _STEP_PRODUCTS)
    per_mma = 32 if precision == "ieee" else 16 * 8 * (16 if found.item_bytes == 2 else 8)
    instructions = 1.5 * products * tile * block_k / per_mma + loaded / 128 + _ITERATION * warps
    stores = _STORED_VALUE * shape.written_bytes / shape.item_bytes / 32
    packed_bytes = shape.batch * shape.groups * math.prod(found.packed) * found.channels * item_bytes
    peak_tflops = situation.peak_tflops({"split": "half", "tf32x3": "tf32"}.get(precision, precision))
    bounds = {
        f"{precision} products": found.iterations * 2 * tile * block_k * products / (peak_tflops * 1e9),
        "instruction issue": situation.issue_ms(found.iterations * instructions + stores),
        "loop steps": found.iterations * warps * _STEP_CYCLES_PER_WARP * weight / situation.sm_cycles_per_ms,
        "memory": situation.memory_ms(packed_bytes + _stored_bytes(configuration, shape)),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    cost = Cost(bounds[limiter], limiter, found.iterations * loaded)
    return cost.after(situation.memory_ms(shape.read_bytes + packed_bytes))


def window_extents(shape: ConvShape) -> dict[str, int]:
    """What a tile can cover: rows of phases and out channels, a reduction over a window."""
    low, high = shifts(shape, 2)
    return {"BLOCK_N": phase_rows(shape)[2] * shape.out_channels, "BLOCK_K": (high - low + 1) * shape.in_channels}


def _copies(precision: str) -> int:
    return 2 if precision == "split" else 1  # high and low parts


def _stored_bytes(configuration: Configuration, shape: ConvShape) -> float:
    """Bytes of the output, more where its rows are not aligned; planes without taps are filled by aligned stores."""
    if shape.output[2] * shape.item_bytes % 16 == 0:
        return shape.written_bytes
    common = math.gcd(shape.stride[0], shape.dilation[0])
    filled = 1 - 1 / common if configuration.family == "dilation_lattice" else 0.0
    apart = math.gcd(shape.stride[2], shape.dilation[2]) > 1
    return shape.written_bytes * (filled + (1 - filled) * (_STORES_BETWEEN_ZEROS if apart else _UNALIGNED_STORES))


def start_window(situation: Situation, family: str = "phase_window") -> Configuration:
    """A tile whose rows are the phases of the width (all phases where channels are few), as deep as it pays; on Hopper
    twice as many positions where that saves steps."""
    shape = situation.shape
    phases = phase_rows(shape)
    joins_all = math.prod(phases) * shape.out_channels <= 64 and math.prod(phases[:2]) > 1
    joins_all = joins_all and not has_dead_phases(shape) and family == "phase_window"
    rows = (math.prod(phases) if joins_all else phases[2]) * shape.out_channels
    block_n = max(16, min(128, power_up(rows)))
    usual = _sized(situation, family, "all" if joins_all else "width", (128 * 64 // max(32, block_n), block_n))
    if situation.gpu.capability != 90 or situation.window_precision == "ieee":
        return usual
    loads = "pointers" if joins_all else "descriptors"  # 72, all phases joined: 0.145 and 0.153 ms on an H200
    usual = usual.having(LEFT="pixels" if block_n < 64 else "weights", NUM_WARPS=4, LOADS=loads)
    if situation.window_precision == "split":
        return usual
    wide = usual.having(BLOCK_M=usual.number("BLOCK_M") * 2)
    wide = wide.having(NUM_STAGES=_stages(wide, situation))
    gain = window_cost(usual, situation).bound_ms / window_cost(wide, situation).bound_ms
    is_worth = gain > _WORTH_WIDTH and wide.number("NUM_STAGES") == usual.number("NUM_STAGES")
    return _sharing_an_sm(wide if is_worth else usual, situation)


def _sharing_an_sm(tile: Configuration, situation: Situation) -> Configuration:
    """Fewer positions where else one tile fills an SM: while it stores, nothing multiplies (77 on an H200, steps of 128
    values: 64 positions 0.268 ms, 128 positions 0.281; with 32 rows it lost, 0.271 where 0.237 ms had been)."""
    per_sm = situation.gpu.shared_memory_per_sm_kb * 1024
    while tile.number("BLOCK_N") >= 64 < tile.number("BLOCK_M") and 2 * _shared_bytes(tile, situation) > per_sm:
        tile = tile.having(BLOCK_M=tile.number("BLOCK_M") // 2)
    return tile


def _sized(situation: Situation, family: str, join: str, tile: tuple[int, int]) -> Configuration:
    precision, (block_m, block_n) = situation.window_precision, tile
    # three sets of accumulators, operands in registers, or values on their way out with zeros between them; on an H100
    # whole tiles were faster all the same: 72 0.153 and 0.164 ms, 73 0.88 and 1.03, 77 0.56 and 0.60 in split products
    cramped = precision == "ieee" or situation.gpu.capability != 90
    cramped = cramped and (precision in ("ieee", "split") or family == "dilation_lattice")
    if cramped:
        block_m //= 2
    draft = Configuration(
        family,
        (
            ("BLOCK_M", block_m),
            ("BLOCK_N", block_n),
            ("BLOCK_K", 16),
            ("GROUP_M", 1),
            ("PRECISION", precision),
            ("NUM_WARPS", max(1, block_m * block_n // (32 * (32 if cramped else 64)))),
            ("NUM_STAGES", 1),
            ("JOIN", join),
            ("LEFT", "weights"),
            ("PROMOTE", 4),
            ("LOADS", "pointers"),
        ),
    )
    sized = draft.having(BLOCK_K=_block_k(draft, situation))
    while sized.number("BLOCK_M") > 32 and _stages(sized, situation) == 1:  # little shared memory
        sized = sized.having(BLOCK_M=sized.number("BLOCK_M") // 2, NUM_WARPS=max(1, sized.number("NUM_WARPS") // 2))
    return sized.having(NUM_STAGES=_stages(sized, situation), PROMOTE=max(1, _PROMOTED // sized.number("BLOCK_K")))


def _block_k(draft: Configuration, situation: Situation) -> int:
    """The step that wastes least of a window, where a step costs as much as `dear` columns of it: 8, or in fp16 on
    Hopper 40 (77 on an H200, windows of 96 values: in steps of 128 0.268 ms, of 64 0.302, of 32 0.344)."""
    item_bytes = Windows(draft, situation.shape).item_bytes
    is_quick = situation.gpu.capability == 90 and draft.word("PRECISION") == "half"
    sizes, dear = ((16, 32, 64, 128), 40) if is_quick else ((16, 32, 64), 8)
    widths = {size: Windows(draft.having(BLOCK_K=size), situation.shape).width for size in sizes}
    fitting = (size for size in widths if is_quick or size * item_bytes <= 128)
    return min(fitting, key=lambda size: math.ceil(widths[size] / size) * (size + dear))


def _stages(tile: Configuration, situation: Situation) -> int:
    """Two where loops are short, as many small programs hide latency better (not on Hopper in fp16: 73 took 0.638 ms
    with two, 0.605 with three); else as many of three as fit."""
    found = Windows(tile, situation.shape)
    phases = 1 if found.joins_all else math.prod(situation.shape.stride[:2])
    deep = situation.gpu.capability == 90 and tile.word("PRECISION") == "half"
    for stages in (3, 2) if deep or found.steps > _SHORT_LOOP * phases else (2,):
        if _shared_bytes(tile.having(NUM_STAGES=stages), situation) <= shared_limit(situation):
            return stages
    return 1


def _shared_bytes(tile: Configuration, situation: Situation) -> int:
    block_m, block_n, block_k = (tile.number(name) for name in ("BLOCK_M", "BLOCK_N", "BLOCK_K"))
    item_bytes = Windows(tile, situation.shape).item_bytes * _copies(tile.word("PRECISION"))
    return shared_bytes(block_m, block_n, block_k, stages=tile.number("NUM_STAGES"), item_bytes=item_bytes)
