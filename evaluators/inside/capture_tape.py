"""The tape: every kernel launch of one candidate, equal ones counted once, autotune configurations kept apart.

Limits: lives in the candidate's process, so what it says is a claim; the judge reads resources from the cubins
themselves.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

Scalar = int | float | bool | None
MAX_DISTINCT_LAUNCHES = 1024


@dataclass(frozen=True)
class Launch:
    """One launch as the driver would see it; `kernel` is the hash of the compiled binary."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[tuple[str, Scalar], ...]
    pointer_bytes: tuple[tuple[str, int], ...]
    config: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Refusal:
    """A launch that raised; inside autotune Triton skips a configuration that does not fit."""

    kernel: str
    config: tuple[tuple[str, str], ...]
    kind: str
    message: str


@dataclass
class Tape:
    """What was launched so far.

    `announce` tells the judge what is being compiled, so that a hang can be placed; `compiled` hands a kernel over as
    soon as it exists, so that the judge reads it while the next one compiles.
    """

    announce: Callable[[str], None]
    compiled: Callable[[Any], None]
    counts: dict[Launch, int] = field(default_factory=dict)
    groups: dict[frozenset[Launch], int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    config: dict[str, str] | None = None
    _alternatives: list[Launch] | None = None

    def launched(
        self, kernel: str, grid: tuple[int, int, int], arguments: dict[str, Any], constants: Sequence[str]
    ) -> None:
        """Record one launch; without autotune its compile-time arguments, `constants`, stand for a configuration."""
        scalars = {name: _scalar(value) for name, value in arguments.items() if _is_scalar(value)}
        launch = Launch(
            kernel=kernel,
            grid=grid,
            arguments=tuple(scalars.items()),
            pointer_bytes=tuple(_pointers(arguments)),
            config=tuple((self.config or {name: str(arguments.get(name)) for name in constants}).items()),
        )
        if self._alternatives is None:
            self._count(launch)
        elif all((known.kernel, known.grid) != (kernel, grid) for known in self._alternatives):
            self._alternatives.append(launch)

    @contextmanager
    def tuning(self) -> Iterator[None]:
        """Everything launched inside is one launch with alternatives, of which a GPU would keep the fastest."""
        if self._alternatives is not None:
            yield
            return
        self._alternatives = []
        try:
            yield
        finally:
            alternatives, self._alternatives = self._alternatives, None
        for launch in alternatives:
            self._count(launch)
        if len(alternatives) > 1:
            self.groups.setdefault(frozenset(alternatives), len(self.groups))

    def refused(self, kernel: str, kind: str, message: str) -> Refusal:
        """Record a launch that raised."""
        config = tuple((self.config or {}).items())
        refusal = Refusal(kernel, config, kind, message)
        if len(self.refusals) < MAX_DISTINCT_LAUNCHES:
            self.refusals.append(refusal)
        return refusal

    def group_of(self, launch: Launch) -> int | None:
        """Number of the autotuned launch that this is one alternative of."""
        return next((number for members, number in self.groups.items() if launch in members), None)

    def _count(self, launch: Launch) -> None:
        if launch not in self.counts and len(self.counts) >= MAX_DISTINCT_LAUNCHES:
            raise RuntimeError(f"forward() makes more than {MAX_DISTINCT_LAUNCHES} distinct kernel launches")
        self.counts[launch] = self.counts.get(launch, 0) + 1


def _is_scalar(value: object) -> bool:
    return (
        value is None or isinstance(value, bool | int | float) or isinstance(getattr(value, "value", ""), int | float)
    )


def _scalar(value: Any) -> Scalar:
    plain = value if value is None or isinstance(value, bool | int | float) else value.value  # tl.constexpr
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _pointers(arguments: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in arguments.items():
        tensor = value if isinstance(value, torch.Tensor) else getattr(value, "base", None)  # TensorDescriptor.base
        if isinstance(tensor, torch.Tensor):
            yield name, min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
