"""The reference at its published size on the device: secret inputs, and whether an answer to them is right.

Every call gets inputs that were never used before. All elements of every answer are held to the reference at its
default settings (within its own error beside the allowed one); one batch item, drawn after the answer is in, is held to
float64 and to the bound itself. Where batch items depend on each other the whole answer is.

Limits: what float64 of one item costs: 10 ms to 180 ms on the built-in problems (one H100).
"""

import copy
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch

from evaluators.errors import BadProblem
from evaluators.evaluation import NumericError
from evaluators.judge.compare import Comparison, Expected, compare, is_clearly_close
from evaluators.judge.expectation import SWITCHES, fresh_weights, strides_of
from evaluators.judge.reference import Reference, blaming, flatten_outputs
from evaluators.judge.verdicts import Wrong, wrong_values
from evaluators.problem import Tolerance

if TYPE_CHECKING:
    from evaluators.judge.device.protocol import Protocol

_CHUNK_ELEMENTS = 1 << 26  # compared at a time: float64 temporaries of 0.5 GB each
WHERE = "published size, on the device"


class Published:
    """One problem on this GPU; made once per judge."""

    def __init__(self, reference: Reference, tolerance: Tolerance, where: str = WHERE) -> None:
        self._reference = reference
        self.where = where
        self._random = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
        model = reference.published.build(seed=self._seed())
        self.weights = fresh_weights(model, self._seed())
        model.load_state_dict(self.weights)
        self.model = model.cuda()
        self.double = copy.deepcopy(self.model).double()
        self.tolerance = tolerance
        self.protocols: dict[int, Protocol] = {}  # by calls in a batch, as far as they were calibrated

    @property
    def init_literal(self) -> str:
        """The published arguments of `Model`."""
        return self._reference.init_literal

    @cached_property
    def outputs(self) -> list[torch.Tensor]:
        """Shapes and dtypes of the outputs, on the meta device."""
        facts = self._reference.output_facts
        return [torch.empty(fact.shape, dtype=getattr(torch, fact.dtype), device="meta") for fact in facts]

    @cached_property
    def set_bytes(self) -> int:
        """Bytes of one call's inputs and outputs."""
        tensors = [*(v for v in self.draw() if isinstance(v, torch.Tensor)), *self.outputs]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def draw(self) -> list[Any]:
        """Secret inputs on the device, from the problem's own distribution."""
        with torch.device("cuda"):
            drawn = self._reference.published.draw(self._seed())
        return [value.cuda() if isinstance(value, torch.Tensor) else value for value in drawn]

    @cached_property
    def own_error(self) -> float:
        """Relative error of the reference at its default settings against float64 (one batch item)."""
        return self.error_of(lambda inputs: self._run(self.model, inputs))

    @cached_property
    def fp32_error(self) -> float:
        """The same with TF32 switched off."""
        return self.error_of(self._in_fp32)

    @property
    def is_tf32(self) -> bool:
        """Whether the reference computes in TF32 here at its default settings: measured, not guessed."""
        return self.own_error > 8 * max(self.fp32_error, 1e-7)

    @cached_property
    def is_splittable(self) -> bool:
        """Whether every batch item of the output depends on the same item of the inputs only."""
        inputs = self.draw()
        sizes = {value.shape[:1] for value in (*self._tensors(inputs), *self.outputs)}
        if len(sizes) != 1 or not (size := next(iter(sizes))) or size[0] < 2:
            return False
        item = self._random.randrange(size[0])
        among = self._run(self.model, inputs)
        try:
            alone = self._run(self.model, _items(inputs, item))
        except BadProblem:  # the rows of a matrix are no batch
            return False
        return len(alone) == len(among) and all(
            a.shape == b[item : item + 1].shape and torch.allclose(a, b[item : item + 1], rtol=1e-2, atol=1e-3)
            for a, b in zip(alone, among, strict=True)
        )

    def verify(
        self, inputs: Sequence[Any], got: Sequence[torch.Tensor], *, strictly: bool, said: str = ""
    ) -> NumericError | None:
        """Hold one answer to the reference; the error of the part held to float64, if any was. Raises Wrong."""
        for answer, own in zip(got, self._run(self.model, inputs), strict=True):
            self._require_close(answer, own, said)
        if not strictly:
            return None
        size = self.outputs[0].shape[0] if self.is_splittable else 0
        item = self._random.randrange(size) if size else None
        some = list(inputs) if item is None else _items(inputs, item)
        where = said if item is None else f"{said}, batch item {item}"
        parts = [_item_of(whole, item) for whole in got]
        return max(self.hold_exactly(some, parts, where), key=lambda error: (error.precision, error.worst))

    def hold_exactly(self, inputs: Sequence[Any], got: Sequence[torch.Tensor], said: str = "") -> list[NumericError]:
        """Hold all of this answer to float64. Raises Wrong."""
        exact, own = self._run(self.double, [_doubled(value) for value in inputs]), self._in_fp32(inputs)
        return [self._require_exact(*each, said) for each in zip(got, exact, own, strict=True)]

    def _require_exact(self, got: torch.Tensor, exact: torch.Tensor, own: torch.Tensor, said: str) -> NumericError:
        coarse = max(self.tolerance.tf32_floor, self.own_error * 2 / self.tolerance.tf32_error_multiple)
        tolerance = self.tolerance.model_copy(update={"tf32_floor": coarse})
        allows_tf32 = tolerance.allows_tf32(self.is_tf32)
        result = compare(got, Expected(exact, own, tolerance, allows_tf32, self._strides))
        if not result.passed:
            raise Wrong("published_size", "incorrect_numerical", wrong_values(f"{self.where}{said}", result, ""))
        return NumericError(
            worst=result.error,
            allowed=result.allowed,
            reference_own=result.reference_own,
            geometry=f"published{said}",
            elements_compared=result.elements,
            precision=result.precision,
        )

    def _require_close(self, got: torch.Tensor, own: torch.Tensor, said: str) -> None:
        """All elements, against the reference as it runs by default: a coarse bound that nothing may miss."""
        tolerance = self.tolerance
        is_tf32 = self.is_tf32 or tolerance.allows_tf32(self.is_tf32)  # of one of the two is enough
        bound = tolerance.tf32_error_multiple * tolerance.tf32_floor if is_tf32 else 0.0
        bound = max(bound, tolerance.error_multiple * max(self.fp32_error, tolerance.floor)) + 2 * self.own_error
        if is_clearly_close(got, own, bound, tolerance.element_multiple, self._strides):
            return
        coarse = tolerance.model_copy(update={"error_multiple": 1.0, "floor": bound})
        if not got.dim():
            got, own = got.reshape(1), own.reshape(1)
        results = [
            _further(compare(got[rows], Expected(_double(own[rows]), own[rows], coarse, strides=self._strides)), rows)
            for rows in self._chunks(got)
        ]
        if failed := [result for result in results if not result.passed]:
            worst = replace(
                max(failed, key=lambda result: result.error),
                wrong_elements=sum(result.wrong_elements for result in results),
                elements=got.numel(),
            )
            raise Wrong("published_size", "incorrect_numerical", wrong_values(f"{self.where}{said}", worst, ""))

    def _chunks(self, got: torch.Tensor) -> Iterator[slice]:
        rows = max(1, _CHUNK_ELEMENTS // max(1, got[0].numel())) if got.shape[0] else 1
        yield from (slice(first, first + rows) for first in range(0, got.shape[0], rows))

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        """Of the last transposed convolution of the reference."""
        inputs = self.draw()
        return strides_of(self.model, _items(inputs, 0) if self.is_splittable else inputs)

    def error_of(self, run: Callable[[Sequence[Any]], Any]) -> float:
        """Relative error against float64 of what `run` makes of all the inputs (of one batch item where they split).

        All of them, because the library chooses its algorithm, and with it the precision, by size.
        """
        inputs = self.draw()
        size = self.outputs[0].shape[0] if self.is_splittable else 0
        item = self._random.randrange(size) if size else None
        some = list(inputs) if item is None else _items(inputs, item)
        exact = self._run(self.double, [_doubled(value) for value in some])
        answers = flatten_outputs(run(inputs), self._reference.problem.key)
        ratios = [
            float((own.double() - y64).norm() / y64.norm())
            for own, y64 in zip((_item_of(y, item) for y in answers), exact, strict=True)
            if y64.is_floating_point() and float(y64.norm()) > 0
        ]
        return max(ratios, default=0.0)

    def _run(self, model: torch.nn.Module, inputs: Sequence[Any]) -> list[torch.Tensor]:
        with blaming(f"{self._reference.problem.key}: the reference fails on {torch.cuda.get_device_name()}"):
            copies = [value.clone() if isinstance(value, torch.Tensor) else value for value in inputs]
            with torch.no_grad():
                return flatten_outputs(model(*copies), self._reference.problem.key)

    def _in_fp32(self, inputs: Sequence[Any]) -> list[torch.Tensor]:
        with full_precision():
            return self._run(self.model, inputs)

    def _tensors(self, values: Sequence[Any]) -> list[torch.Tensor]:
        return [value for value in values if isinstance(value, torch.Tensor)]

    def _seed(self) -> int:
        return self._random.getrandbits(62)


@lru_cache(maxsize=2)
def published_of(reference: Reference) -> Published:
    """The published workload of a problem on this GPU."""
    return Published(reference, reference.problem.tolerance)


@contextmanager
def full_precision() -> Iterator[None]:
    """float32 products as float32; the switches are the whole process's, so one thread at a time."""
    with SWITCHES:
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _further(result: Comparison, rows: slice) -> Comparison:
    """What comparing some rows said, with the place of the worst element in the whole."""
    if not result.worst_index or not rows.start:
        return result
    return replace(result, worst_index=(result.worst_index[0] + rows.start, *result.worst_index[1:]))


def _items(inputs: Sequence[Any], item: int) -> list[Any]:
    return [v[item : item + 1].contiguous() if isinstance(v, torch.Tensor) else v for v in inputs]


def _item_of(whole: torch.Tensor, item: int | None) -> torch.Tensor:
    return whole if item is None else whole[item : item + 1]


def _doubled(value: Any) -> Any:
    return _double(value) if isinstance(value, torch.Tensor) else value


def _double(value: torch.Tensor) -> torch.Tensor:
    return value.double() if value.is_floating_point() else value
