"""The short cuts through the interpreter change no bit; the counters and bounds see what they should."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


def test_short_cuts_give_the_same_bits():
    program = [sys.executable, "-W", "ignore", str(DATA / "fast_and_slow.py")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    slow, fast = done.stdout.splitlines()
    assert len(slow) > 5000
    assert fast == slow


def test_tf32_operands_lose_their_last_thirteen_bits_toward_zero():
    from evaluators.inside.interpreter_launches import truncated_to_tf32

    x = np.random.default_rng(0).standard_normal(100000).astype(np.float32)
    r = truncated_to_tf32(x)
    assert not (r.view(np.uint32) & 0x1FFF).any()
    assert (np.abs(r) <= np.abs(x)).all() and np.abs((r - x) / x).max() <= 2.0**-10
    assert -4.5e-4 < ((r - x) / x).mean() < -2.5e-4
    halves = np.array([1 + 2**-11, -1 - 3 * 2**-11], np.float32)
    assert truncated_to_tf32(halves).tolist() == [1.0, -1 - 2**-10]


@pytest.mark.parametrize("view", ["x[1:]", "x[:, :1].contiguous()"])
def test_a_read_past_a_smaller_tensor_is_out_of_bounds(check, scaled, replaced, view):
    """The kernel is told the size of x but given less: the storage ends, whatever the mask says."""
    found = check(replaced(scaled(), "](x, self.scale", f"]({view}.clone(), self.scale"))
    assert found.failure.kind == "runtime_error"
    assert "of x_ptr, which has" in found.failure.message


@pytest.mark.parametrize(
    ("old", "new"),
    [("load(x_ptr + at,", "load(between(x_ptr) + at,"), ("store(y_ptr + at,", "store(between(y_ptr) + at,")],
)
def test_an_access_between_two_elements_is_refused_as_on_a_gpu(check, scaled, replaced, old, new):
    helper = """
@triton.jit
def between(ptr):
    return (ptr.to(tl.pointer_type(tl.float16), bitcast=True) + 1).to(tl.pointer_type(tl.float32), bitcast=True)


@triton.jit
def scaled("""
    text = replaced(scaled(), "@triton.jit\ndef scaled(", helper, "live = at < n", "live = at < n - 1", old, new)
    found = check(text)
    assert found.failure.kind == "runtime_error"
    assert "misaligned" in found.failure.message


def test_uninitialised_memory_reads_as_nan(check, scaled, replaced):
    found = check(replaced(scaled(), "](x, self.scale", "](torch.empty_like(x), self.scale"))
    assert found.failure.kind == "incorrect_numerical"
    assert "got nan" in found.failure.message
