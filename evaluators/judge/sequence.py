"""The sequence of calls on one model: everything changes that a correct module must follow.

The order is shuffled and the number of calls is secret, so that a candidate cannot tell which call is which.
Limits: what is asked; how each answer is judged is examination.py.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from evaluators.problem import Tolerance

SLOW_CALL_S = 0.15  # then the sequence is shared out: eleven calls of a tiled product over 75 taps took 11 s
OWN_STEPS = 4  # random ones; these stay on the problem's own hyperparameters whatever they cost
_ORDERS_TRIED = 64  # of three swaps one changes the last bits of a sum of a thousand values, of ten shuffles nine do
_VALUES_MOVED = 2_000_000  # by all tries; of an embedding of ten million a single one is made
MOST_CONFIGURATIONS = 63  # beside the first; in random order, so that none is safe at the end of a list
Change = Callable[[list[Any], random.Random], list[Any]]
Weights = dict[str, torch.Tensor]
Reweigh = Callable[[Weights, random.Random], Weights]
Order = Callable[[torch.Tensor, random.Random], torch.Tensor]  # rearranges one dimension


@dataclass(frozen=True)
class Step:
    """One call of the sequence: what differs from the call before it."""

    check: str
    said: str
    weights: str = ""  # how new weights are given: copy | load_state_dict
    change: Change | None = None  # of the last inputs; None draws fresh ones
    reweigh: Reweigh | None = None  # of the last weights; None draws fresh ones
    is_aside: bool = False  # made where the reference gives numbers; the step after starts from the inputs before


def scales_of(tolerance: Tolerance, inputs: list[Any]) -> list[float]:
    """What inputs are multiplied by, as far as their type goes: 1e5 in fp16 would be infinity in every place."""
    most = min((2.0 ** (math.frexp(torch.finfo(v.dtype).max)[1] // 2 - 1) for v in inputs if _is_float(v)), default=1.0)
    return [min(scale, most) for scale in tolerance.input_scales if scale != 1.0]


def steps_of(tolerance: Tolerance, rng: random.Random, inputs: list[Any]) -> list[Step]:
    """The calls after the first one, which had these inputs."""
    steps = [
        Step("refilled_inputs", "fresh inputs at the same address"),
        *(Step("changed_element", "one element of the last input changed", change=_one_element) for _ in range(3)),
        Step("changed_weights", "weights changed in place by copy_", weights="copy"),
        *(Step("scaled_inputs", f"inputs times {s:g}", change=_scaled(s)) for s in scales_of(tolerance, inputs)),
        Step("uneven_inputs", "batch items of very different size", change=_uneven),
        Step("negated_inputs", "inputs of the other sign", change=_negated, is_aside=True),
        Step("zero_element", "one element of every input zero", change=_one_zero, is_aside=True),
        Step("changed_weights", "weights changed by load_state_dict", weights="load_state_dict"),
        Step("changed_weights", "two values of every parameter swapped", weights="copy", reweigh=_rearranged(_swapped)),
        # of a small input no output may see the two: one pair in nine on the smallest geometry of a stride of two
        Step("changed_weights", "values of every parameter shuffled", weights="copy", reweigh=_rearranged(_shuffled)),
        Step("changed_weights", "weights times 1e-4", weights="copy", reweigh=_scaled_weights(1e-4)),
    ]
    # at least two: the call before the repeated one must not be the first with its weights, which may be repacked in it
    later = [Step("later_calls", "fresh inputs, called again") for _ in range(rng.randrange(2, 5))]
    rng.shuffle(steps)
    return [*steps, *later, Step("repeated_call", "the same input and weights again", change=same_again)]


def same_again(inputs: list[Any], rng: random.Random) -> list[Any]:
    """The call before once more: it must do its work again."""
    return inputs


def _rearranged(order: Order) -> Reweigh:
    """A change that keeps every sum, shape and address: a hash of less than all values misses it."""

    def rearranged(weights: Weights, rng: random.Random) -> Weights:
        changed = {name: value.clone() for name, value in weights.items()}
        for value in changed.values():
            if value.is_floating_point() and value.numel() > 1:
                value.copy_(_with_the_same_sum(value.reshape(-1), order, rng).view_as(value))
        return changed

    return rearranged


def _with_the_same_sum(flat: torch.Tensor, order: Order, rng: random.Random) -> torch.Tensor:
    """Another order, if a few tries find one, whose rounded sum is as it was: it may be the key of a cache.

    Rounded in the order in which torch adds here, and on a GPU that is in use.
    """
    sums, found = _sums(flat), flat
    for _ in range(max(1, min(_ORDERS_TRIED, _VALUES_MOVED // len(flat)))):
        tried = order(flat.clone(), rng)
        if not torch.equal(tried, flat):
            found = tried
            if _sums(found) == sums:
                break
    return found


def _sums(flat: torch.Tensor) -> list[float]:
    has_gpu: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    places = ("cpu", "cuda") if has_gpu else ("cpu",)
    return [float(flat.to(place).sum()) for place in places]


def _swapped(flat: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """A value and the one farthest from it in each other's place: the smallest such change."""
    one = rng.randrange(1, len(flat))
    other = int((flat - flat[one]).abs().argmax())
    flat[[one, other]] = flat[[other, one]]
    return flat


def _shuffled(flat: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """All but the first and the last in another order; of fewer than four values two in each other's place."""
    if len(flat) < 4:
        return _swapped(flat, rng)
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    flat[1:-1] = flat[1:-1][torch.randperm(len(flat) - 2, generator=generator)]
    return flat


def one_value_changed(weights: Weights, rng: random.Random, *, late: bool) -> Weights:
    """One value of the first or second half of every parameter is another: a hash of a part of them misses one."""
    changed = {name: value.clone() for name, value in weights.items()}
    for value in changed.values():
        if value.is_floating_point() and value.numel() > 1:
            half = value.numel() // 2
            value.view(-1)[rng.randrange(half, value.numel()) if late else rng.randrange(half)] += 1
    return changed


def _scaled_weights(scale: float) -> Reweigh:
    def scaled(weights: Weights, rng: random.Random) -> Weights:
        return {name: value * scale if value.is_floating_point() else value for name, value in weights.items()}

    return scaled


def _one_element(inputs: list[Any], rng: random.Random) -> list[Any]:
    changed = [v.clone() if isinstance(v, torch.Tensor) else v for v in inputs]
    floats = [v for v in changed if isinstance(v, torch.Tensor) and v.is_floating_point() and v.numel()]
    if floats:
        tensor = rng.choice(floats)
        tensor.view(-1)[rng.randrange(tensor.numel())] += 1 + float(tensor.abs().max())
    return changed


def _scaled(scale: float) -> Change:
    def scaled(inputs: list[Any], rng: random.Random) -> list[Any]:
        generator = torch.Generator().manual_seed(rng.getrandbits(62))
        return [_renewed(v, generator) * scale if _is_float(v) else v for v in inputs]

    return scaled


def _uneven(inputs: list[Any], rng: random.Random) -> list[Any]:
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    return [_renewed(v, generator) * _steep(v) if _is_float(v) and v.dim() else v for v in inputs]


def _one_zero(inputs: list[Any], rng: random.Random) -> list[Any]:
    """Random numbers are never zero, where a quotient or a logarithm by the way gives no number."""
    changed = [v.clone() if isinstance(v, torch.Tensor) else v for v in inputs]
    for v in changed:
        if _is_float(v) and v.numel():
            v.view(-1)[rng.randrange(v.numel())] = 0
    return changed


def _negated(inputs: list[Any], rng: random.Random) -> list[Any]:
    """The same list where no input keeps to one sign; a drawn one of those that do is negated.

    Uniform inputs are never negative: relu does nothing to them and a maximum may begin at zero. All of a tensor
    changes its sign, so that no sum cancels that did not before.
    """
    positive = [at for at, v in enumerate(inputs) if _is_float(v) and v.numel() and bool((v >= 0).all())]
    if not positive:
        return inputs
    chosen = rng.choice(positive)
    return [-v if at == chosen else v for at, v in enumerate(inputs)]


def _steep(v: torch.Tensor) -> torch.Tensor:
    """Factors from 1e-3 to 1e3 along the first dimension."""
    return torch.logspace(-3, 3, v.shape[0], dtype=v.dtype).reshape(-1, *[1] * (v.dim() - 1))


def _renewed(v: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Other values of order one, whatever scale the last call had."""
    noise = torch.rand(v.shape, generator=generator, dtype=torch.float32)
    return (noise if bool((v >= 0).all()) else 2 * noise - 1).to(v.dtype)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
