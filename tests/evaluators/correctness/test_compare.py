"""The rule of `Tolerance`: per slice, against float64, NaN only where the reference has it."""

import math
from dataclasses import replace

import pytest
import torch

from evaluators.judge.compare import Expected, compare, is_clearly_close
from evaluators.judge.expectation import expect, in_tf32
from evaluators.problem import Tolerance

TOLERANCE = Tolerance()


def expected(exact, *, tf32=False, own=None):
    return Expected(exact, exact.float() if own is None else own, TOLERANCE, tf32)


@pytest.fixture
def exact():
    return torch.randn(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_rounding_to_float32_passes_and_three_times_the_bound_does_not(exact):
    own_rounding = compare(exact.float(), expected(exact))
    assert own_rounding.passed
    assert own_rounding.allowed == TOLERANCE.error_multiple * TOLERANCE.floor
    off = (exact * (1 + 3 * own_rounding.allowed)).float()
    assert not compare(off, expected(exact)).passed


def test_a_small_slice_cannot_hide_behind_a_large_one(exact):
    exact[0] *= 1e6
    wrong = exact.float()
    wrong[2] = 0
    result = compare(wrong, expected(exact))
    assert (result.passed, result.error) == (False, pytest.approx(1.0))
    assert result.worst_index[0] == 2


def test_one_wrong_element_in_a_long_slice_is_wrong():
    exact = torch.randn(1, 1_000_000, dtype=torch.float64)
    wrong = exact.float()
    wrong[0, 777] += 1e-3
    result = compare(wrong, expected(exact))
    assert result.error < 1e-5
    assert (result.passed, result.wrong_elements, result.worst_index) == (False, 1, (0, 777))


def test_a_slice_of_zeros_is_measured_by_the_whole(exact):
    exact[1] = 0
    assert compare(exact.float(), expected(exact)).passed
    wrong = exact.float()
    wrong[1] += 1e-3
    assert not compare(wrong, expected(exact)).passed


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_only_where_the_reference_has_them(exact, value):
    theirs = exact.float()
    theirs[0, 0] = value
    assert not compare(theirs, expected(exact)).passed
    exact[0, 0] = value
    assert compare(theirs, expected(exact)).passed


def test_zeros_everywhere_must_be_zeros():
    exact = torch.zeros(2, 3, dtype=torch.float64)
    assert compare(exact.float(), expected(exact)).passed
    assert not compare(exact.float() + 1e-30, expected(exact)).passed


def test_tf32_widens_the_bound_only_where_the_reference_may_use_it(exact):
    coarse = (exact * (1 + 2e-4 * torch.randn(4, 50, dtype=torch.float64))).float()
    accepted = compare(coarse, expected(exact, tf32=True))
    assert accepted.passed
    assert accepted.precision == "tf32"
    assert not compare(coarse, expected(exact)).passed
    assert compare(exact.float(), expected(exact, tf32=True)).precision == "fp32"
    assert not compare((exact * (1 + 1e-3)).float(), expected(exact, tf32=True)).passed


def test_a_reference_that_rounds_badly_widens_the_bound(exact):
    own = (exact * (1 + 1e-4)).float()
    assert compare((exact * (1 - 1.5e-4)).float(), expected(exact, own=own)).passed
    assert not compare((exact * (1 - 3e-4)).float(), expected(exact, own=own)).passed


def test_integers_are_compared_exactly():
    exact = torch.arange(6).reshape(2, 3)
    assert compare(exact.clone(), expected(exact, own=exact)).passed
    wrong = exact.clone()
    wrong[1, 2] += 1
    assert compare(wrong, expected(exact, own=exact)).worst_index == (1, 2)


def test_an_unwritten_part_is_counted(exact):
    theirs = exact.float()
    theirs[3, 10:] = math.nan
    assert compare(theirs, expected(exact)).unwritten == 40


def test_a_phase_of_a_strided_output_cannot_hide_behind_the_others():
    exact = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    exact[..., 1::2, 1::3] *= 1e-9  # a phase that weighs nothing in the whole
    wrong = exact.clone()
    wrong[..., 1::2, 1::3] *= 2
    whole = Expected(exact, exact.float(), TOLERANCE)
    assert compare(wrong.float(), whole).passed
    found = compare(wrong.float(), replace(whole, strides=(2, 3)))
    assert (found.passed, found.phase) == (False, (1, 1))
    assert found.worst_index[2] % 2 == 1
    assert found.worst_index[3] % 3 == 1
    assert found.expected == pytest.approx(float(exact[found.worst_index]))
    assert compare(exact.float(), replace(whole, strides=(2, 3))).passed


def test_a_phase_of_few_values_is_measured_by_an_average_one():
    """A sum that cancels keeps the rounding of its terms: of a handful of values that is no sample of the error."""
    exact = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    exact[..., 1::2, 1::2] *= 1e-3
    rounded = exact + 2e-4
    whole = Expected(exact, exact.float(), TOLERANCE, tf32=True)
    assert compare(rounded.float(), whole).passed
    assert compare(rounded.float(), replace(whole, strides=(2, 2))).passed
    wrong = exact.clone()
    wrong[..., 1::2, :] *= 1.01
    assert not compare(wrong.float(), replace(whole, strides=(2, 2))).passed


def test_an_empty_phase_must_be_exactly_zero():
    exact = torch.randn(2, 3, 8, dtype=torch.float64)
    exact[..., 1::2] = 0
    expected_ = Expected(exact, exact.float(), TOLERANCE, strides=(2,))
    assert compare(exact.float(), expected_).passed
    assert not compare((exact + 1e-12 * (exact == 0)).float(), expected_).passed


@pytest.mark.parametrize("strides", [(), (2, 2)])
@pytest.mark.parametrize(
    ("spoil", "is_close"),
    [
        (lambda y: y, True),
        (lambda y: y * (1 + 5e-4), True),
        (lambda y: y * (1 + 2e-3), False),
        (lambda y: y.index_fill(2, torch.tensor([3]), float("nan")), False),
        (
            lambda y: y.index_put(
                (torch.tensor([1]), torch.tensor([0]), torch.tensor([0]), torch.tensor([0])), y.max()
            ),
            False,
        ),
        (lambda y: torch.cat([y[:1], y[1:] * 1.01]), False),
        (lambda y: y * 1e25, False),  # squares beyond float32
    ],
)
def test_what_is_clearly_close_passes_the_rule_itself(strides, spoil, is_close):
    own = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    got = spoil(own.clone())
    assert is_clearly_close(got, own, 1e-3, 40.0, strides) is is_close
    rule = Tolerance(error_multiple=1.0, floor=1e-3)
    if is_close:
        assert compare(got, Expected(own.double(), own, rule, strides=strides)).passed


def test_values_whose_squares_overflow_are_left_to_the_rule_itself():
    own = torch.full((2, 64), 1e25)
    assert not is_clearly_close(own.clone(), own, 1e-3, 40.0)


def test_a_slice_of_few_values_that_cancels_is_measured_by_an_average_one_within_a_factor_of_two():
    exact = torch.ones(2, 8, dtype=torch.float64)
    exact[1] = 0.5
    got = exact.clone()
    got[1] *= 1 + 1.2e-3  # beyond 0.9e-3 of itself, within it of an average slice
    assert compare(got.float(), Expected(exact, exact.float(), TOLERANCE, True)).passed
    exact[1], got[1] = 1e-3, 1e-3 * (1 + 2.5e-3)  # a small one hides behind nobody
    assert not compare(got.float(), Expected(exact, exact.float(), TOLERANCE, True)).passed
    many, wrong = exact.repeat(1, 8), got.repeat(1, 8)
    many[1], wrong[1] = 0.5, 0.5 * (1 + 1.2e-3)
    assert not compare(wrong.float(), Expected(many, many.float(), TOLERANCE, True)).passed


@pytest.mark.parametrize(("bits", "tf32"), [(10, True), (22, False)])
def test_a_slice_whose_terms_cancel_counts_as_large_as_its_terms(bits, tf32):
    """Three products that cancel in one batch item: operands of 10 bits (TF32, scaled fp16) or 22 (two fp16 each)."""
    torch.manual_seed(0)
    x, w = torch.rand(2, 3) + 0.5, torch.rand(3, 64) + 0.5
    x[1] = torch.tensor([1.7123457, -0.9345671, -0.7411139])
    w[:] = w[:1]  # so their sum is a ninetieth of the terms
    exact = x.double() @ w.double()
    layer = torch.nn.Linear(3, 64, bias=False)
    layer.weight.data = w.T.contiguous()
    (coarse,) = in_tf32(layer, [x], "a problem")
    rounded = _at_bits(x, bits) @ _at_bits(w, bits)
    allowed = 9e-4 if tf32 else 1e-6
    want = Expected(exact, exact.float(), TOLERANCE, tf32)
    assert not compare(rounded.float(), want).passed
    assert compare(rounded.float(), replace(want, coarse=coarse)).passed
    for item, size in ((0, 1.0), (1, 4.0)):  # the item that does not cancel is held to the bound as before
        wrong = rounded.clone()
        wrong[item] += 2 * allowed * (exact[0] if item == 0 else (coarse[0] - exact)[1] * size / 3e-4)
        assert not compare(wrong.float(), replace(want, coarse=coarse)).passed
        assert not compare(wrong.float(), replace(want, coarse=coarse, strides=(2,))).passed
    assert compare(rounded.float(), replace(want, coarse=coarse, strides=(2,))).passed


@pytest.mark.parametrize("added", [0x1000, 0])
def test_few_products_of_tf32_operands_pass_however_the_hardware_gets_them(added):
    """Rounded (0x1000) or truncated, as a tensor core takes what a plain tl.dot gives it; bfloat16 is found in each."""
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, bias=False)
    found = 0
    for _ in range(100):
        x = torch.rand(2, 2, 2, 3)
        torch.nn.init.normal_(layer.weight)
        exact = _transposed(x, layer.weight)
        want = Expected(exact, exact.float(), TOLERANCE, True, (2, 2), coarse=in_tf32(layer, [x], "a problem")[0])
        got = _transposed(_cut(x, added), _cut(layer.weight, added))
        assert compare(got.float(), want).passed
        found += not compare(_transposed(x.bfloat16(), layer.weight.bfloat16()).float(), want).passed
    assert found > 95


def _transposed(x, weight):
    return torch.nn.functional.conv_transpose2d(x.double(), weight.detach().double(), stride=2, padding=1)


def _cut(value, added):
    return ((value.detach().contiguous().view(torch.int32) + added) & -0x2000).view(torch.float32)


class Divergence(torch.nn.Module):
    """A sum of terms of both signs that is often near zero: its rounding is that of the terms."""

    def forward(self, predictions, targets):
        return torch.nn.functional.kl_div(torch.log(predictions), targets, reduction="batchmean")


def test_a_single_sum_whose_terms_cancel_is_not_refused_at_random():
    """One rounding of the operands may leave such a sum as it is, by luck; several do not."""
    refused_before = refused = 0
    for seed in range(100):
        torch.manual_seed(seed)
        p, t = (1e-5 * torch.rand(2, 3).softmax(-1) for _ in range(2))
        (want,) = expect(Divergence(), [p, t], "a problem", TOLERANCE)
        answer = (t * (t.log() - p.log())).sum(1).sum() / 2
        refused_before += not compare(answer, want).passed
        (coarse,) = in_tf32(Divergence(), [p, t], "a problem")
        refused += not compare(answer, replace(want, coarse=coarse)).passed
        assert not compare(answer * 1.01, replace(want, coarse=coarse)).passed
    assert refused_before > 3
    assert refused == 0


def test_a_reference_with_steps_opens_no_wider_bound():
    """Rounded operands move a value across a step: as large a change as the value, which says nothing of its terms."""
    exact = torch.ones(2, 64, dtype=torch.float64)
    coarse = exact.clone()
    coarse[:, :8] = -1.0
    want = Expected(exact, exact.float(), TOLERANCE, True, coarse=(coarse, coarse))
    assert not compare((exact * 1.05).float(), want).passed
    assert not compare(coarse.float(), want).passed


def _at_bits(value, bits):
    mantissa, exponent = torch.frexp(value.double())
    return torch.ldexp(torch.round(mantissa * 2 ** (bits + 1)) / 2 ** (bits + 1), exponent)
