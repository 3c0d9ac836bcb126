"""The workload of a problem at its published size, as far as it is filled and as far as the reference computes it.

Where the reference treats batch items one by one, only the first and last item hold secret values and only they are
computed by the reference, once per judge. Limits: one output; tensor inputs only; otherwise there is no such workload.
"""

import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from threading import Lock, Thread
from typing import Any

import torch

from evaluators.errors import BadProblem
from evaluators.judge.diagnosis import Setup, only_convolution, setup_of
from evaluators.judge.expectation import fresh_weights, run, run_unseeded, with_weights
from evaluators.judge.geometry import geometries_of, published_geometry
from evaluators.judge.pointwise import is_one_convolution, outputs_at
from evaluators.judge.reference import Reference
from evaluators.judge.sequence import scales_of

WHOLE_ELEMENTS = 4_000_000  # a workload this small is given and compared whole
ITEM_BYTES = 100 << 20  # larger batch items: only the last one holds values
AFFORDABLE_ITEM_S = 0.7
PARAMETER_BYTES = 1 << 30
SMALL_WEIGHTS = 1e-4  # beyond the range of half precision; a kernel that uses it at this size only shows
# Compared with a float32 reference: both sides round long sums, each to about sqrt(K / 2) * 3e-8 of the result
ROUNDING_OF_BOTH = 4.0


@dataclass
class FullSize:
    """The published workload of a problem as far as it is filled; made once per judge."""

    key: str
    init_literal: str
    model: torch.nn.Module
    weights: dict[str, torch.Tensor]
    inputs: list[Any]  # whole tensors, or the filled batch items stacked
    sparse: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
    output_shape: tuple[int, ...]
    batch: int
    items: tuple[int, ...]  # batch items that hold values; empty: the inputs are whole
    valued: bool  # False: the reference mixes batch items and is too large to compute
    dtype: str = "float32"  # of the output
    convolution: Setup | None = None  # the reference is this and nothing else
    _expected: dict[int, torch.Tensor] = field(default_factory=dict)
    _item_s: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def expected(self) -> dict[int, torch.Tensor]:
        """Reference outputs by batch item (0 for the whole output of a whole workload), as far as affordable."""
        with self._lock:
            torch.set_num_threads(os.cpu_count() or 1)
            try:
                return self._computed()
            finally:
                torch.set_num_threads(1)

    def computed_items(self) -> tuple[int, ...]:
        """Batch items whose outputs can be had (0 for a whole workload)."""
        return self.items if self.convolution else tuple(self.expected())

    def at(self, item: int, offsets: torch.Tensor) -> torch.Tensor:
        """The reference's outputs at these offsets into one batch item, as float64."""
        if self.convolution is None:
            return self.expected()[item].reshape(-1)[offsets].double()
        positions = torch.stack(torch.unravel_index(offsets, self.output_shape[1:]), dim=1)
        return outputs_at(self.inputs[0][self.items.index(item)], self.convolution, positions)

    def warm(self) -> None:
        """Compute ahead; a reference that fails is reported by whoever needs it."""
        with suppress(BadProblem):
            self.expected()

    def _computed(self) -> dict[int, torch.Tensor]:
        for row, item in reversed(list(enumerate(self.items))):
            if item not in self._expected and (not self._expected or self._item_s < AFFORDABLE_ITEM_S):
                part = [v[row : row + 1] if i in self.sparse else v for i, v in enumerate(self.inputs)]
                begun = time.monotonic()
                self._expected[item] = run_unseeded(self.model, part, self.key)[0]
                self._item_s = time.monotonic() - begun
        if not self.items and not self._expected:
            self._expected[0] = run_unseeded(self.model, self.inputs, self.key)[0]
        return self._expected


@lru_cache(maxsize=4)
def full_size_of(reference: Reference) -> FullSize | None:
    """The workload of a problem at its published size; None where parameters are too large or outputs several."""
    facts = reference.input_facts
    parameter_bytes = sum(4 * prod(f.shape) for f in reference.parameter_facts)
    if len(reference.output_facts) != 1 or parameter_bytes > PARAMETER_BYTES or any(reference.input_literals):
        return None
    rng = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
    geometry = published_geometry(reference)
    model = geometry.build(rng.getrandbits(62))
    weights = fresh_weights(model, rng.getrandbits(62))
    shape = reference.output_facts[0].shape
    whole = sum(prod(f.shape) for f in facts) + prod(shape) <= WHOLE_ELEMENTS
    batch = 0 if whole else _independent_batch(reference)
    items = _items_of(reference, batch)
    seed = rng.getrandbits(62)
    inputs = geometry.draw(seed) if whole else [_filled(f.shape, f.dtype, len(items), seed) for f in facts]
    if is_one_convolution(geometries_of(reference).reduced):  # linear: any scale is as exact, half precision is not
        scales = scales_of(reference.problem.tolerance, inputs) or [1.0]
        inputs = [_scaled(v, scales, rng) for v in inputs]
        weights = {name: SMALL_WEIGHTS * v for name, v in weights.items()}
    sparse = {} if whole else {i: (f.shape, items) for i, f in enumerate(facts)}
    loaded = with_weights(model, weights)
    convolution = only_convolution(loaded) if items and is_one_convolution(geometries_of(reference).reduced) else None
    return FullSize(
        key=reference.problem.key,
        init_literal=geometry.init_literal,
        model=loaded,
        weights=weights,
        inputs=inputs,
        sparse=sparse,
        output_shape=shape,
        batch=batch or (shape[0] if shape else 1),
        items=items,
        valued=whole or bool(items),
        dtype=reference.output_facts[0].dtype,
        convolution=None if convolution is None else setup_of(convolution),
    )


def begin_reference(reference: Reference) -> None:
    """Compute the reference at full size beside the examination of small geometries; torch works without the GIL."""
    plan = full_size_of(reference)
    if plan is not None and plan.valued:
        Thread(target=plan.warm, daemon=True).start()


def _items_of(reference: Reference, batch: int) -> tuple[int, ...]:
    if batch < 2:
        return ()
    item_bytes = sum(4 * prod(f.shape[1:]) for f in reference.input_facts)
    return (0, batch - 1) if item_bytes <= ITEM_BYTES else (batch - 1,)


def _independent_batch(reference: Reference) -> int:
    """The batch size where every item of the output depends on the same item of the inputs alone, otherwise 0."""
    shapes = [f.shape for f in (*reference.input_facts, *reference.output_facts)]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    reduced = geometries_of(reference).reduced
    model, inputs = reduced.build(0), reduced.draw(0)
    if (
        len(sizes) != 1
        or len({v.shape[0] for v in inputs}) != 1
        or any(f.dtype != "float32" for f in reference.input_facts)
    ):
        return 0
    together = run(model, inputs, reduced.name)[0]
    for item in range(inputs[0].shape[0]):
        try:
            alone = run(model, [v[item : item + 1] for v in inputs], reduced.name)[0]
        except BadProblem:
            return 0  # square matrices: one row of each cannot be multiplied
        if alone.shape[1:] != together.shape[1:] or not torch.allclose(alone[0], together[item], rtol=1e-4, atol=1e-6):
            return 0
    return sizes.pop()


def _scaled(value: torch.Tensor, scales: Sequence[float], rng: random.Random) -> torch.Tensor:
    """Every batch item at another scale."""
    factors = torch.tensor([rng.choice(scales) for _ in range(value.shape[0])], dtype=value.dtype)
    return value * factors.reshape(-1, *[1] * (value.dim() - 1))


def _filled(shape: tuple[int, ...], dtype: str, items: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((items, *shape[1:]), generator=generator).to(getattr(torch, dtype))
