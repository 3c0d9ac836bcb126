"""At the published size: which programs of a launch run, what they wrote, and where torch moves it afterwards.

Corners, then programs near the ends of every axis (first and last batch item) and anywhere, until a budget of
processor time is spent. Where the last kernel does not write the returned tensor itself, what it wrote is replaced by
numbers that name the elements; torch moves them, and the returned tensor shows which element came where.
Limits: what was sampled stands for the rest; everything here is a claim of the candidate's process.
"""

import dataclasses
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterable
from math import prod, sqrt
from typing import Any

import numpy as np
import torch

from evaluators.inside.interpreter_memory import Array, Memory
from evaluators.inside.serving import CallStopped

Program = tuple[int, int, int]
Run = Callable[[Iterable[Program]], list[int]]  # runs programs, gives how many elements each stored
ELEMENTS_MAX = 2_000_000
LEAST_PROGRAMS = 12  # of the last launch, whatever they cost up to LONGEST_S
LONGEST_S = 2.5
LONGEST_WALL_S = 6.0  # of one launch: processor time passes slowly on a busy machine
MOST_PROGRAMS = 400
STATISTICAL = 12  # programs anywhere in the grid from which on their mean says more than their maximum


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What the judge wants: processor seconds, a seed, how many launches a call makes, the batch and its filled items.

    to_end: forward goes on after the last launch, because torch rearranges what it wrote. is_whole: all items are
    filled, so the output is compared whole where every program ran.
    """

    budget_s: float
    seed: int
    launches: int
    batch: int
    items: tuple[int, ...] = ()
    to_end: bool = False
    is_whole: bool = False


class Sampler:
    """The sample of one call."""

    def __init__(self, wanted: Sampling, memory: Memory) -> None:
        self._wanted, self._memory = wanted, memory
        self._random = random.Random(wanted.seed)  # noqa: S311 - picks samples
        self._count = 0
        self._bounds: list[tuple[int, float]] = []  # of each launch: the storage it wrote to, elements at most
        self._anywhere: list[int] = []  # elements stored by programs drawn from the whole grid
        self._most = 0
        self._idle = 0  # sampled programs of the last launch that stored nothing
        self._unfinished = self._is_partial = False
        self._sampled: tuple[torch.Tensor, Array, Array] | None = None  # tensor, offsets into it, values
        self._is_tagged = False
        self._has_atomics = False

    def run(self, grid: Program, run: Run) -> int:
        """Run all programs where that fits the budget, otherwise a sample. Returns how many ran."""
        if self._is_tagged:  # more launches than on small geometries
            self._sampled, self._is_tagged = None, False
            raise CallStopped
        self._count += 1
        self._anywhere, total = [], prod(grid)
        if total == 0:
            return 0
        is_last = self._count >= self._wanted.launches
        budget_s = self._wanted.budget_s if is_last else self._wanted.budget_s / max(3, self._wanted.launches)
        started = time.thread_time()
        self._most = max(run([(0, 0, 0)]), default=0)
        first_s = max(time.thread_time() - started, 1e-6)
        if first_s * total <= budget_s:
            stored = run(itertools.islice(programs(grid), 1, None))
            self._most = max(stored, default=self._most)
            return total
        least = min(LEAST_PROGRAMS, int(LONGEST_S / first_s)) if is_last else 1
        return 1 + self._run_picked(grid, run, max(least, min(int(budget_s / first_s), MOST_PROGRAMS)))

    def _run_picked(self, grid: Program, run: Run, count: int) -> int:
        picked, stored = self._picked(grid, count), list[int]()
        until = time.monotonic() + LONGEST_WALL_S
        for program in picked:
            if time.monotonic() > until:
                break
            stored += run([program])
        self._most = max([self._most, *stored])
        self._idle = stored.count(0)
        self._anywhere = [n for n, is_anywhere in zip(stored, picked.values(), strict=False) if is_anywhere]
        return len(stored)

    def finish(self, ran: int, total: int) -> None:
        """After a launch; raises CallStopped where forward need not go on."""
        unfinished = self._memory.read_unfinished
        self._is_partial |= ran < total
        if ran < total or unfinished:
            self._memory.mark_unfinished()
        written = self._memory.written_elements(ELEMENTS_MAX)
        if written is not None:
            self._bounds.append((written[0].untyped_storage().data_ptr(), self._at_most(total)))
        if self._count < self._wanted.launches:
            return
        self._unfinished, self._has_atomics = unfinished, self._memory.has_atomics
        if written is not None:
            self._sampled = (written[0], *self._memory.gather(*written))
        if self._wanted.is_whole and not self._is_partial:
            return
        if not self._wanted.to_end or not self._tag():
            raise CallStopped  # what torch does with unfinished data afterwards only costs time and memory

    def _at_most(self, total: int) -> float:
        """Elements that all programs of the launch store: by their mean, three errors added, where enough are known."""
        if len(self._anywhere) < STATISTICAL:
            return float(self._most * total)
        error = statistics.stdev(self._anywhere) / sqrt(len(self._anywhere))
        return (statistics.mean(self._anywhere) + 3 * error) * total

    def _tag(self) -> bool:
        """Put the number of each sampled element in its place, zero in the place of the others that were written."""
        if self._sampled is None or self._sampled[0].dtype != torch.float32:
            return False
        tensor, offsets, _ = self._sampled
        storage = tensor.untyped_storage()
        bytes_left = storage.data_ptr() + storage.nbytes() - tensor.data_ptr()
        flat = np.frombuffer(self._memory.view(tensor.data_ptr(), bytes_left), np.float32)
        self._memory.clear_written(tensor)
        flat[offsets] = np.arange(1, len(offsets) + 1, dtype=np.float32)
        self._is_tagged = True
        return True

    def _picked(self, grid: Program, count: int) -> dict[Program, bool]:
        """Corners, then programs near the ends of every axis and anywhere; True: drawn from the whole grid."""
        gx, gy, gz = grid
        chosen: dict[Program, bool] = {(gx - 1, gy - 1, gz - 1): False}
        chosen |= dict.fromkeys(itertools.product({gx - 1, 0}, {gy - 1, 0}, {gz - 1, 0}), False)
        chosen.pop((0, 0, 0), None)
        chosen = dict(itertools.islice(chosen.items(), max(1, count // 3)))
        for attempt in range(4 * count):
            if len(chosen) >= count:
                break
            near_end = attempt % 3 == 0
            chosen.setdefault(self._random_program(grid, near_end=near_end), not near_end)
        chosen.pop((0, 0, 0), None)
        return chosen

    def _random_program(self, grid: Program, *, near_end: bool) -> Program:
        def along(n: int) -> int:
            span = max(1, n // self._wanted.batch) if near_end and self._wanted.batch > 1 else n
            return n - 1 - self._random.randrange(span)

        return along(grid[0]), along(grid[1]), along(grid[2])

    def report(self, outputs: list[torch.Tensor]) -> tuple[dict[str, Any], bytes]:
        """What was sampled: a description, then offsets into the output and values as bytes."""
        if self._sampled is None:
            return {}, b""
        tensor, offsets, values = self._sampled
        if self._is_tagged and outputs:
            tensor = outputs[0]
            offsets, values = self._moved(tensor, values)
        storage = self._bounds[-1][0]
        described = {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "contiguous": tensor.is_contiguous(),
            "elements": len(offsets),
            "atomics": self._has_atomics,
            "stored_at_most": int(sum(bound for where, bound in self._bounds if where == storage)),
            "idle": self._idle,
            "unfinished": self._unfinished,
            "moved": self._is_tagged,
        }
        return described, offsets.tobytes() + values.tobytes()

    def _moved(self, output: torch.Tensor, values: Array) -> tuple[Array, Array]:
        """Where in the returned tensor the numbered elements are, and their values."""
        found, shown = [], []
        item_elements = output[0].numel() if output.dim() and output.is_contiguous() else 0
        for item in self._wanted.items if item_elements else ():
            at = output.data_ptr() + item * item_elements * output.element_size()
            flat = np.frombuffer(self._memory.view(at, item_elements * output.element_size()), np.float32)
            (where,) = np.nonzero(flat)
            found.append(where + item * item_elements)
            shown.append(flat[where])
        if not found:
            return np.zeros(0, np.int64), values[:0]
        tags = np.concatenate(shown)
        known = (tags >= 1) & (tags <= len(values)) & (tags == np.floor(tags))
        return np.concatenate(found)[known].astype(np.int64), values[tags[known].astype(np.int64) - 1]


def programs(grid: Program, *, backwards: bool = False) -> Iterable[Program]:
    """Programs in launch order; lazily, because a grid may have hundreds of millions."""
    axes = [range(n - 1, -1, -1) if backwards else range(n) for n in grid]
    return ((x, y, z) for x in axes[0] for y in axes[1] for z in axes[2])
