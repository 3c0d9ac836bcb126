"""Which sizes a candidate is tried on: the problem made small, and legal geometries that were never published.

The problem is made small by rewriting the module-level integer constants of its file (derived constants follow). Every
geometry is run on the reference first; one it refuses is dropped.
Limits: the hyperparameters of convolutions (plain and transposed, 1 to 3 dimensions) are varied by name; of other
operators only the sizes vary.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from evaluators.errors import BadProblem
from evaluators.judge.constants import HYPERPARAMETER_MAX, module_constants, names_used_by, unread_parameters
from evaluators.judge.convolutions import legal_geometries
from evaluators.judge.expectation import run
from evaluators.judge.reference import Reference, Workload, flatten_outputs, literal

SMALL_ELEMENTS = 200_000  # outputs of a small geometry; the interpreter needs about 1 us per element and tap

_GROWTHS = (*range(6), 8, 16, 32)  # three taps a dilation of 4 apart reach over 9 positions
ALIGNED = 16
# Of sizes, or of meta tensors.
_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ArithmeticError)
UNSHRUNK_PARAMETERS = 16_000_000  # a model with more is not built at its own width for a small input


@dataclass(frozen=True)
class Geometry:
    """One workload a candidate is tried on. `own`: it has the problem's own hyperparameters."""

    name: str
    own: bool
    init: tuple[Any, ...]
    build: Callable[[int], torch.nn.Module]
    draw: Callable[[int], list[Any]]
    description: str = ""

    @property
    def init_literal(self) -> str:
        """The init arguments as a Python literal."""
        return literal(self.init, "init arguments")

    def outputs(self) -> list[torch.Tensor]:
        """The reference's outputs for one draw, to size memory by."""
        return run(self.build(0), self.draw(0), self.name)


@dataclass
class Sitting:
    """A model of one geometry with its current weights, on both sides."""

    geometry: Geometry
    model: torch.nn.Module
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Geometries:
    """`reduced` and `smallest` keep the problem's hyperparameters, `unshrunk` its channels too; `general` differ.

    `aligned` has multiples of 16 on every axis: rows of other lengths have no tensor descriptor.
    """

    reduced: Geometry
    smallest: Geometry
    general: tuple[Geometry, ...]
    unshrunk: Geometry | None
    aligned: Geometry | None = None

    @property
    def own(self) -> tuple[Geometry, ...]:
        """Those a candidate may serve first, the smallest ones before those that few refuse."""
        return tuple(g for g in (self.reduced, self.unshrunk, self.aligned) if g)


@lru_cache(maxsize=8)
def geometries_of(reference: Reference) -> Geometries:
    """All geometries of a problem; raises BadProblem when the reference runs on none."""
    key = reference.problem.key
    reduced = _first_running(reference, "reduced", (2, 3), 2)
    smallest = _first_running(reference, "smallest", (1, 2), 1)
    if reduced is None or smallest is None:
        run(reference.published.build(), reference.published.draw(0), key)  # says why, where it can
        raise BadProblem(f"{key}: no small version of the reference runs on CPU")
    general = tuple(_general(reference, reduced))
    aligned = None
    if not general:
        odd = _first_running(reference, "odd", (13, 19), 33)
        general = (odd,) if odd else ()  # blocks of 16 and 32 have tails on every axis
        aligned = _first_running(reference, "aligned", (ALIGNED, 2 * ALIGNED), ALIGNED, step=ALIGNED)
    fits = sum(math.prod(fact.shape) for fact in reference.parameter_facts) <= UNSHRUNK_PARAMETERS
    return Geometries(
        reduced, smallest, general, _first_running(reference, "unshrunk", None, 2) if fits else None, aligned
    )


def _first_running(
    reference: Reference, name: str, channels: tuple[int, int] | None, size: int, *, step: int = 0
) -> Geometry | None:
    """The smallest legal version: sizes grow until the reference accepts them; at last the sizes as they are."""
    for growth in _GROWTHS:
        for source in reference.resizable_sources:
            constants = shrunk(source, channels, size + growth, step=step)
            of_model = names_used_by(source, "get_init_inputs")
            for kept in (constants, {n: v for n, v in constants.items() if n not in of_model}):
                if geometry := _running(name, reference, (source, kept)):
                    return geometry
    return _running(name, reference, (reference.problem.source, {}))


def _running(name: str, reference: Reference, version: tuple[str, dict[str, int]]) -> Geometry | None:
    try:
        workload = reference.rewritten(*version)
        if _is_large(workload):
            return None
        geometry = geometry_of(name, workload)
        fits = sum(output.numel() for output in geometry.outputs()) <= SMALL_ELEMENTS
    except (BadProblem, *_REFUSALS):
        return None  # sizes the reference refuses
    return geometry if fits and has_outputs(geometry) else None


def _is_large(workload: Workload) -> bool:
    """Whether meta tensors show too many outputs: 33 positions on four axes of a convolution would run for minutes."""
    with suppress(BadProblem, *_REFUSALS), torch.device("meta"), torch.no_grad():
        inputs = [v.to("meta") if isinstance(v, torch.Tensor) else v for v in workload.draw(0)]
        outputs = flatten_outputs(workload.build()(*inputs), workload.key)
        return sum(output.numel() for output in outputs) > SMALL_ELEMENTS
    return False


def geometry_of(name: str, workload: Workload) -> Geometry:
    """A workload of the problem's own file with other sizes."""
    return Geometry(
        name=name,
        own=True,
        init=workload.init_args,
        build=lambda seed: workload.build(seed=seed),
        draw=workload.draw,
        description=_describe(workload, workload.init_args, workload.draw(0)),
    )


def published_geometry(reference: Reference) -> Geometry:
    """The problem as published."""
    shapes = ", ".join(str(fact.shape) for fact in reference.input_facts)
    work = reference.published
    return Geometry(
        "published", True, work.init_args, lambda seed: work.build(seed=seed), work.draw, f"inputs {shapes}"
    )


def shrunk(source: str, channels: tuple[int, int] | None, size: int, *, step: int = 0) -> dict[str, int]:
    """New values of the constants: sizes all different, channels small different multiples of what divides them."""
    step = step or (1 if size < 8 else 2)
    constants = module_constants(source)
    of_model = names_used_by(source, "get_init_inputs")
    of_data = names_used_by(source, "get_inputs") - of_model
    chosen: dict[str, int] = {}
    for name in constants:
        if name in of_data:
            before = sum("batch" not in other.lower() for other in chosen)
            chosen[name] = 2 if "batch" in name.lower() else size + before * step
    if channels:
        chosen |= _small_channels(constants, of_model, channels)
    return chosen


def _small_channels(constants: dict[str, int], of_model: frozenset[str], factors: tuple[int, int]) -> dict[str, int]:
    large = sorted(n for n, v in constants.items() if n in of_model and v > HYPERPARAMETER_MAX)
    divisors = {v for n, v in constants.items() if n in of_model and 1 < v <= HYPERPARAMETER_MAX and divides(n)}
    chosen: dict[str, int] = {}
    for position, name in enumerate(large):
        base = math.lcm(1, *(d for d in divisors if constants[name] % d == 0))
        chosen[name] = base * (factors[0] + position * (factors[1] - factors[0]))
    return chosen


def divides(name: str) -> bool:
    """Constants that must divide a channel count: groups and heads, not kernel sizes and strides."""
    return any(word in name.lower() for word in ("group", "head", "factor", "expert"))


def _general(reference: Reference, reduced: Geometry) -> Iterator[Geometry]:
    signature = inspect.signature(reference.published.module.Model.__init__)
    inputs, source = reduced.draw(0), reference.problem.source
    seen: set[str] = {reduced.init_literal}
    for variation in legal_geometries(signature, reference.init_args, inputs, unread_parameters(source)):
        geometry = Geometry(
            name=f"general-{len(seen)}",
            own=False,
            init=variation.init,
            build=partial(_build, reference.published, variation.init),
            draw=partial(_normal_inputs, variation.shape),
            description=variation.description,
        )
        if geometry.init_literal not in seen and has_outputs(geometry):
            seen.add(geometry.init_literal)
            yield geometry


def _build(workload: Workload, init: tuple[Any, ...], seed: int) -> torch.nn.Module:
    return workload.build(init, seed=seed)


def _normal_inputs(shape: tuple[int, ...], seed: int) -> list[Any]:
    return [torch.randn(shape, generator=torch.Generator().manual_seed(seed))]


def has_outputs(geometry: Geometry) -> bool:
    """Whether the reference runs on the CPU with these arguments and gives something."""
    try:
        return all(output.numel() for output in geometry.outputs())
    except (BadProblem, *_REFUSALS):
        return False  # arguments the reference refuses


def _describe(workload: Workload, init: tuple[Any, ...], inputs: list[Any]) -> str:
    shapes = ", ".join(str(tuple(value.shape)) for value in inputs if isinstance(value, torch.Tensor))
    try:
        bound = inspect.signature(workload.module.Model.__init__).bind(None, *init)
        named = [f"{name}={value!r}" for name, value in list(bound.arguments.items())[1:]]
    except TypeError:
        named = [repr(value) for value in init]
    ignored = sorted(unread_parameters(inspect.getsource(workload.module)) & {n.split("=")[0] for n in named})
    note = f" (the reference ignores {', '.join(ignored)})" if ignored else ""
    return f"Model({', '.join(named)}){note}, inputs {shapes}"
