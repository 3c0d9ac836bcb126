"""What the interpreter can and cannot say about the language: precision of dots, bounds, unsupported constructs, hangs."""

import textwrap
from pathlib import Path

import pytest

from evaluators.rungs import interpreted

DATA = Path(__file__).parent / "data"
SCALE = "x * tl.load(s_ptr + at % width, mask=live)"


@pytest.fixture
def matmul():
    return (DATA / "matmul.py").read_text(), (DATA / "matmul_triton.py").read_text()


def status_of(found):
    return {c.name: c.status for c in found.checks}


def test_another_operator_in_full(check, matmul):
    problem, candidate = matmul
    found = check(candidate, problem)
    assert (found.failure, found.unverified) == (None, "")
    assert status_of(found)["full_size_values"] == "passed"


SHAPES = "(M, K), N = a.shape, b.shape[1]\n"


def test_who_serves_rows_of_whole_descriptors_only_passes_and_it_is_said(check, matmul, replaced):
    problem, candidate = matmul
    found = check(
        replaced(candidate, SHAPES, f"{SHAPES}        assert K % 4 == N % 4 == 0, 'rows of 16 bytes'\n"), problem
    )
    assert (found.failure, found.unverified) == (None, "")
    assert status_of(found)["aligned"] == "passed"
    assert found.scope[0].startswith("reduced geometry") and "rows of 16 bytes" in found.scope[0]


def test_who_serves_one_size_only_fails_with_its_own_words(check, matmul, replaced):
    problem, candidate = matmul
    found = check(replaced(candidate, SHAPES, f"{SHAPES}        assert M > 48, 'one size'\n"), problem)
    assert (found.failure.kind, "AssertionError: one size" in found.failure.message) == ("runtime_error", True)


def test_tf32_by_default_is_too_coarse_for_a_matrix_product(check, matmul, replaced):
    problem, candidate = matmul
    found = check(replaced(candidate, ', input_precision="ieee"', ""), problem)
    assert found.failure.kind == "incorrect_numerical"
    assert "input_precision='ieee'" in found.failure.message
    assert status_of(found)["tf32_rounding"] == "failed"


@pytest.mark.parametrize(("precision", "is_exact"), [("bf16x3", False), ("bf16x6", True), ("tf32x3", True)])
def test_products_of_split_operands_are_as_exact_as_their_terms(check, matmul, replaced, precision, is_exact):
    problem, candidate = matmul
    found = check(replaced(candidate, '"ieee"', f'"{precision}"'), problem)
    assert (found.failure is None, found.unverified) == (is_exact, "")
    assert is_exact or found.failure.kind == "incorrect_numerical"


def test_bfloat16_operands_are_multiplied_as_numbers_and_are_too_coarse(check, matmul, replaced):
    problem, candidate = matmul
    found = check(replaced(candidate, "tl.dot(a, b, acc", "tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), acc"), problem)
    assert found.failure.kind == "incorrect_numerical"
    assert 1e-4 < found.numeric_error.worst < 1e-1


def test_a_short_grid_is_found_where_the_output_is_not_square(check, matmul, replaced):
    problem, candidate = matmul
    found = check(replaced(candidate, "(triton.cdiv(M, 32), triton.cdiv(N, 32))", "(1, 1)"), problem)
    assert "never written" in found.failure.message
    assert "odd geometry" in found.failure.message


def test_elementwise_with_a_parameter(check, scaled):
    found = check(scaled())
    assert (found.failure, found.unverified) == (None, "")
    assert "batch item 2999" in next(c.detail for c in found.checks if c.name == "full_size_values")


def test_scalar_tensor_descriptor_and_block_pointer_accesses_are_bounded(check, scaled, replaced):
    kernel = """
    @triton.jit
    def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        live = at < n
        block = tl.make_block_ptr(x_ptr, (n,), (1,), (tl.program_id(0) * BLOCK,), (BLOCK,), (0,))
        x = tl.load(block, boundary_check=(0,))
        tl.store(y_ptr + at, x * tl.load(s_ptr + at % width, mask=live), mask=live)
    """
    assert check(scaled(kernel=kernel)).failure is None
    found = check(scaled(kernel=replaced(kernel, ", boundary_check=(0,)", "")))
    assert found.failure.kind == "runtime_error"
    assert "out-of-bounds load" in found.failure.message


@pytest.mark.parametrize(
    "value",
    [
        f"libdevice.j0({SCALE}) * 0 + {SCALE}",
        f'tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [{SCALE}], dtype=tl.float32, is_pure=True, pack=1)',
    ],
    ids=["libdevice", "inline assembly"],
)
def test_what_the_interpreter_cannot_run_is_unverified(check, scaled, replaced, value):
    kernel = replaced(scaled(), SCALE, value)
    found = check(kernel)
    assert found.failure is None
    assert "interpreter cannot run" in found.unverified


def test_what_it_cannot_run_at_the_published_size_only_is_unverified(check, scaled, replaced):
    assembly = (
        f'tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [{SCALE}], dtype=tl.float32, is_pure=True, pack=1)'
    )
    choice = f"\n    if n > 3000000:\n        s = {assembly}\n    else:\n        s = {SCALE}\n    tl.store(y_ptr"
    found = check(replaced(scaled(), SCALE, "s", "\n    tl.store(y_ptr", choice))
    assert found.failure is None
    assert found.unverified.startswith("at the published size on this machine: the Triton interpreter cannot run")


def test_memory_beyond_all_need_at_the_published_size_is_no_excuse(check, scaled, replaced):
    """What fails there is not seen there: half of the work could be left out."""
    greedy = "\n        if x.numel() > 3000000:\n            torch.empty(1 << 44, device=x.device)"
    found = check(replaced(scaled(), "y = torch.empty_like(x)", f"y = torch.empty_like(x){greedy}"))
    assert found.failure is None
    assert found.unverified.startswith("at the published size on this machine: ")
    assert "allocate" in found.unverified


def test_common_libdevice_functions_run(check, scaled, replaced):
    found = check(replaced(scaled(), SCALE, f"libdevice.tanh({SCALE}) * 0 + {SCALE}"))
    assert (found.failure, found.unverified) == (None, "")


def test_a_kernel_that_loses_updates_in_one_order_only(check, scaled):
    """Every program stores the whole last row; the right value stays only when the last program runs last."""
    kernel = """
    @triton.jit
    def scaled(x_ptr, s_ptr, y_ptr, n, width, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        for c in range(width):
            value = tl.load(x_ptr + row * width + c) * tl.load(s_ptr + c)
            tl.store(y_ptr + row * width + c, value)
            tl.store(y_ptr + n - width + c, value)
    """
    forward = """
    y = torch.empty_like(x)
    scaled[(x.shape[0],)](x, self.scale, y, x.numel(), x.shape[1], BLOCK=1)
    return y
    """
    found = check(scaled(kernel=kernel, forward=forward))
    assert found.failure.kind == "incorrect_numerical"
    assert "reverse order" in found.failure.message


@pytest.mark.parametrize("loop", ["while True:\n    pass", "while True:\n    torch.zeros(1)"], ids=["python", "torch"])
def test_a_forward_that_never_ends_is_a_timeout(check, scaled, monkeypatch, loop):
    monkeypatch.setattr(interpreted, "CALL_LIMIT_S", 0.8)
    found = check(scaled(forward=loop))
    assert (found.failure.kind, found.unverified) == ("timeout", "")


def test_a_kernel_that_is_only_slow_here_is_unverified(check, scaled, monkeypatch):
    monkeypatch.setattr(interpreted, "CALL_LIMIT_S", 1.6)
    forward = """
    y = torch.empty_like(x)
    scaled[(50_000_000,)](x, self.scale, y, x.numel(), x.shape[1], BLOCK=1024)
    return y
    """
    found = check(scaled(forward=forward))
    assert found.failure is None
    assert "still running" in found.unverified
    assert "programs" in found.unverified


def test_the_target_is_what_a_candidate_asks_about(check, scaled):
    init = """
    properties = torch.cuda.get_device_properties(0)
    if (properties.multi_processor_count, torch.cuda.get_device_capability()) != (128, (8, 9)):
        raise RuntimeError(str(properties))
    if triton.runtime.driver.active.get_current_target().arch != 89:
        raise RuntimeError("another target")
    """
    assert check(scaled(init=init)).failure is None


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("class ModelNew(:\n", "compile_error", "SyntaxError"),
        ("import torch\nundefined_name\n", "runtime_error", "undefined_name"),
        ("import torch\n", "rejected", "no class ModelNew"),
        ("import os\nos.kill(os.getpid(), 11)\n", "crashed", "signal 11"),
    ],
    ids=["syntax", "import", "no model", "crash"],
)
def test_a_file_that_does_not_get_as_far_as_a_call(check, source, kind, said):
    failure = check(source).failure
    assert failure.kind == kind
    assert said in failure.message


def test_what_gluon_leaves_to_be_interpreted_is_interpreted(check, scaled, stride_one, honest, replaced):
    """One geometry is served by a Gluon kernel: nobody can say it is right, but all others and their calls are judged."""
    gluon = """
    from triton.experimental import gluon
    from triton.experimental.gluon import language as gl

    @gluon.jit
    def nothing(y_ptr):
        gl.store(y_ptr, 0.0)
    """
    found = check(scaled(kernel=gluon, forward="y = torch.empty_like(x)\nnothing[(1,)](y)\nreturn y"))
    assert found.failure is None and "gluon kernel nothing is written for a GPU" in found.unverified
    own = "y = torch.empty((N"
    mixed = replaced(
        honest("direct_triton"),
        "class ModelNew",
        f"{textwrap.dedent(gluon)}\n\nclass ModelNew",
        own,
        f"if (SD, SH, SW, PD, m.groups) == (1, 1, 1, 0, 1) and m.bias is None:\n            nothing[(1,)](x)\n        {own}",
    )
    found = check(mixed, stride_one)
    assert found.failure is None and "gluon kernel nothing" in found.unverified
    status = status_of(found)
    assert status["general"] in ("passed", "not_checked") and status["later_calls"] == "passed"
    assert status["correctness"] == "not_checked" and "reduced" not in status
    wrong = check(replaced(mixed, "acc += xv * wv", "acc += 2 * xv * wv"), stride_one)
    assert wrong.failure.kind == "incorrect_numerical"


HALVES = """
@triton.jit
def scaled(x_ptr, s_ptr, y_ptr, h_ptr, n, width, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < n
    tl.store(h_ptr + tl.program_id(0), tl.program_id(0).to(tl.float16))
    factor = 1 + 0 * tl.load(h_ptr + READ).to(tl.float32)
    tl.store(y_ptr + at, factor * tl.load(x_ptr + at, mask=live) * tl.load(s_ptr + at % width, mask=live), mask=live)
"""
BESIDE = """
y, grid = torch.empty_like(x), triton.cdiv(x.numel(), 64)
h = torch.zeros(grid, dtype=torch.float16, device=x.device)
scaled[(grid,)](x, self.scale, y, h, x.numel(), x.shape[1], BLOCK=64)
return y
"""


@pytest.mark.parametrize(("read", "races"), [("tl.program_id(0)", False), ("tl.program_id(0) // 2", True)])
def test_what_another_program_wrote_is_not_read(check, scaled, replaced, read, races):
    found = check(scaled(kernel=replaced(HALVES, "READ", read), forward=BESIDE))
    if races:
        assert (found.failure.kind, status_of(found)["races"]) == ("runtime_error", "failed")
        assert "reads from h_ptr what another program of this launch wrote" in found.failure.message
    else:
        assert (found.failure, found.unverified) == (None, "")
