"""Honest kernels pass, and what could not be checked is said."""

import pytest

NAMES = ("autotuned", "direct_triton", "full_options", "implicit_gemm_dot", "permuted_channels_last", "stride_phase")


def status_of(found):
    return {c.name: c.status for c in found.checks}


@pytest.mark.parametrize("name", NAMES)
def test_an_honest_kernel_passes_every_check(check, honest, small, name):
    found = check(honest(name), small)
    assert (found.failure, found.unverified, found.scope) == (None, "", ())
    status = status_of(found)
    open_ = {name for name, value in status.items() if value != "passed"}
    assert open_ == {"races", "same_launches"}  # the interpreter is sequential; the build rung did not run here
    assert {"weights", "reduced", "general", "scaled_inputs", "changed_weights", "earlier_outputs", "bounds"} <= set(
        status
    )
    assert found.numeric_error.worst < found.numeric_error.allowed
    assert found.numeric_error.elements_compared > 2000


def test_every_autotune_configuration_is_run(check, honest, small):
    found = check(honest("autotuned"), small)
    assert "4 of 4 distinct" in next(c.detail for c in found.checks if c.name == "autotune_configurations")


def test_the_published_size_is_sampled_with_values(check, honest, stride_one):
    found = check(honest("direct_triton"), stride_one)
    details = {c.name: c.detail for c in found.checks}
    assert found.failure is None
    assert "of 38148 programs" in details["full_size_samples"]
    assert "of batch item 15" in details["full_size_values"]


def test_what_torch_rearranges_is_found_again_at_full_size(check, honest, stride_one):
    found = check(honest("permuted_channels_last"), stride_one)
    values = next(c for c in found.checks if c.name == "full_size_values")
    assert (found.failure, values.status) == (None, "passed"), found.checks
    assert "of batch item 15" in values.detail


@pytest.mark.parametrize("number", ["000", "003"])
def test_the_recorded_triton_replies_are_right(check, seed, stride_one, number):
    found = check(seed(number), stride_one)
    assert (found.failure, found.unverified, found.scope) == (None, "", ())
    assert status_of(found)["full_size_values"] == "passed"
    assert ("tf32_rounding" in status_of(found)) == (number == "000")


def test_a_tail_that_no_sampled_program_can_write_is_not_passed(check, scaled, scaled_problem):
    row = """
    y = torch.empty_like(x)
    rows_of[(x.shape[0],)](x, self.scale, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return y
    """
    kernel = """
    @triton.jit
    def rows_of(x_ptr, s_ptr, y_ptr, width, BLOCK: tl.constexpr):
        row = tl.program_id(0)
        at = tl.arange(0, BLOCK)
        live = at < LIMIT
        x = tl.load(x_ptr + row * width + at, mask=live)
        tl.store(y_ptr + row * width + at, x * tl.load(s_ptr + at, mask=live), mask=live)
    """
    large = scaled_problem.replace("rows = 3000", "rows = 5000")
    whole = check(scaled(kernel=kernel.replace("LIMIT", "width"), forward=row), large)
    assert (whole.failure, whole.unverified) == (None, "")
    short = kernel.replace("LIMIT", "tl.where(width == 1024, width - 3, width)")
    found = check(scaled(kernel=short, forward=row), large)
    assert found.failure is None
    assert "5105000 of 5120000 outputs" in found.unverified
