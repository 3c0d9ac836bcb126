"""Sizes beyond the published ones: what a grid, a loop or a block fixed to a published size gets wrong.

An axis is an integer constant of the reference's file that `get_inputs` reads or that is a width of the model. Each is
drawn anew for every evaluation, a tenth to a half more than published and odd where groups and heads let it be. Where
all of them at once cost too much, an interpreter gets one larger axis at a time, the others small; a device gets less
growth, then half of the axes at a time, the others as published or small.

Limits: what the reference holds equal grows together; literals up to eight inside `get_inputs` stay. What is fixed to a
product of axes (a grid to the number of all outputs) shows only where all are larger at once.
"""

import math
import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch

from evaluators.errors import BadProblem
from evaluators.judge.constants import HYPERPARAMETER_MAX, module_constants, names_used_by, with_constants
from evaluators.judge.geometry import UNSHRUNK_PARAMETERS, Geometry, divides, geometry_of, has_outputs, shrunk
from evaluators.judge.meta_run import Recorder, tensors_in
from evaluators.judge.operators import flop_of
from evaluators.judge.reference import Reference, Workload, forget
from evaluators.problem import Problem

_GROWTH = (1.1, 1.5)
_LITTLE_GROWTH = (1.02, 1.1)  # six axes by a third are five times the memory
_WIDTH = re.compile("channel|feature|hidden", re.IGNORECASE)  # a width also where it is small
_SMALL_SIZES = (1, 2, 3, 4, 5, 8, 16, 32)  # of the other axes: the first that the reference accepts
_ELEMENT_BYTES = 8
_GUARDS_BYTES = 1 << 16
Constants = Mapping[str, int]
NO_SIZES = "no sizes that the reference takes beyond its published ones can be read from its file"


@dataclass(frozen=True)
class Cost:
    """What one call on a geometry takes: elements of all tensors, FLOP of products and convolutions (0: none counted).

    parameters: of the elements; they are drawn on the CPU.
    """

    elements: int
    flop: int
    parameters: int = UNSHRUNK_PARAMETERS

    def within(self, most: "Cost") -> bool:
        """Whether nothing is more than `most`."""
        return self.elements <= most.elements and self.flop <= most.flop and self.parameters <= most.parameters

    def __str__(self) -> str:
        """What is said of it."""
        return f"{self.elements:.2g} elements" + (f", {self.flop:.2g} FLOP" if self.flop else "")


INTERPRETED = Cost(1_500_000, 20_000_000)
ONE_AXIS = Cost(100_000, 300_000)
LITTLE = Cost(20_000_000, 20_000_000_000)  # for a device: some milliseconds
_TIMES_PUBLISHED = 3  # an evaluation makes and verifies more calls than that at the published size


@dataclass(frozen=True)
class Larger:
    """Geometries beyond the published sizes: `whole` on every axis at once; without one `why` there is none."""

    whole: Geometry | None = None
    why: str = NO_SIZES
    shared_bytes: int = 0
    sizes: "_Sizes | None" = None

    @property
    def axes(self) -> list[str]:
        """What can be larger one at a time, in random order."""
        return self.sizes.shuffled() if self.sizes else []

    def in_one(self, axis: str) -> Geometry | None:
        """Larger in one axis, small in the others; None where that costs too much or the reference refuses it."""
        return self.sizes.larger_in(axis) if self.sizes else None


class _Refused(Exception):
    """The reference does not take these sizes, or not without values."""


def larger_of(reference: Reference, most: Cost) -> Larger:
    """What to try beyond the published sizes: one geometry within `most`, or those that are within ONE_AXIS."""
    for sizes, cost in _accepted(reference, _GROWTH):
        if cost.within(most):
            whole = sizes.geometry("larger", sizes.grown)
            if whole is None:
                continue
            return Larger(whole, "", _bytes(cost))
        return Larger(None, f"larger on every axis at once is too much here ({cost})", _bytes(ONE_AXIS), sizes)
    return Larger()


@dataclass(frozen=True)
class Part:
    """The problem with larger sizes on these axes; without one no such sizes are within what is allowed."""

    axes: tuple[str, ...]
    problem: Problem | None = None
    is_little: bool = False  # a call in float64 costs nothing to speak of either


def parts_of(reference: Reference, room: int) -> tuple[Part, ...]:
    """Problems that together are larger on every axis, on all at once where a device of so much room affords it.

    room: elements of all tensors that one call may have.
    """
    found = [each for growth in (_GROWTH, _LITTLE_GROWTH) if (each := next(_accepted(reference, growth), None))]
    for sizes, cost in found:
        if cost.within(sizes.affordable(room)):
            return (sizes.part(tuple(sizes.grown), (sizes.grown, cost)),)
    return tuple(part for sizes, _ in found[:1] for part in sizes.parts(sizes.affordable(room)))


def affordable(published: Cost, room: int) -> Cost:
    """The most for one call on a device, given what one costs at the published size."""
    elements = max(LITTLE.elements, _TIMES_PUBLISHED * published.elements)
    return Cost(min(room, elements), max(LITTLE.flop, _TIMES_PUBLISHED * published.flop))


def _accepted(reference: Reference, growth: tuple[float, float]) -> Iterator[tuple["_Sizes", Cost]]:
    """The sizes that the reference takes: those of its model larger too, if it lets them."""
    rng = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
    for source in reference.resizable_sources:
        grown = grown_sizes(source, rng, growth)
        of_model = names_used_by(source, "get_init_inputs")
        for chosen in (grown, {n: v for n, v in grown.items() if n not in of_model}):
            sizes = _Sizes(reference, source, chosen, rng)
            with suppress(_Refused):
                if chosen:
                    yield sizes, sizes.cost(chosen)


def grown_sizes(source: str, rng: random.Random, growth: tuple[float, float] = _GROWTH) -> dict[str, int]:
    """A larger size for every axis; multiples of the groups and heads that divide the published one."""
    constants = module_constants(source)
    of_model, of_data = names_used_by(source, "get_init_inputs"), names_used_by(source, "get_inputs")
    divisors = {v for n, v in constants.items() if n in of_model and v > 1 and divides(n)}
    sizes: dict[str, int] = {}
    for name, published in constants.items():
        is_width = name in of_model and (published > HYPERPARAMETER_MAX or _WIDTH.search(name)) and not divides(name)
        if published < 1 or not (name in of_data or is_width):
            continue
        base = math.lcm(1, *(d for d in divisors if name in of_model and published % d == 0))
        sizes[name] = base * ((int(published // base * rng.uniform(*growth)) + 1) | 1)
    return sizes


def _bytes(cost: Cost) -> int:
    return cost.elements * _ELEMENT_BYTES + _GUARDS_BYTES


@dataclass(frozen=True)
class _Sizes:
    """A file whose sizes can be changed, and what each grows to."""

    reference: Reference
    source: str
    grown: Constants
    rng: random.Random

    def shuffled(self) -> list[str]:
        """The axes in random order."""
        return self.rng.sample(list(self.grown), len(self.grown))

    def larger_in(self, axis: str) -> Geometry | None:
        """Small but for one axis."""
        found = self._fitting(self._small_but((axis,)), ONE_AXIS)
        return self.geometry(f"larger in {axis}", found[0]) if found else None

    def affordable(self, room: int) -> Cost:
        """The most for one call on a device of so much room."""
        published = Cost(0, 0)
        with suppress(_Refused):
            published = self.cost({})
        return affordable(published, room)

    def parts(self, most: Cost) -> Iterator[Part]:
        """All axes, as many at once as is within `most`."""
        yield from self._halved(tuple(self.shuffled()), most)

    def _halved(self, axes: tuple[str, ...], most: Cost) -> Iterator[Part]:
        found = self._fitting([self._one_item | self._larger(axes)], most)
        found = found or self._fitting(self._small_but(axes), most)
        if found or len(axes) == 1:
            yield self.part(axes, found)
            return
        middle = len(axes) // 2
        yield from self._halved(axes[:middle], most)
        yield from self._halved(axes[middle:], most)

    def _fitting(self, choice: Iterable[Constants], most: Cost) -> tuple[Constants, Cost] | None:
        """The first of these that the reference takes, if it is within `most`."""
        for constants in choice:
            with suppress(_Refused):
                cost = self.cost(constants)
                return (constants, cost) if cost.within(most) else None
        return None

    def _small_but(self, axes: tuple[str, ...]) -> Iterator[Constants]:
        for size in _SMALL_SIZES:
            yield shrunk(self.source, (1, 2), size) | self._one_item | self._larger(axes)

    @property
    def _one_item(self) -> dict[str, int]:
        return {name: 1 for name in self.grown if "batch" in name.lower()}

    def _larger(self, axes: tuple[str, ...]) -> dict[str, int]:
        return {axis: self.grown[axis] for axis in axes}

    def part(self, axes: tuple[str, ...], found: tuple[Constants, Cost] | None) -> Part:
        """The problem with these constants."""
        if found is None:
            return Part(axes)
        source = with_constants(self.source, found[0])
        return Part(axes, self.reference.problem.model_copy(update={"source": source}), found[1].within(LITTLE))

    def cost(self, constants: Constants) -> Cost:
        """Found on meta tensors. Raises _Refused."""
        workload = self.reference.rewritten(self.source, constants)
        try:
            return _cost(workload)
        except (BadProblem, RuntimeError, ValueError, TypeError, IndexError, AssertionError, ArithmeticError):
            raise _Refused from None
        finally:
            forget(workload.module)

    def geometry(self, name: str, constants: Constants) -> Geometry | None:
        """The workload with these constants; None where the reference takes them on meta tensors only."""
        workload = self.reference.rewritten(self.source, constants)
        try:
            geometry = geometry_of(name, workload)
            return geometry if has_outputs(geometry) else None
        finally:
            forget(workload.module)


def _cost(workload: Workload) -> Cost:
    with torch.device("meta"), torch.no_grad():
        model = workload.build()
        inputs = [v.to("meta") if isinstance(v, torch.Tensor) else v for v in workload.draw(0)]
        with Recorder() as seen:
            outputs = tensors_in(model(*inputs))
    if not all(output.numel() for output in outputs):
        raise _Refused  # meta tensors take sizes that a convolution's kernel is too large for
    parameters = sum(v.numel() for v in model.state_dict().values())
    given = sum(v.numel() for v in (*outputs, *inputs) if isinstance(v, torch.Tensor))
    return Cost(parameters + given, sum(flop_of(call) or 0 for call in seen.calls), parameters)
