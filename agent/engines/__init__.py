"""Engines: where evaluations are carried out. One module per kind, `--engine KIND[:ADDRESS]`.

    local     a pool of judge processes on this machine (default)
    ray       the same evaluation as a task in a Ray cluster (extra `ray`)

An engine is a judge that many threads may ask at once: it queues them.

Limits: where and how many at once. What an evaluation is, and every limit on a candidate, is evaluators/.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from evaluators.errors import UsageError
from evaluators.judging import Judge


@dataclass(frozen=True)
class Wish:
    """What a user asked an engine for.

    jobs: judges at once (None: as many as fit). devices: GPUs by the numbers CUDA gives them (None: all there are).
    device: auto | cpu | cuda, whether a GPU is used at all. gpu: key of the target, for an engine that has several
    models to choose from.
    """

    jobs: int | None = None
    devices: str | None = None
    sandbox: str = "auto"
    device: str = "auto"
    gpu: str = ""


class Engine(Judge, Protocol):
    """A judge for many threads.

    slots: how many evaluations run at once. about: the workers in words. notes: what a user should know about them.
    """

    slots: int
    about: str
    notes: tuple[str, ...]

    def stop(self) -> None:
        """From any thread: whoever waits for an answer, or asks from now on, gets KeyboardInterrupt."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def engine_for(name: str, wish: Wish) -> Engine:
    """The engine `KIND[:ADDRESS]` stands for, started. Raises UsageError or MachineError where it cannot be had."""
    kind, _, address = name.partition(":")
    if not kind.isidentifier() or importlib.util.find_spec(f"{__name__}.{kind}") is None:
        raise UsageError(f"unknown engine {name!r}; known: local, ray[:ADDRESS]")
    module: Any = importlib.import_module(f"{__name__}.{kind}")
    make: Callable[[str, Wish], Engine] = module.engine
    return make(address, wish)
