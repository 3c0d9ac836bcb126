"""Whatever is wrong with a candidate, the build says which kind of wrong, where, and in whose words."""

import re

import pytest


def test_triton_does_not_know_continue(build, candidate):
    kernel = """
    @triton.jit
    def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
        for i in range(3):
            if i == 1:
                continue
            tl.store(y_ptr + i, i)
    """
    failure = build(candidate(kernel=kernel)).failure
    assert failure.kind == "compile_error"
    assert "kernel scaled does not compile: candidate.py:10:" in failure.message
    assert "unsupported AST node type: Continue" in failure.message
    assert "in forward: scaled[" in failure.message


def test_an_undefined_name_in_a_called_function_is_placed(build, candidate):
    helper = "@triton.jit\ndef doubled(a):\n    b = a * 2\n    return b + missing\n\n\n"
    kernel = helper + candidate.kernel.strip().replace("x * tl", "doubled(x) * tl")
    failure = build(candidate(kernel=kernel)).failure
    assert failure.kind == "compile_error"
    assert "candidate.py:9: CompilationError" in failure.message
    assert "NameError('missing is not defined')" in failure.message


def test_a_plain_python_helper_cannot_be_compiled(build, candidate):
    kernel = "def helper(a):\n    return a * 2\n\n\n" + candidate.kernel.strip().replace("x * tl", "helper(x) * tl")
    failure = build(candidate(kernel=kernel)).failure
    assert failure.kind == "compile_error"
    assert "Unsupported function referenced: <function helper>" in failure.message


TILED = """
@triton.jit
def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
    i = tl.arange(0, 128)
    k = tl.arange(0, BLOCK)
    acc = tl.zeros((128, 128), dtype=tl.float32)
    for t in range(0, n, BLOCK):
        a = tl.load(x_ptr + i[:, None] * width + (t + k)[None, :])
        b = tl.load(s_ptr + (t + k)[:, None] * width + i[None, :])
        acc = tl.dot(a, b, acc)
    tl.store(y_ptr + i[:, None] * width + i[None, :], acc)
"""
TILED_FORWARD = """
y = torch.empty_like(x)
scaled[(1,)](x, self.scale, y, x.numel(), x.shape[1]{options})
return y
"""


def test_a_tile_that_does_not_fit_fails_as_on_the_card(build, candidate):
    forward = TILED_FORWARD.format(options=", BLOCK=64, num_stages=4")
    failure = build(candidate(kernel=TILED, forward=forward)).failure
    assert failure.kind == "compile_error"
    assert "shared memory, Required: 196608, Hardware limit: 101376" in failure.message


def tuned(blocks: list[int]) -> str:
    configs = ", ".join(f"triton.Config({{'BLOCK': {block}}}, num_stages=4)" for block in blocks)
    return f"@triton.autotune([{configs}], key=['n'])\n" + TILED.strip()


def test_autotune_skips_the_configuration_that_does_not_fit_and_the_log_says_so(build, candidate):
    found = build(candidate(kernel=tuned([64, 16]), forward=TILED_FORWARD.format(options="")))
    assert found.failure is None
    assert [kernel.config["BLOCK"] for kernel in found.kernels] == ["16"]
    assert (
        "refused: kernel scaled (BLOCK=64, num_warps=4, num_stages=4) does not compile: OutOfResources"
        in found.build_log
    )


def test_autotune_where_nothing_fits_is_a_failure(build, candidate):
    failure = build(candidate(kernel=tuned([64, 128]), forward=TILED_FORWARD.format(options=""))).failure
    assert failure.kind == "compile_error"
    assert "OutOfResources" in failure.message


def test_no_launch_is_never_a_pass(build, candidate):
    failure = build(candidate(forward="return x * self.scale")).failure
    assert failure.kind == "rejected"
    assert failure.message.startswith("no Triton kernel was launched")
    assert "executed aten::mul instead" in failure.message


@pytest.mark.parametrize(
    "computes",
    [
        "y = x * self.scale",
        "y.add_(1)",
        "y = getattr(torch, 'nn').functional.relu(y)",
        "y = torch.mm(y, y.t())[:, :1024]",
    ],
)
def test_a_kernel_beside_a_library_operator_is_a_decoy(build, candidate, computes):
    failure = build(candidate(forward=candidate.forward.replace("return y", f"{computes}\nreturn y"))).failure
    assert failure.kind == "rejected"
    assert failure.message.startswith("forward computes with PyTorch operators (aten::")


def test_a_swallowed_compile_error_is_the_reason_for_no_launch(build, candidate):
    forward = """
    y = torch.empty_like(x)
    try:
        scaled[(4096,)](x, self.scale, y, x.numel(), 1024, BLOCK=1000)
        return y
    except Exception:
        return x * self.scale
    """
    failure = build(candidate(forward=forward)).failure
    assert failure.kind == "compile_error"
    assert "arange's range must be a power of 2" in failure.message
    assert "went on without a kernel" in failure.message


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def (:", "runtime_error", "importing the file: SyntaxError"),
        ("import no_such_module", "runtime_error", "candidate.py:1 in <module>: import no_such_module"),
        ("import torch", "rejected", "no class ModelNew"),
    ],
    ids=["syntax", "import", "no ModelNew"],
)
def test_files_that_do_not_load(build, source, kind, message):
    failure = build(source).failure
    assert failure.kind == kind
    assert message in failure.message


def test_errors_name_the_candidates_own_line(build, candidate):
    failure = build(candidate(init="self.root = math.sqrt(2)")).failure
    assert failure.kind == "runtime_error"
    assert failure.message.startswith("ModelNew.__init__: NameError: name 'math' is not defined")
    assert "in __init__: self.root = math.sqrt(2)" in failure.message


@pytest.mark.parametrize(
    ("returned", "kind", "message"),
    [
        ("y[:10]", "incorrect_shape", "shape (10, 1024), expected shape (4096, 1024)"),
        ("(y, y)", "incorrect_shape", "expected shape (4096, 1024)"),
        ("None", "incorrect_shape", "NoneType"),
        ("y.half()", "incorrect_dtype", "float16, expected float32"),
    ],
)
def test_outputs_are_compared_with_the_reference(build, candidate, returned, kind, message):
    failure = build(candidate(forward=candidate.forward.replace("return y", f"return {returned}"))).failure
    assert failure.kind == kind
    assert message in failure.message


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("(1, 70000)", "grid (1, 70000, 1) exceeds (2147483647, 65535, 65535)"),
        ("(2**33,)", "grid (8589934592, 1, 1) exceeds"),
        ("(x.numel() / 1024,)", "'float' object cannot be interpreted as an integer"),
    ],
)
def test_grids_that_no_device_takes(build, candidate, grid, message):
    forward = candidate.forward.replace("(triton.cdiv(x.numel(), 1024),)", grid)
    failure = build(candidate(forward=forward)).failure
    assert failure.kind == "runtime_error"
    assert message in failure.message


@pytest.mark.parametrize("code", ["n = int(x.sum().item())", "n = x.cpu().numpy()[0]", "n = x.tolist()"])
def test_code_that_needs_values_is_unverified_not_wrong(build, candidate, code):
    found = build(candidate(forward=f"{code}\n{candidate.forward.strip()}"))
    assert found.failure is None
    assert "depend on values of tensors" in found.unverified
    assert [check.status for check in found.checks] == ["not_checked"]


def test_a_hang_at_import_ends_at_the_wall_limit(build):
    found = build("while True:\n    pass\n", wall_s=2.0)
    assert found.failure.kind == "timeout"
    assert found.failure.message == "no end after 2 s while importing the file"


@pytest.mark.parametrize(
    ("code", "message"),
    [("import ctypes; ctypes.string_at(0)", "signal 11"), ("import os; os._exit(0)", "exit code 0")],
    ids=["segfault", "exit"],
)
def test_a_crash_is_placed(build, candidate, code, message):
    failure = build(candidate(forward=code)).failure
    assert failure.kind == "crashed"
    assert message in failure.message
    assert "in forward" in failure.message


def test_messages_that_are_not_of_the_protocol_are_a_crash(build, candidate):
    """A candidate that finds the channel can send what it likes; it is read as data and refused."""
    forward = """
    import gc
    from sandbox.frames import Channel
    channel = next(thing for thing in gc.get_objects() if isinstance(thing, Channel))
    channel.send({"event": "finished", "outputs": "all of them"})
    """
    failure = build(candidate(forward=forward)).failure
    assert failure.kind == "crashed"
    assert "malformed" in failure.message


PRODUCTS = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, a, b):
        return a @ b

def get_inputs():
    return [torch.rand(512, 512), torch.rand(512, 512)]

def get_init_inputs():
    return []
"""
PRODUCT = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.jit
def product(a_ptr, b_ptr, c_ptr, K, STAGES: tl.constexpr):
    m = tl.program_id(0) * 64 + tl.arange(0, 64)
    n = tl.program_id(1) * 128 + tl.arange(0, 128)
    k = tl.arange(0, 64)
    acc = tl.zeros((64, 128), tl.float32)
    for k0 in tl.range(0, K, 64, num_stages=STAGES):
        a = tl.load(a_ptr + m[:, None] * K + k0 + k[None, :])
        b = tl.load(b_ptr + (k0 + k)[:, None] * 512 + n[None, :])
        acc = tl.dot(LEFT, b, acc)
    tl.store(c_ptr + m[:, None] * 512 + n[None, :], acc)

class ModelNew(nn.Module):
    def forward(self, a, b):
        c = torch.empty((512, 512), device=a.device, dtype=torch.float32)
        product[(8, 4)](a.to(torch.float16), b.to(torch.float16), c, 512, STAGES=3, num_warps=4)
        return c
"""


def test_a_race_that_ptxas_makes_of_operands_in_registers_fails_and_says_the_way_out(build):
    computed = PRODUCT.replace("LEFT", "(a * 2)")
    found = build(computed, problem=PRODUCTS, gpu="h200")
    assert found.failure.kind == "compile_error"
    assert re.search(r"kernel product: ptxas [\d.]+ lets LDSM\S* write R\d+", found.failure.message)
    assert found.failure.message.endswith("num_stages=1 [STAGES=3]")
    as_loaded = PRODUCT.replace("LEFT", "a")
    for text in (as_loaded, computed.replace("STAGES=3", "STAGES=1")):
        assert build(text, problem=PRODUCTS, gpu="h200").failure is None
    assert build(computed, problem=PRODUCTS, gpu="4090").failure is None
