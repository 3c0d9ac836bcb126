"""What the Gluon kernels compute, in torch, from the very operands and sizes they are launched with.

The interpreter cannot run Gluon. This stands in for the product alone, so that packing, sizes, row offsets and the place
of every output are checked; TMA, barriers and layouts are not.
"""

import types

import torch


def stand_in(module):
    """Put the stand-ins into an emitted module and let it believe in a Hopper GPU."""
    for kernel in (slab, slab_winograd):
        if not hasattr(module, kernel.__name__):
            continue
        setattr(module, kernel.__name__, Launched(kernel))
        torch.cuda.get_device_capability = lambda device=None: (9, 0)
        torch.cuda.get_device_properties = lambda device=None: types.SimpleNamespace(multi_processor_count=132)


class Launched:
    """`kernel[grid](...)`."""

    def __init__(self, run):
        self.run, self.__name__ = run, run.__name__

    def __getitem__(self, grid):
        return self.run


def exponent(bits):
    e = ((int(bits) >> 23) & 255) - 127
    return 8 if -5 <= e <= 6 else min(max(14 - e, -120), 120)


def slab(xd, xd2, wd, wd2, y, b, bits, FIRST, TILES, PROGRAMS, LAST, *, num_warps, HAS_BIAS, **sizes):
    """Every position at once: 64 channel rows x LAST positions for every tile of output channels."""
    z = types.SimpleNamespace(**sizes)
    assert TILES == -(-LAST // z.BN) * z.CO_TILES and z.ROWS % z.BOX == 0 and z.ROWS % 8 == 0
    parts = 2 if z.SPLIT else z.PIXELS
    X = xd.base.view(xd.shape).double().reshape(xd.shape[0], parts, -1)
    W = wd.base.double().view(z.CO_TILES, z.KD, parts, z.KH, z.SHIFTS, 64, -1)
    assert X.isfinite().all() and W.isfinite().all(), "pads or rows that nothing wrote"
    X = torch.cat([X, X.new_zeros(2 * z.BN, *X.shape[1:])])
    products = [(0, 0), (0, 1), (1, 0)] if z.SPLIT else [(q, q) for q in range(parts)]
    if z.SPLIT:  # low parts are 2**11 times as large
        X[:, 1] /= 2048
        W[:, :, 1] /= 2048
    scale = torch.ones(LAST, dtype=torch.float64)
    if z.BITS == 16:
        items = torch.tensor([2.0 ** -(exponent(bits[0]) + exponent(item)) for item in bits[1:]], dtype=torch.float64)
        assert len(items) * z.SPAN == LAST
        scale = items.repeat_interleave(z.SPAN)
    for tile in range(z.CO_TILES):
        out = torch.zeros(64, LAST, dtype=torch.float64)
        for kd in range(z.KD):
            for q, p in products:
                shifts = z.KW if z.SPLIT else (q + z.KW - 1) // z.PIXELS + 1
                for kh in range(z.KH):
                    for i in range(shifts):
                        start = FIRST - kd * z.PLANE - kh * z.PITCH - i
                        assert start >= 0
                        out += W[tile, kd, p, kh, i] @ X[start : start + LAST, q].T
        place(y, b if HAS_BIAS else None, out * scale, tile * (64 // z.PIXELS), z)


def place(y, b, out, co0, z):
    """Row m = [channel / 8, pixel, channel % 8] of position f goes to pixel f * PIXELS + t, without the padding."""
    tile = out.reshape(8 // z.PIXELS, z.PIXELS, 8, -1).permute(0, 2, 3, 1).reshape(64 // z.PIXELS, -1)
    grid = tile.view(64 // z.PIXELS, y.shape[0], -1, z.PLANE // z.PITCH, z.PITCH * z.PIXELS)
    inner = grid[:, :, z.PD : z.PD + z.OD, z.PH : z.PH + z.OH, z.PW : z.PW + z.OW].transpose(0, 1)
    count = min(64 // z.PIXELS, z.OC - co0)
    if b is not None:
        inner = inner[:, :count] + b[co0 : co0 + count].view(1, -1, 1, 1, 1)
    flat = y.view(y.shape[0], z.OC, z.OD, z.OH, z.OW)
    flat[:, co0 : co0 + count] = inner[:, :count].to(y.dtype)
    assert (tuple(grid.shape[2:]) == (z.OD, z.OH, z.OW)) == z.DENSE


def slab_winograd(xd, xd2, wd, wd2, y, b, bits, FIRST, LENGTH, TILES, PROGRAMS, LAST, *, num_warps, HAS_BIAS, **sizes):
    """Every position at once: the four products of a pair of planes, their sums, both planes to their places."""
    z = types.SimpleNamespace(**sizes)
    assert TILES == -(-LAST // z.BN) * z.CO_TILES and z.ROWS % z.BOX == 0 and z.ROWS % 8 == 0 and LENGTH % 8 == 0
    X = xd.base.view(4, LENGTH, -1)[:, : FIRST + LAST].double()
    W = wd.base.double().view(z.CO_TILES, 4, z.KH, z.KW, 64, -1)
    assert X.isfinite().all() and W.isfinite().all(), "pads or rows that nothing wrote"
    scale = 2.0 ** (1 - exponent(bits[0]) - exponent(bits[1]))
    flat = y.view(y.shape[0], z.OC, z.OD, z.OH, z.OW)
    for tile in range(z.CO_TILES):
        m = torch.zeros(4, 64, LAST, dtype=torch.float64)
        for i in range(4):
            for kh in range(z.KH):
                for kw in range(z.KW):
                    start = FIRST - kh * z.PITCH - kw
                    assert start >= 0
                    m[i] += W[tile, i, kh, kw] @ X[i, start : start + LAST].T
        planes = torch.stack((m[0] + m[1] + m[2], m[1] - m[2] + m[3])) * scale
        grid = planes.view(2, 64, y.shape[0], z.PAIRS, z.PLANE // z.PITCH, z.PITCH).permute(2, 1, 3, 0, 4, 5)
        full = grid.reshape(y.shape[0], 64, 2 * z.PAIRS, z.PLANE // z.PITCH, z.PITCH)
        channels = slice(tile * 64, min(z.OC, tile * 64 + 64))
        here = full[:, : channels.stop - channels.start, z.PD : z.PD + z.OD, z.PH : z.PH + z.OH, z.PW : z.PW + z.OW]
        flat[:, channels] = here.float() + (b[channels].view(-1, 1, 1, 1) if HAS_BIAS else 0.0)
