"""The correctness rung on CUDA candidates."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluators.cuda import build, emulate, toolchain
from evaluators.rungs import Task

MakeTask = Callable[..., Task]
Doubled = Callable[..., str]
DATA = Path(__file__).parent / "data"
TWICE = (DATA / "twice.cu").read_text()


def test_an_honest_kernel_passes_every_question(gxx: None, task_of: MakeTask) -> None:
    found = emulate.check(task_of((DATA / "honest.py").read_text()))
    assert found.failure is None, found.failure
    assert not found.unverified
    status = {check.name: check.status for check in found.checks}
    assert status["reduced"] == status["general"] == status["changed_weights"] == "passed"
    assert status["bounds"] == status["races"] == "not_checked"
    assert status["full_size"] == "passed"
    assert found.numeric_error is not None
    assert found.numeric_error.worst < 5e-7


@pytest.mark.parametrize(
    ("right", "wrong", "hint"),
    [
        (" || td % q.SD", "", "a tap counts only if"),
        ("float acc = b ? b[oc] : 0.f;", "float acc = 0.f;", "the bias is not added"),
        ("w[(((long)ic * q.OCG + ocl) * q.KD", "w[(((long)(g * q.OCG + ocl) * q.ICG + c) * q.KD", "(in_channels, out_channels/groups, *kernel)"),
    ],
)  # fmt: skip
def test_a_wrong_kernel_is_failed_with_the_mistake_it_made(
    gxx: None, task_of: MakeTask, right: str, wrong: str, hint: str
) -> None:
    source = (DATA / "honest.py").read_text()
    assert right in source
    found = emulate.check(task_of(source.replace(right, wrong)))
    assert found.failure is not None
    assert found.failure.kind == "incorrect_numerical"
    if "td % q.SD" not in right:  # with one of three strides untested no single mistake explains the output
        assert hint in found.failure.message


def test_the_library_behind_a_device_guard_is_not_reached(gxx: None, task_of: MakeTask, doubled_with: Doubled) -> None:
    fallback = doubled_with(TWICE, forward="return extension.run(x) if x.is_cuda else 2.0 * x")
    assert emulate.check(task_of(fallback, "doubled.py")).failure is None
    library = doubled_with(TWICE, forward="return 2.0 * x")
    failure = emulate.check(task_of(library, "doubled.py")).failure
    assert failure is not None
    assert failure.kind == "rejected"
    assert "no kernel ran" in failure.message


def test_a_wild_write_ends_the_process_and_is_a_crash(gxx: None, task_of: MakeTask, doubled_with: Doubled) -> None:
    wild = doubled_with(TWICE.replace("y[i] = 2", "y[i + (1LL << 40)] = 2"))
    failure = emulate.check(task_of(wild, "doubled.py")).failure
    assert failure is not None
    assert failure.kind == "crashed"
    assert "signal 11" in failure.message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('asm volatile("membar.gl;");', "inline PTX assembly"),
        ("nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> f;", "tensor cores (wmma)"),
    ],
)
def test_what_the_emulation_lacks_is_unverified_not_wrong(
    gxx: None, task_of: MakeTask, doubled_with: Doubled, line: str, reason: str
) -> None:
    text = "#include <mma.h>\n" * ("wmma" in line) + TWICE.strip().replace("if (i < n)", f"{line}\n  if (i < n)")
    task = task_of(doubled_with(text), "doubled.py")
    found = emulate.check(task)
    assert found.failure is None
    assert found.unverified == f"the CPU emulation does not cover {reason}"
    if toolchain.nvcc() is not None:
        compiled = build.check(task)
        assert [check.status for check in compiled.checks] == ["passed", "not_checked"], compiled


def test_a_swallowed_build_error_does_not_turn_into_a_verdict(
    gxx: None, task_of: MakeTask, doubled_with: Doubled
) -> None:
    """The candidate falls back to the library because *we* cannot run its extension: unverified, not rejected."""
    source = doubled_with(TWICE.replace("if (i", 'asm volatile("membar.gl;");\n  if (i'))
    source = source.replace("extension = load_inline", "try:\n  extension = load_inline").replace(
        "\n\nclass", "\nexcept Exception:\n  extension = None\n\nclass"
    )
    source = source.replace("return extension.run(x)", "return extension.run(x) if extension else 2.0 * x")
    found = emulate.check(task_of(source, "doubled.py"))
    assert found.failure is None
    assert "inline PTX" in found.unverified


def test_without_nvcc_right_numbers_are_not_enough(
    gxx: None, task_of: MakeTask, doubled_with: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "nvcc", lambda: None)
    task = task_of(doubled_with(TWICE), "doubled.py")
    task = task.having(build.check(task))
    found = emulate.check(task)
    assert found.failure is None
    assert "whether it compiles was not checked: nvcc is not on this machine" in found.unverified


def test_without_gxx_nothing_is_claimed(
    task_of: MakeTask, doubled_with: Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "gxx", lambda: None)
    found = emulate.check(task_of(doubled_with(TWICE), "doubled.py"))
    assert found.failure is None
    assert "g++ is not on this machine" in found.unverified


def test_the_published_size_is_sampled(gxx: None, task_of: MakeTask, doubled_with: Doubled) -> None:
    """An index of too few bits is right on every small geometry and wrong at the published size."""
    found = emulate.check(task_of(doubled_with(TWICE), "doubled_large.py"))
    assert found.failure is None, found.failure
    (check,) = [check for check in found.checks if check.name == "full_size"]
    assert check.status == "passed"
    assert "outputs of batch item 4095" in check.detail
    narrow = doubled_with(TWICE.replace("y[i] = 2.0f * x[i]", "y[i] = 2.0f * x[i & 0x3fffff]"))
    failure = emulate.check(task_of(narrow, "doubled_large.py")).failure
    assert failure is not None
    assert failure.kind == "incorrect_numerical"
    assert "published size, output index (4095, " in failure.message


def test_torch_that_computes_beside_a_decoy_kernel_is_rejected(
    gxx: None, task_of: MakeTask, doubled_with: Doubled
) -> None:
    decoy = doubled_with(TWICE, forward="extension.run(x)\n        return x.mul(2.0)")
    failure = emulate.check(task_of(decoy, "doubled.py")).failure
    assert failure is not None
    assert failure.kind == "rejected"
    assert "aten.mul" in failure.message


def test_a_function_bound_by_hand_takes_named_arguments_and_defaults(gxx: None, task_of: MakeTask) -> None:
    found = emulate.check(task_of((DATA / "bound_by_hand.py").read_text(), "doubled.py"))
    assert found.failure is None, found.failure
    assert {check.name: check.status for check in found.checks}["full_size"] == "passed"


@pytest.mark.parametrize("first_step", [128, 64])
def test_a_tree_that_reduces_no_more_than_the_published_width_is_wrong(
    gxx: None, task_of: MakeTask, first_step: int
) -> None:
    beyond = DATA.parents[1] / "data" / "larger"
    source = (beyond / "linear_softmax_cuda.py").read_text()
    assert source.count("int s = 128;") == 2
    found = emulate.check(
        task_of(source.replace("int s = 128;", f"int s = {first_step};"), str(beyond / "linear_softmax_problem.py"))
    )
    status = {check.name: check.status for check in found.checks}
    if first_step == 128:
        assert (found.failure, status["larger_sizes"], status["full_size"]) == (None, "passed", "passed")
    else:
        assert found.failure is not None and found.failure.kind == "incorrect_numerical"
        assert status["larger_sizes"] == "failed"
