# convt3d-73: ConvTranspose3d, box input, cube kernel, strided, padded, groups ignored (KernelBench level 1, problem
#     73)
# run: 20261125-092841-convt3d-73-rtx-4090, attempt 7, stage memory, 2026-11-25T09:36:38.917+00:00
# problem: convt3d-73, sha256 32d2801c9302e47a (first 16 hex digits of the reference below)
# target GPU: rtx-4090; written by: manual; candidate 3283600af2ea9f3d
# plan: Plan: No profiler ran, so I act on what the code shows: the accumulator is positions x channels, and channels
#     lie 2 M floats apart in the output, so neighbouring lanes of a store touch different lines. Swap the operands:
#     weights become A (channels x K), the input tile B (K x positions); then lanes of a store run along W. Grid,
#     blocks, warps and stages stay.
# versions: python 3.11.7, kernel-agent 0.1.0, torch 2.13.0+cpu, triton 3.7.1, openai 3.57.0, genai-prices 0.2.3
# verdict: passed
# checked and held: parse, structure, placeholder, imports, dynamic_code, process_state, library_calls, escapes,
#     cpp_text, undefined_names, load_inline, build, weights, reduced, tf32_rounding, own_results, general,
#     changed_element, refilled_inputs, changed_weights, repeated_call, scaled_inputs, uneven_inputs, later_calls,
#     earlier_outputs, precision_class, contract, inputs_unchanged, parameters_unchanged, bounds, own_arithmetic,
#     same_launches, full_size_samples, full_size_values, estimate
# NOT CHECKED: races: the interpreter runs programs one after another; both orders gave the right result
# numbers: relative error against float64 0.000766 (allowed 0.0009, the reference's own 1.04e-07), worst at reduced,
#     7560 elements compared
# kernel _pack_weights (compiled for rtx-4090, not measured): grid (27, 1, 1), 36 registers, 0 bytes spilled, 0 bytes
#     of shared memory, theoretical occupancy <= 100 %, 4 warps, 3 stages
# kernel _phase_gemm (compiled for rtx-4090, not measured): grid (16384, 8, 1), 125 registers, 0 bytes spilled, 12288
#     bytes of shared memory, theoretical occupancy <= 33 %, 4 warps, 3 stages
# time: NOT MEASURED; estimated lower bound (uncalibrated): 1.17 ms on sm_89, limited by memory in _phase_gemm; leaves
#     out: latency and occupancy, repeated reads through L2 and DRAM, excess sectors of uncoalesced accesses, shared
#     memory bank conflicts, barriers, launch overhead, arithmetic of PyTorch operators outside the kernels
# judged with: triton 3.7.1, ptxas 12.8.93, target sm_89, correctness interpreted or emulated on the CPU, torch
#     2.13.0+cpu, sandbox T1

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def _pack_weights(w_ptr, p_ptr, TOTAL, ICG, OCG, TAPS, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    oc = i % OCG
    ic = (i // OCG) % ICG
    tap = (i // (OCG * ICG)) % TAPS
    g = i // (OCG * ICG * TAPS)
    v = tl.load(w_ptr + ((g * ICG + ic) * OCG + oc) * TAPS + tap, mask=i < TOTAL, other=0.0)
    tl.store(p_ptr + i, v, mask=i < TOTAL)


@triton.jit
def _phase_gemm(
    x_ptr, w_ptr, b_ptr, y_ptr,
    M, QD, QH, QW, ID, IH, IW, OD, OH, OW, ICG, OCG, G,
    KD, KH, KW, SD, SH, SW, PD, PH, PW, LD, LH, LW,
    HAS_BIAS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    phase = tl.program_id(1)
    blocks_n = tl.cdiv(OCG, BLOCK_N)
    g = tl.program_id(2) // blocks_n
    cols = (tl.program_id(2) % blocks_n) * BLOCK_N + tl.arange(0, BLOCK_N)
    col_ok = cols < OCG
    rw = phase % SW
    rh = (phase // SW) % SH
    rd = phase // (SW * SH)
    qw = rows % QW
    qh = (rows // QW) % QH
    qd = (rows // (QW * QH)) % QD
    n = rows // (QW * QH * QD)
    ks = tl.arange(0, BLOCK_K)
    plane = ID * IH * IW
    x_rows = x_ptr + (n.to(tl.int64) * G + g) * ICG * plane
    w_cols = w_ptr + g * KD * KH * KW * ICG * OCG + cols
    acc = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for kd in range(0, KD):
        sd = rd + PD - kd * LD
        if sd % SD == 0:
            d = qd + sd // SD
            d_ok = (rows < M) & (d >= 0) & (d < ID)
            for kh in range(0, KH):
                sh = rh + PH - kh * LH
                if sh % SH == 0:
                    h = qh + sh // SH
                    h_ok = d_ok & (h >= 0) & (h < IH)
                    for kw in range(0, KW):
                        sw = rw + PW - kw * LW
                        if sw % SW == 0:
                            w = qw + sw // SW
                            ok = h_ok & (w >= 0) & (w < IW)
                            at = (d * IH + h) * IW + w
                            tap = (kd * KH + kh) * KW + kw
                            x_at = x_rows + at
                            w_at = w_cols + tap * ICG * OCG
                            for c0 in range(0, ICG, BLOCK_K):
                                c = c0 + ks
                                a = tl.load(
                                    w_at[:, None] + (c * OCG)[None, :],
                                    mask=col_ok[:, None] & (c < ICG)[None, :], other=0.0,
                                )
                                b = tl.load(
                                    x_at[None, :] + (c * plane)[:, None],
                                    mask=(c < ICG)[:, None] & ok[None, :], other=0.0,
                                )
                                acc = tl.dot(a, b, acc, input_precision="tf32")
    if HAS_BIAS:
        acc += tl.load(b_ptr + g * OCG + cols, mask=col_ok, other=0.0)[:, None]
    od = qd * SD + rd
    oh = qh * SH + rh
    ow = qw * SW + rw
    row_ok = (rows < M) & (od < OD) & (oh < OH) & (ow < OW)
    out = ((n.to(tl.int64)[None, :] * G + g) * OCG + cols[:, None]) * OD * OH * OW
    out += ((od * OH + oh) * OW + ow)[None, :]
    tl.store(y_ptr + out, acc, mask=col_ok[:, None] & row_ok[None, :])


def conv_transpose3d(x, weight, bias, stride, padding, output_padding, dilation, groups):
    n, _, di, hi, wi = x.shape
    ic, ocg, kd, kh, kw = weight.shape
    do = (di - 1) * stride[0] - 2 * padding[0] + dilation[0] * (kd - 1) + output_padding[0] + 1
    ho = (hi - 1) * stride[1] - 2 * padding[1] + dilation[1] * (kh - 1) + output_padding[1] + 1
    wo = (wi - 1) * stride[2] - 2 * padding[2] + dilation[2] * (kw - 1) + output_padding[2] + 1
    y = torch.empty((n, ocg * groups, do, ho, wo), device=x.device, dtype=x.dtype)
    qd, qh, qw = triton.cdiv(do, stride[0]), triton.cdiv(ho, stride[1]), triton.cdiv(wo, stride[2])
    m = n * qd * qh * qw
    packed = torch.empty(weight.numel(), device=x.device, dtype=x.dtype)
    _pack_weights[(triton.cdiv(weight.numel(), 1024),)](
        weight, packed, weight.numel(), ic // groups, ocg, kd * kh * kw, BLOCK=1024
    )
    block_m, block_n, block_k = 64, 32, 16
    grid = (triton.cdiv(m, block_m), stride[0] * stride[1] * stride[2], groups * triton.cdiv(ocg, block_n))
    _phase_gemm[grid](
        x, packed, packed if bias is None else bias, y,
        m, qd, qh, qw, di, hi, wi, do, ho, wo, ic // groups, ocg, groups,
        kd, kh, kw, *stride, *padding, *dilation,
        HAS_BIAS=bias is not None, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
    )
    return y


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=False):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )

    def forward(self, x):
        m = self.conv_transpose3d
        if x.dtype != torch.float32 or m.padding_mode != "zeros":
            raise ValueError("float32 and zero padding only")
        return conv_transpose3d(
            x.contiguous(), m.weight.contiguous(), m.bias, m.stride, m.padding, m.output_padding, m.dilation, m.groups
        )


# --- self-check: `python THIS_FILE` compares ModelNew with the reference below against float64 -----------------------
# Exit code 0: agrees, 1: wrong, 4: could not be checked here. On a CUDA device at the published sizes; without one in
# Triton's interpreter at reduced sizes. It is a check of one draw of inputs, not the judge's full examination.
if __name__ == "__main__":
    _CHECK_NAME = 'convt3d-73'
    _CHECK_ERROR_MULTIPLE, _CHECK_FLOOR = 2.0, 5e-07
    _CHECK_LANGUAGE = 'triton'
    _CHECK_REFERENCE = """\
# /// problem
# title = "ConvTranspose3d, box input, cube kernel, strided, padded, groups ignored (KernelBench level 1, problem 73)"
# ///

import torch
from torch import nn


class Model(nn.Module):
    \"\"\"Transposed 3D convolution, stride 2, padding 1.

    `groups` of the published workload stands where the signature has `output_padding`, which this module does not use:
    it computes groups = 1 and output_padding = 0. Kept so: an answer is compared with what this module computes.
    \"\"\"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_transpose3d(x)


batch_size = 4
in_channels = 32
out_channels = 32
kernel_size = 3
stride = 2
padding = 1
groups = 4
depth = 32
height = 64
width = 128


def get_inputs() -> list[torch.Tensor]:
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs() -> list[object]:
    return [in_channels, out_channels, kernel_size, stride, padding, groups]
"""

    def _check_reduced(source, smallest, width):
        """The reference with the sizes of its inputs (and widths above 8) made small; and what was changed."""
        import ast

        tree = ast.parse(source)
        used = {
            node.name: {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
        }
        init = used.get("get_init_inputs", set())
        sizes = used.get("get_inputs", set()) - init
        changed = {}
        for node in tree.body:
            if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.Constant)):
                continue
            name, value = getattr(node.targets[0], "id", ""), node.value.value
            if type(value) is not int:
                continue
            if name in sizes and value > smallest:
                changed[name] = 2 if "batch" in name else smallest + sum(other in sizes for other in changed) - 1
            elif name in init and value > 8 and width:  # up to 8 it may be a kernel size, a stride, a number of groups
                changed[name] = min(value, width * (1 + sum(other in init for other in changed)))
            node.value = ast.copy_location(ast.Constant(changed.get(name, value)), node.value)
        return compile(ast.fix_missing_locations(tree), "reference", "exec"), changed

    def _check_interpreter():
        """Let Triton interpret on the CPU, count launches, and let guards such as `x.is_cuda` take the kernel's path."""
        import dataclasses
        import os
        import sys
        from types import SimpleNamespace

        if os.environ.get("TRITON_INTERPRET") != "1":  # it is read when the kernel is defined: start again with it
            os.environ["TRITON_INTERPRET"] = "1"
            os.execv(sys.executable, [sys.executable, os.path.abspath(__file__)])
        import torch
        import triton
        from triton.runtime.interpreter import GridExecutor, interpreter_builder

        # checks of int64 overflow whose result nobody reads; without them it is about four times as fast
        options = interpreter_builder.options
        if hasattr(options, "sanitize_overflow"):
            interpreter_builder.options = dataclasses.replace(options, sanitize_overflow=False)
        launches, run = [], GridExecutor.__call__
        GridExecutor.__call__ = lambda self, *args, **kwargs: (launches.append(1), run(self, *args, **kwargs))[1]
        torch.Tensor.is_cuda = property(lambda tensor: True)
        first_configuration = SimpleNamespace(  # nothing to time: an autotuned kernel takes its first configuration
            get_benchmarker=lambda: lambda call, quantiles=None, **options: [1.0] * len(quantiles or (0,)),
            get_current_device=lambda: 0,
            get_current_stream=lambda device=None: 0,
            get_active_torch_device=lambda: torch.device("cpu"),
            get_device_interface=lambda: torch.cuda,
        )
        triton.runtime.driver.set_active(first_configuration)
        return launches

    def _check_workload(device):
        """The reference's module, its arguments and one draw of inputs, as small as it runs where there is no GPU."""
        import torch

        reductions = ((3, 4), (3, 8), (9, 8), (3, 0), (9, 0), (17, 0))
        for smallest, width in reductions if device == "cpu" else ((1 << 62, 0),):
            names = {"__name__": "reference"}
            code, changed = _check_reduced(_CHECK_REFERENCE, smallest, width)
            exec(code, names)
            torch.manual_seed(0)
            try:
                init = names["get_init_inputs"]()
                model = names["Model"](*init).to(device)
                inputs = [x.to(device) if isinstance(x, torch.Tensor) else x for x in names["get_inputs"]()]
                with torch.no_grad():
                    model(*inputs)
            except (RuntimeError, ValueError):
                if device == "cpu":
                    continue  # too small for its kernel size, or its widths must stay: take the next
                raise
            return model, init, inputs, changed
        raise SystemExit(_check_not_done("the reference does not run at a reduced size"))

    def _check_not_done(why):
        print(f"not checked: {why}")
        return 4

    def _check_exact(model, inputs):
        """The reference in float64."""
        import copy

        import torch

        wide = [x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs]
        return copy.deepcopy(model).double()(*wide)

    def _check_error(got, exact):
        """||got - exact|| / ||exact|| of the worst slice along the first dimension."""
        import torch

        rows = exact.shape[0] if exact.dim() else 1
        exact, got = exact.double().reshape(rows, -1), got.double().reshape(rows, -1)
        norms = torch.linalg.vector_norm(exact, dim=1)
        errors = torch.linalg.vector_norm(got - exact, dim=1) / torch.where(norms > 0, norms, norms.max())
        return float(torch.nan_to_num(errors, nan=float("inf")).max())

    def _check_outputs(pairs):
        """Print one line per output; True where all agree."""
        agrees = True
        for number, (got, own, exact) in enumerate(pairs):
            if got.shape != exact.shape or got.dtype != own.dtype:
                print(f"output {number}: {tuple(got.shape)} {got.dtype}, expected {tuple(own.shape)} {own.dtype}: WRONG")
                agrees = False
                continue
            error, reference_own = _check_error(got, exact), _check_error(own, exact)
            allowed = _CHECK_ERROR_MULTIPLE * max(reference_own, _CHECK_FLOOR)
            is_right = error <= allowed
            agrees = agrees and is_right
            print(
                f"output {number} {tuple(got.shape)}: relative error {error:.3g}, allowed {allowed:.3g}, "
                f"the reference's own {reference_own:.3g}: {'ok' if is_right else 'WRONG'}"
            )
        return agrees

    def _check_main():
        import torch

        try:
            return _check_run()
        except torch.cuda.OutOfMemoryError as error:
            return _check_not_done(f"the published sizes in float64 do not fit on this GPU ({error})")

    def _check_run():
        import torch

        has_gpu = torch.cuda.is_available()
        if not has_gpu and _CHECK_LANGUAGE == "cuda":
            return _check_not_done("a CUDA kernel needs a GPU and nvcc")
        launches = None if has_gpu else _check_interpreter()
        device = "cuda" if has_gpu else "cpu"
        model, init, inputs, changed = _check_workload(device)
        elements = sum(x.numel() for x in inputs if isinstance(x, torch.Tensor))
        if not has_gpu and elements > 200_000:
            return _check_not_done(f"{elements} input elements are too many for the interpreter; use a GPU")
        where = torch.cuda.get_device_name() if has_gpu else f"interpreter, {changed or 'published sizes'}"
        print(f"{_CHECK_NAME} on {where}")
        candidate = ModelNew(*init).to(device)
        candidate.load_state_dict(model.state_dict())
        with torch.no_grad():
            exact = _check_exact(model, inputs)
            own = model(*inputs)
            got = candidate(*[x.clone() if isinstance(x, torch.Tensor) else x for x in inputs])
        if launches is not None and not launches:
            return _check_not_done("no kernel was launched on this machine (the module falls back without a GPU)")
        listed = [list(y) if isinstance(y, (tuple, list)) else [y] for y in (got, own, exact)]
        if len(listed[0]) != len(listed[1]):
            print(f"{len(listed[0])} outputs, expected {len(listed[1])}: WRONG")
            return 1
        agrees = _check_outputs(zip(*listed))
        print("self-check passed" if agrees else "self-check FAILED")
        return 0 if agrees else 1

    raise SystemExit(_check_main())
