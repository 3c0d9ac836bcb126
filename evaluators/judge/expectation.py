"""What the reference gives: float64 as the truth, its own precision as the yardstick, and which arithmetic it uses.

Limits: runs on the CPU. The reference's error in TF32 on a GPU cannot be measured here; `Tolerance.tf32_floor` stands
for it.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evaluators.judge.compare import Expected, has_few_values
from evaluators.judge.reference import blaming, flatten_outputs, seeded
from evaluators.problem import Tolerance

_DRAWS = 8
Weights = Mapping[str, torch.Tensor]
SWITCHES = threading.RLock()  # whoever turns TF32 on or off for the whole process holds it, and so does who reads it


def run(model: torch.nn.Module, inputs: Sequence[Any], key: str) -> list[torch.Tensor]:
    """Outputs of a reference on the CPU; the model and the inputs are left unchanged. Raises BadProblem."""
    with seeded(0):
        return run_unseeded(model, inputs, key)


def run_unseeded(model: torch.nn.Module, inputs: Sequence[Any], key: str) -> list[torch.Tensor]:
    """The same, leaving the generator of random numbers to others: for long runs beside other work."""
    with blaming(f"{key}: reference not runnable on CPU"), torch.no_grad():
        return flatten_outputs(copy.deepcopy(model)(*[_copied(value) for value in inputs]), key)


def buffers_changed(model: torch.nn.Module, inputs: Sequence[Any], key: str) -> set[str]:
    """Names of the buffers that one call of a reference changes; the model given is left as it is."""
    before, called = model.state_dict(), copy.deepcopy(model)
    with seeded(0), blaming(f"{key}: reference not runnable on CPU"), torch.no_grad():
        called(*[_copied(value) for value in inputs])
    return {name for name, value in called.named_buffers() if name in before and not torch.equal(value, before[name])}


def expect(model: torch.nn.Module, inputs: Sequence[Any], key: str, tolerance: Tolerance) -> list[Expected]:
    """The outputs an answer is held to."""
    with _Arithmetic() as seen:
        own = run(model, inputs, key)
    exact = run(copy.deepcopy(model).double(), [_doubled(value) for value in inputs], key)
    pairs = zip(exact, own, strict=True)
    with SWITCHES:
        tf32 = tolerance.allows_tf32(seen.tf32)
    return [
        Expected(y64.double() if o.is_floating_point() else y64, o, tolerance, tf32, seen.strides) for y64, o in pairs
    ]


def in_tf32(model: torch.nn.Module, inputs: Sequence[Any], key: str) -> list[tuple[torch.Tensor, ...]]:
    """Each output in float64 of operands rounded to TF32, and of truncated ones, as tensor cores take them.

    Of an output of few values, which one rounding may leave as it is by luck, also of operands changed at random.
    """
    versions = [_with_operands(model, inputs, key, partial(_without_low_bits, added=bits)) for bits in (0x1000, 0)]
    if any(has_few_values(output) for output in versions[0]):
        versions.append(_with_random_operands(model, inputs, key))
    return list(zip(*versions, strict=True))


def _with_random_operands(model: torch.nn.Module, inputs: Sequence[Any], key: str) -> list[torch.Tensor]:
    """The root mean square of what several random changes make of the outputs, beside the outputs themselves."""
    generator = torch.Generator().manual_seed(0)
    nudged = partial(_nudged, generator=generator)
    exact = _with_operands(model, inputs, key, lambda value: value)
    drawn = zip(*(_with_operands(model, inputs, key, nudged) for _ in range(_DRAWS)), strict=True)
    return [
        y + (torch.stack(changed) - y).square().mean(0).sqrt() if y.is_floating_point() else y
        for y, changed in zip(exact, drawn, strict=True)
    ]


def _with_operands(
    model: torch.nn.Module, inputs: Sequence[Any], key: str, changed: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    other = copy.deepcopy(model)
    other.load_state_dict({name: _of_fp32(value, changed) for name, value in other.state_dict().items()})
    return run(other.double(), [_doubled(_of_fp32(value, changed)) for value in inputs], key)


def _of_fp32(value: Any, changed: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return changed(value) if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


def _without_low_bits(value: torch.Tensor, added: int) -> torch.Tensor:
    bits = (value.contiguous().view(torch.int32) + added) & -0x2000
    return torch.where(value.isfinite(), bits.view(torch.float32), value)


def _nudged(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every value by up to half of TF32's last bit, up or down."""
    return value * (1 + 2**-11 * (2 * torch.rand(value.shape, generator=generator) - 1))


def strides_of(model: torch.nn.Module, inputs: Sequence[Any]) -> tuple[int, ...]:
    """Strides of the last transposed convolution of a model; empty where there is none."""
    with _Arithmetic() as seen, torch.no_grad():
        model(*inputs)
    return tuple(seen.strides)


def with_weights(model: torch.nn.Module, weights: Weights) -> torch.nn.Module:
    """A copy of the model that holds these weights."""
    changed = copy.deepcopy(model)
    changed.load_state_dict(dict(weights))
    return changed


def fresh_weights(model: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """New values for every floating parameter at its own scale; buffers keep theirs (a variance must stay positive)."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        value = parameter.detach()
        if not value.is_floating_point() or value.numel() == 0:
            continue
        spread = float(value.double().std(correction=0)) or 0.1 * float(value.double().abs().mean()) or 0.1
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        weights[name] = (value.double().mean() + spread * noise).to(value.dtype)
    return weights


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _doubled(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


MATRIX_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot"})


class _Arithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.ungrouped = False
        self.strides: tuple[int, ...] = ()  # of the last transposed convolution: its output phases

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True imports torch._dynamo at the first operator, 1.2 s

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.names.add(name)
        if name == "convolution":
            self.ungrouped |= args[8] == 1
        if name == "convolution" and args[6]:
            self.strides = tuple(int(stride) for stride in args[3])
        return func(*args, **(kwargs or {}))

    @property
    def tf32(self) -> bool:
        """Whether this computes in TF32 on a GPU: convolutions do by default, products only if asked to.

        Not those in groups: cuDNN ran problem 72 in float32 although TF32 was allowed (error 9e-8, H100 and H200).
        """
        convolves = self.ungrouped and bool(torch.backends.cudnn.allow_tf32)
        multiplies = bool(self.names & MATRIX_PRODUCTS) and torch.get_float32_matmul_precision() != "highest"
        return convolves or multiplies
