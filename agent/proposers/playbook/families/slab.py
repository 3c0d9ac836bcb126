"""Slab: a Gluon kernel for Hopper in which one slab of input rows in shared memory feeds all taps of a kernel plane.

Data flow: x is packed once per call to channels-last rows with shared zero pads, so a tap is a constant row offset. A
producer warp copies a slab (POSITIONS rows and those that the taps look back) per kernel plane by TMA and streams the
weights, a kernel row at a time; two warpgroups multiply and move only the base of the operand from tap to tap. With
few output channels PIXELS neighbouring pixels share the 64 rows of an instruction (Toeplitz weights). Weights are
repacked in every call, so they follow every change of the parameter. Other geometries go to the direct kernel.
PRECISION: half (operands rounded to fp16), tf32, or split (high and low fp16 parts, three products, promoted to fp32
after every kernel row: the error of fp32). fp16 is scaled by powers of two, one for the weights and one for each batch
item, so that a small item loses nothing to a large one.
On an H200 with packing: 68 2.1 ms, 61 0.69 ms, 70 1.66 ms, 58 0.245 ms; split 6.6, 1.8, 5.6, 1.0 ms.
Loses where packing costs more than the product: few channels or taps.
Limits: stride 1, dilation 1, one group, fp32. Values 2**-24 below the largest of their batch item are lost in half; an
Inf or NaN in x reaches the PIXELS neighbours along the width.
"""

import math
from collections.abc import Callable

from agent.proposers.playbook import slab_product, slab_text
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.families import direct
from agent.proposers.playbook.family import Choice, Cost, Family, Situation
from agent.proposers.playbook.tiling import shared_limit
from prompts.cards import built_in_card

LAUNCH = '''
def slab_sizes(x_shape, y_shape, layer):
    """Compile-time sizes of the slab kernel for this geometry; None where it does not apply."""
    kernel, stride, padding, dilation, groups = layer
    (ID, IH, IW), (OD, OH, OW) = lead(x_shape[2:], 1), lead(y_shape[2:], 1)
    (KD, KH, KW), (PD, PH, PW) = lead(kernel, 1), lead(padding, 0)
    if groups != 1 or {*stride, *dilation} != {1} or PD >= KD or PH >= KH or PW >= KW:
        return None
    pixels = PIXELS if y_shape[1] * PIXELS <= 64 and PRECISION != "split" else 1
    depth, height = ID + KD - 1 - PD, IH + KH - 1 - PH  # one gap of zeros serves as both pads
    pitch = triton.cdiv(IW + KW - 1 - PW, pixels)
    shifts = (pixels + KW - 2) // pixels + 1
    rows = POSITIONS + (KH - 1) * pitch + shifts - 1
    box = next(b for b in (256, 128, 64, 32, 16, 8) if -rows % b <= (48 if b >= 32 else 8))
    rows = triton.cdiv(rows, box) * box
    C1, C2 = channel_chunks(x_shape[1])
    bits = 32 if PRECISION == "tf32" else 16
    shared = (SLABS * rows + STAGES * shifts * 64) * (C1 + C2) * bits // 8 + 1024
    row = (C1 + C2) * (2 if PRECISION == "split" else 1)
    largest = max(math.prod(x_shape), math.prod(y_shape), (x_shape[0] + 1) * depth * height * pitch * pixels * row)
    if C2 > C1 or shared > SHARED or largest >= 2**31 - 2**20:
        return None
    return dict(
        C1=C1, C2=C2, OC=y_shape[1], OD=OD, OH=OH, OW=OW, PD=PD, PH=PH, PW=PW, SPAN=depth * height * pitch,
        PLANE=height * pitch, PITCH=pitch, ID=ID, KD=KD, KH=KH, KW=KW, PIXELS=pixels, SHIFTS=shifts,
        CO_TILES=triton.cdiv(y_shape[1], 64 // pixels), BN=POSITIONS, SLABS=SLABS, STAGES=STAGES, ROWS=rows,
        BOX=box, BITS=bits, SPLIT=PRECISION == "split", DENSE=(OD, OH, OW) == (depth, height, pitch * pixels))


@lru_cache(maxsize=64)
def launches(x_shape, y_shape, layer, kind, has_bias, device):
    """Sizes, grids and compile-time values of the three launches of a call, or None where the slab does not apply.
    Computed once per geometry: Python's time before a launch is part of a call."""
    served = kind == torch.float32 and torch.cuda.get_device_capability(device)[0] == 9
    z = slab_sizes(x_shape, y_shape, layer) if served else None
    if z is None:
        return None
    parts, channels = 2 if z["SPLIT"] else 1, z["C1"] + z["C2"]
    reach = (z["KD"] - 1) * z["PLANE"] + (z["KH"] - 1) * z["PITCH"] + z["SHIFTS"] - 1
    first, span = triton.cdiv(reach, 8) * 8 * z["PIXELS"], z["SPAN"] * z["PIXELS"]
    rows = first + x_shape[0] * span
    taps = z["CO_TILES"] * z["KD"] * (2 if z["SPLIT"] else z["PIXELS"]) * z["KH"] * z["SHIFTS"]
    block, weights = 256 if PRECISION == "half" else 128, x_shape[1] * z["OC"] * z["KD"] * z["KH"] * z["KW"]
    blocks, pads = x_shape[0] * triton.cdiv(math.prod(x_shape[2:]), block), triton.cdiv(rows, 512)
    ranged, menders = (0, 0) if PRECISION == "tf32" else (triton.cdiv(weights, 4096), min(blocks, 1024))
    positions = x_shape[0] * z["SPAN"]
    tiles = triton.cdiv(positions, POSITIONS) * z["CO_TILES"]
    programs = min(tiles, torch.cuda.get_device_properties(device).multi_processor_count)
    pack = dict(
        IC=x_shape[1], ID=z["ID"], IH=lead(x_shape[2:], 1)[1], IW=lead(x_shape[2:], 1)[2],
        HEIGHT=z["PLANE"] // z["PITCH"], WIDTH=z["PITCH"] * z["PIXELS"], SPAN=span, CHANNELS=channels,
        PRECISION=PRECISION, BLOCK=block, num_warps=4)
    weigh = dict(pack, OC=z["OC"], KD=z["KD"], KH=z["KH"], KW=z["KW"], PIXELS=z["PIXELS"], SHIFTS=z["SHIFTS"],
                 PADDED=triton.next_power_of_2(channels))
    return dict(
        z=z, pack=pack, weigh=weigh, first=first, dtype=torch.float32 if PRECISION == "tf32" else torch.float16,
        x_packed=(rows, parts * channels), w_packed=(taps * 64, channels), pack_grid=(blocks + pads + ranged,),
        pack_sizes=(blocks, pads, first, rows, weights), weigh_grid=(taps + menders,),
        weigh_sizes=(taps, blocks, menders, first), boxes=boxes(z, rows * parts * channels, taps * 64 * channels),
        slab_sizes=(first // z["PIXELS"], tiles, programs, positions), slab_grid=(programs,),
        slab=dict(z, HAS_BIAS=has_bias, num_warps=4))


def boxes(z, x_size, w_size):
    """(shape, strides, box, layout) by which TMA copies x and weights, and again for a second chunk of channels."""
    channels = z["C1"] + z["C2"]
    row = channels * (2 if z["SPLIT"] else z["PIXELS"])
    found = []
    for chunk in (z["C1"], z["C2"])[: 2 if z["C2"] else 1]:
        layout = gl.NVMMASharedLayout(chunk * z["BITS"] // 8, z["BITS"], 2)
        found.append(([x_size // row, row], [row, 1], [z["BOX"], chunk], layout))
        found.append(([w_size // channels, channels], [channels, 1], [64, chunk], layout))
    return found


def launch(x, w, bias, y, m):
    """Pack, then one persistent launch; geometries that do not fit the slab go to the direct kernel."""
    call = call_of(x, w, bias, y, m)
    v = launches(*call[0], x.device)
    if v is None:
        launch_direct(x, w, bias, y, m)
        return
    xp = torch.empty(v["x_packed"], device=x.device, dtype=v["dtype"])
    wp = torch.empty(v["w_packed"], device=x.device, dtype=v["dtype"])
    bits = torch.zeros(1 + x.shape[0], device=x.device, dtype=torch.int32)
    launched(pack_input, call, v["pack_grid"], (x, w, xp, bits), v["pack_sizes"], v["pack"])
    launched(pack_weights, call, v["weigh_grid"], (x, w, xp, wp, bits), v["weigh_sizes"], v["weigh"])
    described = [TensorDescriptor(rows, *box) for rows, box in zip((xp, wp, xp, wp), v["boxes"])]
    (xd, wd), (xd2, wd2) = described[:2], described[-2:]
    tensors = xd, xd2, wd, wd2, y, w if bias is None else bias, bits
    launched(slab, call, v["slab_grid"], tensors, v["slab_sizes"], v["slab"])
'''

# (POSITIONS, SLABS, STAGES), the best measured first: 512 positions are 128 accumulators a thread.
_TILES = {
    1: ((512, 2, 4), (512, 2, 3), (256, 3, 4), (256, 2, 4), (256, 2, 3), (256, 2, 2), (256, 1, 2)),
    2: ((512, 3, 3), (512, 2, 3), (256, 3, 3), (256, 2, 3), (256, 2, 2), (256, 1, 2)),
    4: ((256, 4, 5), (256, 4, 4), (256, 3, 3), (256, 2, 3), (256, 2, 2), (256, 1, 2)),
}
_FEW_WAVES = 6


def _misfit(situation: Situation) -> str:
    shape = situation.shape
    if situation.gpu.capability != 90:
        return f"it is made of Hopper's TMA and warpgroup products, {situation.gpu.arch} has other ones"
    if shape.dtype != "float32" or shape.groups != 1:
        return "it serves fp32 and one group"
    if math.prod(shape.stride) * math.prod(shape.dilation) != 1:
        return "it serves stride 1 and dilation 1, where a tap is a constant row offset"
    if any(p >= k for p, k in zip(shape.padding, shape.kernel, strict=True)):
        return "it serves paddings smaller than the kernel"
    fits = first_tile(situation, precision_for(situation)) is not None
    return "" if fits else "a slab of its rows and channels does not fit into shared memory"


def precision_for(situation: Situation) -> str:
    """The cheapest product that the tolerance allows."""
    if situation.scaled_half_pays:
        return "half"
    return "tf32" if situation.precision == "tf32" else "split"


def pixels_for(situation: Situation, precision: str) -> int:
    """Pixels along the width that fill the 64 rows of an instruction."""
    channels = situation.shape.out_channels
    return 1 if precision == "split" or channels > 32 else 2 if channels > 16 else 4


def channel_bytes(situation: Situation, precision: str) -> int:
    """Bytes of one packed input row of one part, padded as the kernel pads it; 0 where two chunks do not hold it."""
    widest, item_bytes = (32, 4) if precision == "tf32" else (64, 2)
    channels = math.ceil(situation.shape.in_channels / 16) * 16
    first = min(widest, 1 << channels.bit_length() - 1)
    second = 1 << (channels - first - 1).bit_length() if channels > first else 0
    return (first + second) * item_bytes if second <= first else 0


def shared_bytes(configuration: Configuration, situation: Situation) -> int:
    """Slabs of rows and the weights of STAGES kernel rows, as the emitted file counts; 0 where no chunks hold them."""
    shape, pixels = situation.shape, configuration.number("PIXELS")
    _, kernel_height, kernel_width = shape.kernel
    pitch = math.ceil((shape.source[2] + kernel_width - 1 - shape.padding[2]) / pixels)
    shifts = (pixels + kernel_width - 2) // pixels + 1
    rows = configuration.number("POSITIONS") + (kernel_height - 1) * pitch + shifts - 1
    box = next(b for b in (256, 128, 64, 32, 16, 8) if -rows % b <= (48 if b >= 32 else 8))
    rows = configuration.number("SLABS") * math.ceil(rows / box) * box + configuration.number("STAGES") * shifts * 64
    row_bytes = channel_bytes(situation, configuration.word("PRECISION"))
    return rows * row_bytes + 1024 if row_bytes else 0


def first_tile(situation: Situation, precision: str) -> Configuration | None:
    """The configuration to begin with; None where none fits."""
    pixels = pixels_for(situation, precision)
    waves = situation.shape.batch * math.prod(situation.shape.padded) / pixels / 512 / situation.gpu.sm_count
    fitting = (
        _configuration(precision, pixels, tile) for tile in _TILES[pixels] if tile[0] == 256 or waves > _FEW_WAVES
    )
    return next((found for found in fitting if _is_buildable(found, situation)), None)


def _configuration(precision: str, pixels: int, tile: tuple[int, int, int]) -> Configuration:
    names = ("PRECISION", "PIXELS", "POSITIONS", "SLABS", "STAGES")
    return Configuration("slab", tuple(zip(names, (precision, pixels, *tile), strict=True)))


def _is_buildable(configuration: Configuration, situation: Situation) -> bool:
    """Whether registers and shared memory of an SM hold it; split sums take twice the registers."""
    positions, slabs, stages = (configuration.number(name) for name in ("POSITIONS", "SLABS", "STAGES"))
    largest = 256 if configuration.word("PRECISION") == "split" else 512
    needed = shared_bytes(configuration, situation)
    return positions in (256, largest) and min(slabs, stages - 1) >= 1 and 0 < needed <= shared_limit(situation)


def _resized(name: str, change: Callable[[int], int]) -> Callable[[Configuration], Configuration]:
    return lambda configuration: configuration.having(**{name: change(configuration.number(name))})


def _choice(stage: str, name: str, change: Callable[[int], int], reason: str) -> Choice:
    """A neighbour along one knob, open where it can be built."""
    resized = _resized(name, change)
    return Choice(stage, resized, lambda current, situation: _is_buildable(resized(current), situation), reason)


def _start(situation: Situation) -> Configuration:
    precision = precision_for(situation)
    smallest = _configuration(precision, pixels_for(situation, precision), (256, 1, 2))
    return first_tile(situation, precision) or smallest


def _cost(configuration: Configuration, situation: Situation) -> Cost:
    """Pack x, then the larger of products and memory; a tap row is 64 channels wide whatever the layer has."""
    shape, precision, pixels = situation.shape, configuration.word("PRECISION"), configuration.number("PIXELS")
    positions = shape.batch * math.prod(shape.padded) / pixels
    depth, height, width = shape.kernel
    shifts = sum((q + width - 1) // pixels + 1 for q in range(pixels))
    parts = 3 if precision == "split" else 1
    row_bytes = channel_bytes(situation, precision)
    item_bytes = 4 if precision == "tf32" else 2
    channel_tiles = math.ceil(shape.out_channels * pixels / 64)
    flop = 2 * 64 * channel_tiles * positions * depth * height * shifts * parts * row_bytes / item_bytes
    packed_bytes = positions * pixels * row_bytes * (2 if precision == "split" else 1)
    bounds = {
        f"{precision} products": flop / (situation.peak_tflops("tf32" if precision == "tf32" else "half") * 1e9),
        "memory": situation.memory_ms(shape.moved_bytes - shape.read_bytes + packed_bytes),
    }
    limiter = max(bounds, key=lambda name: bounds[name])
    tile = configuration.number("POSITIONS")
    slab_bytes = positions / tile * depth * pixels * (tile + height * width) * row_bytes * (parts - parts // 2)
    return Cost(bounds[limiter], limiter, slab_bytes).after(situation.memory_ms(shape.read_bytes + packed_bytes))


CARD = built_in_card("slab")
FAMILY = Family(
    name="slab",
    rank=5,
    idea=CARD.idea,
    pays_when=CARD.pays_when,
    knobs=("PRECISION", "PIXELS", "POSITIONS", "SLABS", "STAGES"),
    kernels="\n".join(
        (
            slab_text.ELSEWHERE,
            direct.KERNELS.replace("def launch(", "def launch_direct("),
            slab_text.SCALE,
            slab_text.PACK_BLOCK,
            slab_text.CLEAR_PADS,
            slab_text.CHUNKS,
            slab_product.PACK_TAP,
            slab_text.PACK_INPUT,
            slab_text.ROW_VIEW,
            slab_product.SLAB,
            LAUNCH,
        )
    ),
    fragments=("ROUND_TF32", "LOW_PART", "LAUNCH"),
    imports=slab_text.GLUON_IMPORTS,
    misfit=_misfit,
    start=_start,
    cost=_cost,
    reached=0.73,  # 68, 61, 70 on an H100: 2.30, 0.81, 2.05 ms
    choices=(
        _choice("tiling", "POSITIONS", lambda n: 768 - n, "fewer, wider tiles read less of their neighbours' rows"),
        _choice("memory", "SLABS", lambda n: n + 1, "one more slab in flight while one is multiplied"),
        _choice("memory", "SLABS", lambda n: n - 1, "shared memory for other uses"),
        _choice("memory", "STAGES", lambda n: n + 1, "one more kernel row of weights in flight"),
        _choice("memory", "STAGES", lambda n: n - 1, "shared memory for another slab"),
    ),
)
