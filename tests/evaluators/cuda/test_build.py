"""The build rung on CUDA candidates: real compilers, a real sandboxed child."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluators.cuda import build, toolchain
from evaluators.cuda.recording import NotedLaunch
from evaluators.cuda.resources import refused
from evaluators.errors import MachineError
from evaluators.gpu import GpuSpec
from evaluators.rungs import Findings, Task

MakeTask = Callable[..., Task]
Size = tuple[int, int, int]
Doubled = Callable[..., str]
DATA = Path(__file__).parent / "data"
TWICE = (DATA / "twice.cu").read_text()


def failed(found: Findings) -> tuple[str, str]:
    assert found.failure is not None, found
    assert found.checks[0].status == "failed"
    return found.failure.kind, found.failure.message


def test_an_honest_kernel_is_compiled_for_the_card_and_measured_up(nvcc: None, task_of: MakeTask) -> None:
    found = build.check(task_of((DATA / "honest.py").read_text()))
    assert found.failure is None, found.failure
    assert [(check.name, check.status) for check in found.checks] == [("build", "passed"), ("launches", "passed")]
    (kernel,) = found.kernels
    assert kernel.name == "ct3d"
    assert kernel.grid == (23, 1, 1)  # ceil(2 * 6 * 6 * 8 * 10 / 256)
    assert kernel.num_warps == 8
    assert 16 <= kernel.registers <= 255
    assert kernel.global_load_bits
    assert 0 < kernel.theoretical_occupancy_pct <= 100
    assert found.environment["target"] == "sm_89"
    assert found.environment["nvcc"] == toolchain.nvcc_version()
    assert "ct3d<<<(23, 1, 1), (256, 1, 1), 0>>>" in found.build_log


def test_compiler_errors_name_the_candidates_own_lines(nvcc: None, task_of: MakeTask, doubled_with: Doubled) -> None:
    source = doubled_with(TWICE.replace("2.0f * x[i]", "factor * x.size(0)"))
    found = build.check(task_of(source, "doubled.py"))
    kind, message = failed(found)
    line = next(n for n, text in enumerate(source.splitlines(), 1) if "factor" in text)
    assert kind == "compile_error"
    assert re.search(rf'nvcc: line {line} \(cuda_sources:\d+\): identifier "factor" is undefined', message)
    assert "if (i < n) y[i] = factor * x.size(0);" in message
    assert "with PyTorch's own headers: fails too" in found.build_log


@pytest.mark.slow
def test_a_text_that_only_pytorchs_own_headers_accept_is_not_blamed(
    nvcc: None, task_of: MakeTask, doubled_with: Doubled
) -> None:
    """A method that the small headers lack must cost time, not the verdict."""
    source = doubled_with(TWICE.replace("return y;", "return y.swapaxes(0, 0);"))
    found = build.check(task_of(source, "doubled.py"))
    assert found.failure is None
    assert "with PyTorch's own headers: compiles" in found.build_log
    assert [(check.name, check.status) for check in found.checks] == [("build", "passed"), ("launches", "not_checked")]
    assert "swapaxes" in found.checks[1].detail


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("", "functions lists run, which cpp_sources neither declares nor defines"),
        (
            "torch::Tensor run(torch::Tensor x, int64_t n);",
            "undefined symbol when the extension is loaded: run(at::Tensor, long)",
        ),
    ],
)
def test_host_declarations_are_held_to_what_load_inline_needs(
    nvcc: None, task_of: MakeTask, doubled_with: Doubled, declared: str, reason: str
) -> None:
    found = build.check(task_of(doubled_with(TWICE, declared=declared or "// nothing"), "doubled.py"))
    kind, message = failed(found)
    assert (kind, reason in message) == ("compile_error", True), message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#include <torch/extension.h>\n// __global__ void k() {}\ntorch::Tensor run(torch::Tensor x) { return x; }", "defines no __global__ kernel"),
        ("__global__ void k(float* x) { /* the work */ }\nint a;", "kernel k has an empty body"),
        ("__global__ void k(float* x) { x[0] = 1; }\n// k<<<1, 1>>>(x)", "never launches k"),
        ('#include "/etc/passwd"\n__global__ void k(float* x) { x[0] = 1; }', "only <header>"),
        ('#inc\\\nlude "../../secret"\n__global__ void k(float* x) { x[0] = 1; }', "only <header>"),
    ],
)  # fmt: skip
def test_what_the_text_alone_shows_needs_no_compiler(
    task_of: MakeTask, doubled_with: Doubled, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setattr(toolchain, "nvcc", lambda: None)
    monkeypatch.setattr(toolchain, "gxx", lambda: None)
    kind, message = failed(build.check(task_of(doubled_with(text), "doubled.py")))
    assert (kind, reason in message) == ("rejected", True), message


def test_a_missing_argument_of_load_inline_is_its_own_type_error(task_of: MakeTask, doubled_with: Doubled) -> None:
    source = doubled_with(TWICE).replace('cpp_sources="torch::Tensor run(torch::Tensor x);", ', "")
    kind, message = failed(build.check(task_of(source, "doubled.py")))
    assert kind == "runtime_error"
    assert "TypeError: load_inline() missing 1 required positional argument: 'cpp_sources'" in message
    assert "pass the C++ declaration" in message


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes", "text", "reason"),
    [
        ((1, 70000, 1), (256, 1, 1), 0, "", "grid y is 70000, must be 1 to 65535"),
        ((4294957296, 1, 1), (256, 1, 1), 0, "", "an int that overflowed shows as such a number"),
        ((1, 1, 1), (2048, 1, 1), 0, "", "block x is 2048, must be 1 to 1024"),
        ((1, 1, 1), (64, 32, 1), 0, "", "2048 threads per block, at most 1024"),
        ((1, 1, 1), (256, 1, 1), 65536, "", "65536 bytes of dynamic shared memory need cudaFuncSetAttribute"),
        ((1, 1, 1), (256, 1, 1), 65536, "cudaFuncSetAttribute(k, a, b);", ""),
    ],
)
def test_a_launch_that_the_card_would_refuse_is_said(
    ada: GpuSpec, grid: Size, block: Size, shared_bytes: int, text: str, reason: str
) -> None:
    launch = NotedLaunch(name="k", symbol="_Z1kv", grid=grid, block=block, dynamic_shared_bytes=shared_bytes, count=1)
    said = refused([launch], [], text, ada)
    assert reason in said
    assert bool(said) == bool(reason)


def test_an_output_of_the_wrong_shape_is_seen_at_full_size(
    nvcc: None, task_of: MakeTask, doubled_with: Doubled
) -> None:
    kind, message = failed(
        build.check(task_of(doubled_with(TWICE, forward="return extension.run(x)[:1]"), "doubled.py"))
    )
    assert (kind, message) == ("incorrect_shape", "forward returned shape (1, 96), expected shape (64, 96)")


def test_without_a_compiler_the_question_stays_open(
    task_of: MakeTask, doubled_with: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "nvcc", lambda: None)
    monkeypatch.setattr(toolchain, "gxx", lambda: None)
    found = build.check(task_of(doubled_with(TWICE), "doubled.py"))
    assert found.failure is None
    assert found.checks[0].status == "not_checked"
    assert "g++ is not on this machine" in found.checks[0].detail


def test_trouble_of_this_machine_is_raised_and_never_a_verdict(
    gxx: None, task_of: MakeTask, doubled_with: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.cuda.service.emulated", _full_disk)
    with pytest.raises(MachineError, match=r"CUDA text cannot be built on this machine: .*No space left"):
        build.check(task_of(doubled_with(TWICE), "doubled.py"))


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")
