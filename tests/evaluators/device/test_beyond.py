"""Sizes beyond the published ones, called on a GPU; and matrices whose rows are no batch."""

from pathlib import Path

import pytest
import torch

from evaluators.candidate import candidate_from
from evaluators.client import JudgeClient
from evaluators.gpu_catalog import load_gpu
from evaluators.judge.device import beyond
from evaluators.judge.device.bench import Bench
from evaluators.judge.device.card import card
from evaluators.judge.device.published import Published
from evaluators.judge.reference import Reference
from evaluators.judge.verdicts import Wrong
from evaluators.problem import Problem, Tolerance
from evaluators.problem_catalog import load_problem

DATA = Path(__file__).parents[1] / "data"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("default"),  # torch on a device in this very process
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this machine"),
]
RELU = """
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.rand(16, 1000) * 2 - 1]

def get_init_inputs():
    return []
"""
# What it does in PTX no interpreter runs.
RELU_KERNEL = """
import torch
import triton
import triton.language as tl

@triton.jit
def relu(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    y = tl.inline_asm_elementwise("max.f32 $0, $1, 0f00000000;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    tl.store(y_ptr + at, y, mask=at < n)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        relu[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
        return y
"""
MATMUL = """
import torch

N = 1024

class Model(torch.nn.Module):
    def forward(self, A, B):
        return torch.matmul(A, B)

def get_inputs():
    return [torch.rand(N, N), torch.rand(N, N)]

def get_init_inputs():
    return []
"""
MATMUL_KERNEL = """
import torch
import triton
import triton.language as tl

@triton.jit
def matmul(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr, STEP: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[:, None]
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    total = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    for k in range(0, K, STEP):
        down, across = k + tl.arange(0, STEP)[:, None], k + tl.arange(0, STEP)[None, :]
        a = tl.load(a_ptr + rows * K + across, mask=(rows < M) & (across < K), other=0.0)
        b = tl.load(b_ptr + down * N + columns, mask=(down < K) & (columns < N), other=0.0)
        total += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + rows * N + columns, total, mask=(rows < M) & (columns < N))

class ModelNew(torch.nn.Module):
    def forward(self, A, B):
        (M, K), N = A.shape, B.shape[1]
        C = torch.empty((M, N), device=A.device, dtype=A.dtype)
        matmul[(triton.cdiv(M, 64), triton.cdiv(N, 64))](A.contiguous(), B.contiguous(), C, M, N, K, BLOCK=64, STEP=32)
        return C
"""


def problem_of(source):
    return Problem(key="problem", title="a problem", source=source)


@pytest.fixture(scope="module")
def judged():
    """`judged(problem, candidate)`: the correctness rung of a judge, and what it says of larger sizes."""
    with JudgeClient(device="cuda") as client:

        def run(source, kernel):
            found = client.evaluate(
                problem_of(source), candidate_from(kernel), load_gpu("auto"), rungs=("correctness",)
            )
            return found, next((check for check in found.checks if check.name == "larger_sizes"), None)

        yield run


@pytest.fixture
def tried(zygotes):
    """`tried(problem, candidate)`: the calls beyond the published sizes alone. Raises Wrong."""

    def run(problem, kernel):
        reference = Reference(problem)
        with Bench(card(), zygotes, reference) as bench:
            calls = beyond.Beyond(bench, candidate_from(kernel), reference)
            calls.call()
            return calls.verified()

    yield run
    torch.cuda.empty_cache()


def swapped(text, right, wrong):
    assert right in text
    return text.replace(right, wrong)


def test_what_cannot_be_interpreted_is_tried_on_the_device(judged):
    found, larger = judged(RELU, RELU_KERNEL)
    assert found.verdict == "passed", found.message
    status = {check.name: check.status for check in found.checks}
    assert (status["interpreted"], status["general"]) == ("not_checked", "passed")
    assert larger.status == "passed" and larger.detail.startswith("on the device: right on"), larger.detail


def test_a_grid_fixed_to_the_published_size_fails_on_the_device(judged):
    fixed = swapped(RELU_KERNEL, "(triton.cdiv(x.numel(), 1024),)", "(16,)")
    found, larger = judged(RELU, fixed)
    assert found.kind == "incorrect_numerical", found
    assert larger.status == "failed" and "larger than published, on the device" in found.message, found.message


def test_rows_of_a_square_product_are_no_batch(judged):
    found, larger = judged(MATMUL, MATMUL_KERNEL)
    assert found.verdict == "passed", found.message
    assert larger.status == "passed" and "on the device: right on" in larger.detail, larger.detail


@pytest.fixture
def product():
    """`product(precision)`: the square product at its published size, for a class of precision."""
    return lambda precision: Published(Reference(problem_of(MATMUL)), Tolerance(precision=precision))


def test_a_square_product_is_held_to_float64_as_a_whole(product):
    published = product("reference")
    inputs = published.draw()
    right = torch.matmul(*inputs)
    assert not published.is_splittable
    assert published.verify(inputs, [right], strictly=True).elements_compared == 1024**2
    right[1000] = 0.0
    with pytest.raises(Wrong, match="1024 of 1048576 elements wrong"):
        published.verify(inputs, [right], strictly=True)


def test_a_wrong_row_is_named_by_its_place_in_the_whole(product, monkeypatch):
    monkeypatch.setattr("evaluators.judge.device.published._CHUNK_ELEMENTS", 1 << 18)  # 256 of the 1024 rows
    published = product("reference")
    inputs = published.draw()
    answer = torch.matmul(*inputs)
    answer[300] = 0.0
    answer[1000] = -answer[1000]
    with pytest.raises(Wrong, match=r"2048 of 1048576 elements wrong .*worst at index \(1000, "):
        published.verify(inputs, [answer], strictly=False)


@pytest.mark.parametrize("precision", ["tf32", "reference"])
def test_tf32_is_good_enough_where_it_was_asked_for(product, precision, monkeypatch):
    if card().capability < 80:
        pytest.skip("this GPU has no TF32")
    published = product(precision)
    inputs = published.draw()
    assert not published.is_tf32
    with monkeypatch.context() as coarse:
        coarse.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
        answer = torch.matmul(*inputs)
    if precision == "tf32":
        assert published.verify(inputs, [answer], strictly=True).precision == "tf32"
    else:
        with pytest.raises(Wrong):
            published.verify(inputs, [answer], strictly=True)


@pytest.fixture
def little_room(monkeypatch):
    """All sizes at once do not fit."""
    monkeypatch.setattr(beyond, "_BYTES_AN_ELEMENT", int(beyond._SHARE * card().free_bytes) // 15_000)


def larger_data(name):
    return (DATA / "larger" / f"{name}.py").read_text()


@pytest.mark.usefixtures("little_room")
def test_every_axis_is_tried_where_all_at_once_do_not_fit(tried):
    check = tried(problem_of(larger_data("linear_softmax_problem")), larger_data("linear_softmax"))
    assert check.status == "passed" and " and on " in check.detail, check.detail


@pytest.mark.usefixtures("little_room")
def test_a_loop_fixed_to_one_published_size_fails_by_itself(tried):
    fixed = swapped(larger_data("linear_softmax"), "range(0, K, BLOCK_K)", "range(0, 256, BLOCK_K)")
    with pytest.raises(Wrong, match="larger than published, on the device") as wrong:
        tried(problem_of(larger_data("linear_softmax_problem")), fixed)
    assert wrong.value.check == "larger_sizes"


def test_who_refuses_larger_sizes_leaves_the_question_open(tried):
    refusing = swapped(RELU_KERNEL, "y = torch.empty_like(x)", "y = torch.empty_like(x)\n        assert len(x) <= 16")
    check = tried(problem_of(RELU), refusing)
    assert check.status == "not_checked" and "refused by raising" in check.detail, check.detail


def test_no_memory_for_the_reference_leaves_the_question_open(tried, monkeypatch):
    def hold(self, inputs, outputs, *, is_little):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(beyond.LargerThanPublished, "hold", hold)
    check = tried(problem_of(RELU), RELU_KERNEL)
    assert check.status == "not_checked" and "no memory" in check.detail, check.detail


LARGE = {
    "products": DATA / "candidates" / "implicit_gemm_dot.py",
    "gluon": DATA.parents[2] / "examples" / "convt3d-68-on-an-h100" / "attempts" / "001" / "kernel.py",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_problem_is_larger_too(tried, name):
    if name == "gluon" and card().capability != 90:
        pytest.skip("the Gluon kernel is written for compute capability 9.0")
    check = tried(load_problem("convt3d-68"), LARGE[name].read_text())
    assert check.status == "passed", check.detail
