"""Packed GEMM."""

KERNELS = '''
@triton.jit
def pack_input(x_ptr, xp_ptr, FIRST, LAST, SPAN, ICG, GROUPS, ID, IH, IW, QH, QW,
               CHANNELS: tl.constexpr, ROUND: tl.constexpr, BLOCK_R: tl.constexpr):
    """[batch, channel, position] -> rows of channels; row FIRST + n * SPAN + (d * QH + h) * QW + w, zero where x has none."""
    r = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    n = (r - FIRST) // SPAN
    f = ((r - FIRST) % SPAN).to(tl.int32)
    w = f % QW
    h = f // QW % QH
    d = f // QW // QH
    inside = (r >= FIRST) & (r < LAST) & (d < ID) & (h < IH) & (w < IW)
    plane = ID * IH * IW
    c = tl.arange(0, 16)
    for c0 in range(0, GROUPS * CHANNELS, 16):
        g = c0 // CHANNELS
        ic = c0 % CHANNELS + c
        at = x_ptr + (n * GROUPS + g) * ICG * plane + (d * IH + h) * IW + w
        v = tl.load(at[None, :] + ic.to(tl.int64)[:, None] * plane, mask=inside[None, :] & (ic < ICG)[:, None], other=0.0)
        if ROUND:
            v = round_tf32(v)
        tl.store(xp_ptr + r[:, None] * (GROUPS * CHANNELS) + c0 + c[None, :], tl.trans(v))


@triton.jit
def packed_gemm(xp_ptr, w_ptr, b_ptr, y_ptr, ROWS, COLS, TILES, FIRST, SPAN, OC, OCG, OCP, OD, OH, OW, QH, QW,
                GROUPS: tl.constexpr, KD: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, SD: tl.constexpr, SH: tl.constexpr,
                SW: tl.constexpr, PD: tl.constexpr, PH: tl.constexpr, PW: tl.constexpr, DD: tl.constexpr,
                DH: tl.constexpr, DW: tl.constexpr, STEP_D: tl.constexpr, STEP_H: tl.constexpr, STEP_W: tl.constexpr,
                CHANNELS: tl.constexpr, HAS_BIAS: tl.constexpr, WIDE: tl.constexpr, PRECISION: tl.constexpr,
                GROUP_M: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """One tile of output channels x flat positions of one phase; a tap is a constant offset in rows of the packed input."""
    row, col = place(ROWS, COLS, GROUP_M)
    n = row // TILES
    f0 = row % TILES * BLOCK_M
    oc0 = col % (OCP // BLOCK_N) * BLOCK_N
    phase = col // (OCP // BLOCK_N) % (SD * SH * SW)
    g = col // (OCP // BLOCK_N) // (SD * SH * SW)
    rd = phase // (SH * SW)
    rh = phase // SW % SH
    rw = phase % SW
    first_d = first_tap(rd, KD, SD, DD)
    first_h = first_tap(rh, KH, SH, DH)
    first_w = first_tap(rw, KW, SW, DW)
    taps_h = (KH - first_h + STEP_H - 1) // STEP_H
    taps_w = (KW - first_w + STEP_W - 1) // STEP_W
    taps = (KD - first_d + STEP_D - 1) // STEP_D * taps_h * taps_w
    m = tl.arange(0, BLOCK_M)
    c = tl.arange(0, BLOCK_K)
    o = tl.arange(0, BLOCK_N)
    x_base = xp_ptr + (FIRST + n.to(tl.int64) * SPAN + f0) * (GROUPS * CHANNELS) + g * CHANNELS
    w_base = w_ptr + (g.to(tl.int64) * (KD * KH * KW) * OCP + oc0) * CHANNELS
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for i in range(taps * (CHANNELS // BLOCK_K)):
        j = i // (CHANNELS // BLOCK_K)
        c0 = i % (CHANNELS // BLOCK_K) * BLOCK_K
        kd = first_d + j // (taps_h * taps_w) * STEP_D
        kh = first_h + j // taps_w % taps_h * STEP_H
        kw = first_w + j % taps_w * STEP_W
        shift = (kd * DD // SD * QH + kh * DH // SH) * QW + kw * DW // SW
        tap = (kd * KH + kh) * KW + kw
        xv = tl.load(x_base - shift.to(tl.int64) * (GROUPS * CHANNELS) + c0 + m[:, None] * (GROUPS * CHANNELS) + c[None, :])
        wv = tl.load(w_base + tap * OCP * CHANNELS + c0 + o[:, None] * CHANNELS + c[None, :])
        acc = tl.dot(wv, xv.T, acc, input_precision=PRECISION)
    live = o + oc0 < OCG
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + oc0 + o, mask=live, other=0.0).to(tl.float32)[:, None]
    f = f0 + m
    od = f // QW // QH * SD + rd - PD
    oh = f // QW % QH * SH + rh - PH
    ow = f % QW * SW + rw - PW
    inside = (f < SPAN) & (od >= 0) & (od < OD) & (oh >= 0) & (oh < OH) & (ow >= 0) & (ow < OW)
    y_base = y_ptr + (n * OC + g * OCG + oc0).to(tl.int64) * (OD * OH * OW)
    channel = o if not WIDE else o.to(tl.int64)
    tl.store(y_base + channel[:, None] * (OD * OH * OW) + ((od * OH + oh) * OW + ow)[None, :], acc,
             mask=live[:, None] & inside[None, :])


def launch(x, w, bias, y, m):
    """Input and weights repacked, then one launch over flat position tiles x (channel tiles, phases)."""
    I, O = lead(x.shape[2:], 1), lead(y.shape[2:], 1)
    K, S, P, D = lead(m.kernel_size, 1), lead(m.stride, 1), lead(m.padding, 0), lead(m.dilation, 1)
    ICG, OCG = m.in_channels // m.groups, m.out_channels // m.groups
    CHANNELS, OCP = triton.cdiv(ICG, BLOCK_K) * BLOCK_K, triton.cdiv(OCG, BLOCK_N) * BLOCK_N
    rounded = PRECISION == "tf32" and x.dtype == torch.float32
    wp = packed_weights(w, m.groups, OCP, CHANNELS, rounded)
    reach = [d * (k - 1) // s for d, k, s in zip(D, K, S)]  # rows the farthest tap looks back
    Q = [max(i + e, triton.cdiv(p + o, s)) for i, e, p, o, s in zip(I, reach, P, O, S)]
    span = math.prod(Q)
    first = triton.cdiv((reach[0] * Q[1] + reach[1]) * Q[2] + reach[2], 16) * 16
    last = first + x.shape[0] * span
    length = triton.cdiv(last + BLOCK_M, 64) * 64
    xp = torch.empty((length, m.groups * CHANNELS), device=x.device, dtype=x.dtype)
    pack_input[(length // 64,)](
        x, xp, first, last, span, ICG, m.groups, *I, *Q[1:], CHANNELS=CHANNELS, ROUND=rounded, BLOCK_R=64, num_warps=4)
    tiles = triton.cdiv(span, BLOCK_M)
    rows, cols = x.shape[0] * tiles, m.groups * math.prod(S) * (OCP // BLOCK_N)
    packed_gemm[(rows * cols,)](
        xp, wp, w if bias is None else bias, y, rows, cols, tiles, first, span, m.out_channels, OCG, OCP, *O, *Q[1:],
        m.groups, *K, *S, *P, *D, *[s // math.gcd(s, d) for s, d in zip(S, D)],
        CHANNELS=CHANNELS, HAS_BIAS=bias is not None, WIDE=BLOCK_N * math.prod(O) >= 2**31, PRECISION=PRECISION,
        GROUP_M=GROUP_M, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K, num_warps=NUM_WARPS,
        num_stages=NUM_STAGES)
'''
