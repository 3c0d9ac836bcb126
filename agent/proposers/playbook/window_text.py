"""Triton and Python text of the window product: its loop, its way to the output, the sizes and operands of a call.

Conventions and the figure of the data flow: window_packing_text.py.

Rows, planes and channels are values the kernels are compiled for: positions are divided by them in every tile, and by a
known size that takes a multiply (on an H200 68 took 7.3 ms before and 4.5 since, 61 2.6 and 1.4); known channels and
offsets took 73 from 0.518 ms to 0.495 and 72 from 0.134 to 0.125. Another spatial size of the input compiles anew, 2 to
4 s; another batch does not. What bounds a position (TILES, BLOCKS, the SPAN of packing) is no such value, not even
where it is 1: LLVM would count positions in 16 bits, and ptxas 12.8 drops the constant of a packed 16-bit addition
(Triton 3.6: two of 63 positions of a small output were stored 42 places away).

Rows of a tile of weights lie one after another, so that both operands are multiplied as they were loaded, from shared
memory. Shaped anew, the left one lay in registers, which ptxas before CUDA 13.3 gives away while a product may still
read them (evaluators/compiled/register_race.py): on an H200 one call of 73 was wrong in 25,680 values.

Limits: text. A step has no masks and no index arithmetic beyond two shifts; LOADS says whether it reads by pointers or,
from sm_90 on, by tensor descriptors.
"""

from agent.proposers.playbook.window_packing_text import PACK_INPUT, PACK_WEIGHTS, SCALES

IMPORTS = "from functools import lru_cache\n\nfrom triton.tools.tensor_descriptor import TensorDescriptor\n"

PRODUCT = '''
@triton.jit
def step_at(i, rd, rh, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr,
            PH: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr,
            A_D: tl.constexpr, A_H: tl.constexpr, STEPS_H: tl.constexpr, ALL: tl.constexpr):
    """(index of the packed weights, depth shift, height shift) of the i-th step of a phase."""
    if ALL:
        return i, A_D + i // STEPS_H, A_H + i % STEPS_H
    else:
        first_h = first_tap((rh + PH) % SH, KH, SH, DH)
        taps_h = (KH - first_h + STEP_H - 1) // STEP_H
        kd = first_tap((rd + PD) % SD, KD, SD, DD) + i // taps_h * STEP_D
        kh = first_h + i % taps_h * STEP_H
        return kd * KH + kh, (rd + PD - kd * DD) // SD, (rh + PH - kh * DH) // SH


@triton.jit
def step_count(rd, rh, KD: tl.constexpr, KH: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr,
               PH: tl.constexpr, DD: tl.constexpr, DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr,
               STEPS: tl.constexpr, ALL: tl.constexpr):
    """Steps of a phase: shifts along depth and height where all phases are rows, else the taps that reach the phase."""
    if ALL:
        return STEPS
    else:
        taps_d = (KD - first_tap((rd + PD) % SD, KD, SD, DD) + STEP_D - 1) // STEP_D
        return taps_d * ((KH - first_tap((rh + PH) % SH, KH, SH, DH) + STEP_H - 1) // STEP_H)


@triton.jit
def chunk_at(chunk, STEP_W: tl.constexpr, CHANNELS: tl.constexpr, BLOCK_K: tl.constexpr):
    """Where a step of a window begins in x; STEP_W > 1: every STEP_W-th pixel only, CHANNELS a multiple of BLOCK_K."""
    if STEP_W == 1:
        return chunk * BLOCK_K
    else:
        return chunk // (CHANNELS // BLOCK_K) * (STEP_W * CHANNELS) + chunk % (CHANNELS // BLOCK_K) * BLOCK_K


@triton.jit
def multiplied(wv, xv, acc, SWAP: tl.constexpr, PRECISION: tl.constexpr):
    """acc + weights x pixels, or with SWAP pixels x weights: Hopper's instruction has 64 rows of its left operand."""
    if SWAP:
        return tl.dot(xv, wv.T, acc, input_precision=PRECISION)
    else:
        return tl.dot(wv, xv.T, acc, input_precision=PRECISION)


@triton.jit
def tile_at(operand, index, at, EVERY: tl.constexpr, LENGTH: tl.constexpr, DESCRIBED: tl.constexpr, ROWS: tl.constexpr,
            BLOCK_K: tl.constexpr):
    """BLOCK_K values from `at` on in each of ROWS rows of LENGTH values, the first of them `index` * EVERY; by a
    descriptor or pointers. A tile stays as it was loaded: shaped anew it would be an operand in registers."""
    if DESCRIBED:
        return operand.load([index * EVERY, at])
    else:
        tile = (tl.arange(0, ROWS) * LENGTH)[:, None] + tl.arange(0, BLOCK_K)[None, :]
        return tl.load(operand + tl.cast(index, tl.int64) * (EVERY * LENGTH) + at + tile)


@triton.jit
def window_product(x, w, row, group, oc0, rd, rh, LOW_X, LOW_W, OCP, QH, QW, KD: tl.constexpr, KH: tl.constexpr,
                   SD: tl.constexpr, SH: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, DD: tl.constexpr,
                   DH: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, A_D: tl.constexpr, A_H: tl.constexpr,
                   A_W: tl.constexpr, STEP_W: tl.constexpr, STEPS: tl.constexpr, STEPS_H: tl.constexpr,
                   ALL: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
                   DESCRIBED: tl.constexpr, SPLIT: tl.constexpr, PRECISION: tl.constexpr, PROMOTE: tl.constexpr,
                   SWAP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr):
    """Rows (phase, out channel) x columns (positions). SPLIT: high * high in sums of PROMOTE steps, as the tensor
    core's own sums lose bits, and apart from them the products with the low parts."""
    CHUNKS: tl.constexpr = WIDTH // BLOCK_K
    count = step_count(rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, STEPS, ALL) * CHUNKS
    TILE: tl.constexpr = ROWS * BLOCK_O  # rows of weights
    TOP: tl.constexpr = BLOCK_M if SWAP else TILE
    acc = tl.zeros((TOP, TILE * BLOCK_M // TOP), tl.float32)
    if SPLIT:
        low = tl.zeros((TOP, TILE * BLOCK_M // TOP), tl.float32)
        for i0 in range(0, count, PROMOTE):
            part = tl.zeros((TOP, TILE * BLOCK_M // TOP), tl.float32)
            for i in range(i0, tl.minimum(i0 + PROMOTE, count)):
                step, a_d, a_h = step_at(i // CHUNKS, rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, A_D,
                                         A_H, STEPS_H, ALL)
                x_row, x_at = row + (a_d * QH + a_h) * QW + A_W, chunk_at(i % CHUNKS, STEP_W, CHANNELS, BLOCK_K)
                w_tile, w_at = (group * STEPS + step) * (OCP // BLOCK_O) + oc0 // BLOCK_O, i % CHUNKS * BLOCK_K
                xv = tile_at(x, x_row, x_at, 1, CHANNELS, DESCRIBED, BLOCK_M, BLOCK_K)
                xl = tile_at(x, x_row + LOW_X, x_at, 1, CHANNELS, DESCRIBED, BLOCK_M, BLOCK_K)
                wv = tile_at(w, w_tile, w_at, TILE, WIDTH, DESCRIBED, TILE, BLOCK_K)
                wl = tile_at(w, w_tile + LOW_W, w_at, TILE, WIDTH, DESCRIBED, TILE, BLOCK_K)
                part = multiplied(wv, xv, part, SWAP, "tf32")
                low = multiplied(wv, xl, low, SWAP, "tf32")
                low = multiplied(wl, xv, low, SWAP, "tf32")
            acc += part
        acc += low * (1 / 2048)
    else:
        for i in range(count):
            step, a_d, a_h = step_at(i // CHUNKS, rd, rh, KD, KH, SD, SH, PD, PH, DD, DH, STEP_D, STEP_H, A_D, A_H,
                                     STEPS_H, ALL)
            x_row, x_at = row + (a_d * QH + a_h) * QW + A_W, chunk_at(i % CHUNKS, STEP_W, CHANNELS, BLOCK_K)
            w_tile, w_at = (group * STEPS + step) * (OCP // BLOCK_O) + oc0 // BLOCK_O, i % CHUNKS * BLOCK_K
            xv = tile_at(x, x_row, x_at, 1, CHANNELS, DESCRIBED, BLOCK_M, BLOCK_K)
            wv = tile_at(w, w_tile, w_at, TILE, WIDTH, DESCRIBED, TILE, BLOCK_K)
            acc = multiplied(wv, xv, acc, SWAP, PRECISION)
    if SWAP:
        acc = acc.T
    return acc


@triton.jit
def unscaled(acc, plane_ptr, filter_ptr, ROWS: tl.constexpr, BLOCK_O: tl.constexpr):
    """Sums of scaled operands as they are without the scales of the plane and of the output channels."""
    exponent = tl.load(filter_ptr + tl.arange(0, ROWS * BLOCK_O) % BLOCK_O)
    return acc * power_of_two(-tl.load(plane_ptr)) * power_of_two(-exponent)[:, None]


@triton.jit
def interleaved(acc, LINES: tl.constexpr, PHASES_W: tl.constexpr, ALIVE: tl.constexpr, LANES: tl.constexpr,
                BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr):
    """Rows (line, phase of the width, channel) -> rows (line, channel) x columns as they lie in the output; of LANES
    outputs only the one at ALIVE has taps, the others are zeros."""
    out = acc.reshape(LINES, PHASES_W, BLOCK_O, BLOCK_M).permute(0, 2, 3, 1)
    out = out.reshape(LINES * BLOCK_O, BLOCK_M * PHASES_W)
    if LANES > 1:
        out = tl.where((tl.arange(0, LANES) == ALIVE)[None, None, :], out[:, :, None], 0.0)
        out = out.reshape(LINES * BLOCK_O, BLOCK_M * PHASES_W * LANES)
    return out
'''

GEOMETRY = '''
ZERO_ROWS = 256  # rows a program of zeros fills; the rows in front of the first plane are a multiple of it


def shifts(K, S, P, D):
    """The smallest and the largest shift a of any tap of any phase, along one axis."""
    found = [(r + P - k * D) // S for r in range(S) for k in range(K) if (r + P - k * D) % S == 0]
    return min(found), max(found)


def power_up(value):
    return 1 << max(0, value - 1).bit_length()


@lru_cache(maxsize=64)
def windows(x_shape, y_shape, layer, kind, join):
    """Sizes of the packed x and of the tiles: how far taps reach, rows per axis with zeros, channels of a window; what
    is packed, and how it is launched. Computed once per geometry: Python's time before a launch is part of a call."""
    kernel, stride, padding, dilation, groups = layer
    I, O = lead(x_shape[2:], 1), lead(y_shape[2:], 1)
    K, S, P, D = lead(kernel, 1), lead(stride, 1), lead(padding, 0), lead(dilation, 1)
    split = PRECISION == "split" and kind == torch.float32
    scaled = split or PRECISION == "half" and kind == torch.float32
    dtype = torch.float16 if scaled else kind
    A, B = zip(*map(shifts, K, S, P, D))
    J = [triton.cdiv(o, s) for o, s in zip(O, S)]
    Q = [max(i + max(0, -a), j + max(0, b)) for i, j, a, b in zip(I, J, A, B)]
    jump = D[2] // S[2] if D[2] % S[2] == 0 else 1  # one phase: pixels between its taps are passed over
    unit = 16 // dtype.itemsize if jump == 1 else 16
    ICG, OCG = x_shape[1] // groups, y_shape[1] // groups
    channels = triton.cdiv(ICG, unit) * unit
    jump = jump if channels % BLOCK_K == 0 else 1
    width = triton.cdiv(((B[2] - A[2]) // jump + 1) * channels, BLOCK_K) * BLOCK_K
    phases = [power_up(s // math.gcd(s, d)) for s, d in zip(S, D)]  # with a tap: every gcd-th output only
    ALL = join == "all" and math.prod(phases) <= BLOCK_N and all(math.gcd(s, d) == 1 for s, d in zip(S, D))
    if not ALL:
        phases[:2] = 1, 1
    rows = math.prod(phases)
    channels_out = max(1, BLOCK_N // rows)
    columns = max(16, min(BLOCK_M, BLOCK_M * BLOCK_N // (rows * channels_out)))
    back, ahead = ((at[0] * Q[1] + at[1]) * Q[2] + at[2] for at in (A, B))
    first = triton.cdiv(max(0, -back), ZERO_ROWS) * ZERO_ROWS
    planes = x_shape[0] * groups
    end = first + planes * math.prod(Q) + max(0, ahead) + columns + triton.cdiv(width, channels)
    steps_h = B[1] - A[1] + 1 if ALL else K[1]
    layout = dict(A_D=A[0], A_H=A[1], A_W=A[2], STEP_W=jump, STEPS=(B[0] - A[0] + 1) * steps_h if ALL else K[0] * K[1],
                  STEPS_H=steps_h, PHASES_D=phases[0], PHASES_H=phases[1], PHASES_W=phases[2],
                  G=math.gcd(S[2], D[2]), ALL=ALL, CHANNELS=channels, WIDTH=width)
    v = dict(I=I, O=O, K=K, S=S, P=P, D=D, J=J, Q=Q, ICG=ICG, OC=y_shape[1], OCG=OCG, columns=columns, layout=layout,
             channels_out=channels_out, OCP=triton.cdiv(OCG, channels_out) * channels_out, planes=planes, first=first,
             rows=triton.cdiv(end, ZERO_ROWS) * ZERO_ROWS, groups=groups, split=split, scaled=scaled, dtype=dtype,
             rounded=PRECISION == "tf32" and kind == torch.float32)
    return dict(v, **packing(v))


def packing(v):
    """Shapes of what is packed and the arguments of the launch that packs it."""
    layout, filters, I, Q, copies = v["layout"], v["groups"] * v["OCP"], v["I"], v["Q"], 2 if v["split"] else 1
    phases = layout["PHASES_D"] * layout["PHASES_H"] * layout["PHASES_W"]
    rows, tile = layout["STEPS"] * phases * filters, phases * v["channels_out"]
    block_c = math.gcd(layout["CHANNELS"], 32)
    block_r = (2048 if v["split"] else 4096) // block_c
    span, blocks = math.prod(Q), triton.cdiv(math.prod(I), block_r)
    low_x, low_w = v["rows"] * layout["CHANNELS"], rows * layout["WIDTH"]
    described = LOADS == "descriptors" and copies * max(v["rows"], rows) < 2**31
    sizes = (filters, v["planes"], blocks, low_x, low_w, v["first"], span, v["first"] + v["planes"] * span, v["ICG"],
             v["OCG"], v["OCP"], math.prod(I), *I, *Q[1:], *v["K"], *v["S"], *v["P"], *v["D"])
    flags = dict(layout, ROUND=v["rounded"], SCALE=v["scaled"], SPLIT=v["split"], BLOCK_R=block_r, BLOCK_C=block_c,
                 BLOCK_O=v["channels_out"], WIDE=max(span, math.prod(I)) * layout["CHANNELS"] >= 2**31,
                 BLOCK_Z=ZERO_ROWS, num_warps=4)
    return dict(pack_grid=(filters + v["planes"] * blocks + v["rows"] // ZERO_ROWS,), pack_sizes=sizes,
                pack_flags=flags, w_packed=(copies, rows, layout["WIDTH"]), filters=filters, described=described,
                low=(v["rows"], rows // tile), x_packed=(copies, v["rows"], layout["CHANNELS"]))


def packed_operands(x, w, v, call):
    """Packed input, packed weights, exponents of their scales, in one launch; nothing is kept from call to call."""
    xp = torch.empty(v["x_packed"], device=x.device, dtype=v["dtype"])
    wp = torch.empty(v["w_packed"], device=x.device, dtype=v["dtype"])
    exponents = torch.empty(v["filters"] + v["planes"], device=x.device, dtype=torch.int32)
    state = torch.zeros(2 * v["planes"], device=x.device, dtype=torch.int32) if v["scaled"] else exponents
    launched(pack, call, v["pack_grid"], (x, xp, w, wp, exponents, state), v["pack_sizes"], v["pack_flags"])
    return xp, wp, exponents


def operands(xp, wp, v):
    """The packed operands as the product reads them: memory, or descriptors by which the chip copies whole tiles."""
    if not v["described"]:
        return xp, wp
    layout, (copies, rows, channels) = v["layout"], v["x_packed"]
    phases = layout["PHASES_D"] * layout["PHASES_H"] * layout["PHASES_W"]
    width = layout["WIDTH"]
    reach = width + (width // channels - 1) * (layout["STEP_W"] - 1) * channels  # from the first to the last value
    starts = copies * rows - triton.cdiv(reach, channels) + 1
    x_windows = TensorDescriptor(xp, [starts, reach], [channels, 1], [v["columns"], BLOCK_K])
    w_rows = TensorDescriptor(wp, [wp.numel() // width, width], [width, 1], [phases * v["channels_out"], BLOCK_K])
    return x_windows, w_rows


def product_flags(v, has_bias):
    """Compile-time values of the product that both families have."""
    return dict(v["layout"], DESCRIBED=v["described"], LANES=power_up(v["layout"]["G"]), HAS_BIAS=has_bias,
                SCALE=v["scaled"], SPLIT=v["split"], WIDE=v["channels_out"] * math.prod(v["O"]) >= 2**31,
                PRECISION=PRECISION if PRECISION in ("ieee", "tf32x3") else "tf32", PROMOTE=PROMOTE,
                SWAP=LEFT == "pixels", GROUP_M=GROUP_M,
                BLOCK_M=v["columns"], BLOCK_O=v["channels_out"], BLOCK_K=BLOCK_K, num_warps=NUM_WARPS,
                num_stages=NUM_STAGES)
'''

WINDOWS = SCALES + PACK_INPUT + PACK_WEIGHTS + PRODUCT + GEOMETRY
