"""Bounds of every access: each active lane of a load, store or atomic must lie, aligned, inside a tensor of the launch.

A GPU would read a neighbour's memory or fault; the interpreter alone would read on silently.
What one program of a launch reads, no other one may have written: they run in no order, and without atomics
nothing makes one wait.
Limits: whole storages are the bounds, so a view may be left towards the rest of its own storage; memory a kernel
reaches by no argument is out of bounds.
"""

import bisect
import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter
from triton.runtime.jit import TensorWrapper
from triton.tools.tensor_descriptor import TensorDescriptor

Array = np.ndarray[Any, Any]


_ORDER = "programs run in no order, so add with tl.atomic_add or read in a launch of its own"


class OutOfBounds(IndexError):
    """A kernel touched memory outside its arguments."""


class Race(OutOfBounds):
    """A program read what another one of the same launch wrote."""


class Memory:
    """The storages one launch may touch, and which of them it wrote."""

    def __init__(self) -> None:
        self.has_atomics = False
        self.is_dry = False  # nothing is written into tensors of floating point
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._tensors: list[tuple[str, torch.Tensor]] = []
        self._stores: list[Array] = []
        self._flat: dict[tuple[int, np.dtype[Any]], Array] = {}  # storages of the present launch as it has read them
        self.is_sampled = False  # not every program of a launch runs
        self.stored_elements = 0  # by the present launch
        self.read_unfinished = False  # the present launch has read what an earlier one wrote in part
        self.forget()

    def enter(self, arguments: dict[str, Any]) -> None:
        """A launch with these arguments begins."""
        by_start: dict[int, tuple[int, str, torch.Tensor]] = {}
        for name, tensor in _tensors(arguments):
            storage = tensor.untyped_storage()
            if storage.nbytes():
                by_start.setdefault(storage.data_ptr(), (storage.data_ptr() + storage.nbytes(), name, tensor))
        self._starts = sorted(by_start)
        self._ends = [by_start[start][0] for start in self._starts]
        self._tensors = [(by_start[start][1], by_start[start][2]) for start in self._starts]
        self._stores, self._flat = [], {}
        self._writers: dict[tuple[int, int], Array] = {}  # by storage and element size: who of the launch wrote each
        self.stored_elements = 0
        self.read_unfinished = False
        self.has_atomics = False

    def forget(self) -> None:
        """A new call begins: nothing is unfinished, nothing was touched."""
        self._unfinished: set[int] = set()
        self.accesses = {"load": 0, "store": 0, "atomic": 0}  # active lanes of all launches

    def mark_unfinished(self) -> None:
        """What this launch wrote is not what all its programs would have written."""
        self._unfinished |= set(self.written_storages())

    def clear_written(self, tensor: torch.Tensor) -> None:
        """Zero every element of the tensor that this launch wrote."""
        start, storage = tensor.data_ptr(), tensor.untyped_storage()
        flat = np.frombuffer(self.view(start, storage.data_ptr() + storage.nbytes() - start), np.uint8)
        size = tensor.element_size()
        for stored in self._stores:
            offsets = stored.ravel().astype(np.int64) - start
            inside = offsets[(offsets >= 0) & (offsets + size <= len(flat))]
            flat[: len(flat) // size * size].reshape(-1, size)[inside // size] = 0

    def leave(self) -> None:
        """The launch is over: hold none of its tensors."""
        self._starts, self._ends, self._tensors, self._stores, self._flat = [], [], [], [], {}

    def install(self) -> None:
        """Check every access of this process's interpreter."""
        interpreter._interpreter = _Checked(interpreter._interpreter, self)

    def read(self, pointers: Array, mask: Array, other: Array, dtype: np.dtype[Any]) -> Array | None:
        """What a load gives, if all its lanes lie in one storage; Triton's own takes three times as long."""
        size = dtype.itemsize
        active, where = self.check("load", pointers, mask, size)
        if not active.size:
            return np.array(other, dtype)
        if where < 0:
            return None
        start = self._starts[where]
        offsets = active - np.uint64(start)
        if (start, dtype) not in self._flat:
            view = self.view(start, (self._ends[where] - start) // size * size)
            self._flat[start, dtype] = np.frombuffer(view, dtype)
        values: Array = self._flat[start, dtype][offsets // np.uint64(size)]
        if active.size == pointers.size:
            return values.reshape(pointers.shape)
        given = np.array(other, dtype)
        given[mask] = values
        return given

    def check(self, what: str, pointers: Array, mask: Array | None, size: int) -> tuple[Array, int]:
        """The active lanes and the storage that holds all of them, -1 where it is not one. Raises OutOfBounds."""
        active = pointers[mask] if mask is not None and not mask.all() else pointers.ravel()
        if active.size == 0:
            return active, -1
        self.accesses[what] += active.size
        low, high = int(active.min()), int(active.max()) + size
        where = bisect.bisect_right(self._starts, low) - 1
        is_one = where >= 0 and high <= self._ends[where]
        if not is_one:
            self._check_lanes(what, active, size)
        if int(np.bitwise_or.reduce(active)) % size:
            raise OutOfBounds(
                f"misaligned {what}: an address is no multiple of {size} bytes, which a GPU cannot access"
            )
        if self._unfinished and what != "store":
            self.read_unfinished |= self._starts[where] in self._unfinished
        if is_one and not self.is_sampled:
            self._note_writer(what, active, where, size)
        if what != "load":
            self._stores.append(active)
            self.stored_elements += active.size
            self.has_atomics |= what == "atomic"
        return active, where if is_one else -1

    def _note_writer(self, what: str, active: Array, where: int, size: int) -> None:
        """Raises Race. Programs that use atomics may wait for each other, which this does not follow."""
        start, end = self._starts[where], self._ends[where]
        if self.has_atomics or (what == "load" and (start, size) not in self._writers):
            return
        if (start, size) not in self._writers:
            self._writers[start, size] = np.zeros((end - start) // size, np.int64)
        writers, at = self._writers[start, size], (active - np.uint64(start)) // np.uint64(size)
        x, y, z = program = interpreter.interpreter_builder.grid_idx
        own = 1 + x + ((y + (z << 16)) << 31)  # as large as grids may be
        if what == "store":
            writers[at] = own
        elif bool(((writers[at] != 0) & (writers[at] != own)).any()):
            said = f"program {program} reads from {self._tensors[where][0]} what another program of this launch wrote"
            raise Race(f"race: {said}: {_ORDER}")

    def _check_lanes(self, what: str, active: Array, size: int) -> None:
        starts = np.array(self._starts, dtype=np.uint64)
        ends = np.array(self._ends, dtype=np.uint64)
        where = np.searchsorted(starts, active, side="right").astype(np.int64) - 1
        inside = (where >= 0) & (active + np.uint64(size) <= ends[np.maximum(where, 0)]) if len(starts) else np.False_
        outside = active[~np.broadcast_to(inside, active.shape)]
        if outside.size:
            lanes = f"{outside.size} of {active.size} active lanes"
            program = interpreter.interpreter_builder.grid_idx
            raise OutOfBounds(
                f"out-of-bounds {what}: {lanes} in program {program}, {self._nearest(int(outside[0]), size)}"
            )

    def _nearest(self, address: int, size: int) -> str:
        if not self._starts:
            return "the kernel was given no tensor"
        distances = [max(s - address, address - e, 0) for s, e in zip(self._starts, self._ends, strict=True)]
        nearest = distances.index(min(distances))
        name, tensor = self._tensors[nearest]
        element = (address - self._starts[nearest]) // size
        return f"e.g. element {element} of {name}, which has {tensor.untyped_storage().nbytes() // size}"

    def leaves_out(self, pointers: Array) -> bool:
        """Whether a dry call leaves this store out; counters and flags are kept, because a kernel may wait for them."""
        if not self.is_dry or not pointers.size:
            return False
        where = bisect.bisect_right(self._starts, int(pointers.flat[0])) - 1
        return where < 0 or self._tensors[where][1].is_floating_point()

    def written_storages(self) -> dict[int, memoryview]:
        """The bytes of every storage this launch stored to, by address."""
        starts = {self._starts[bisect.bisect_right(self._starts, int(s[0])) - 1] for s in self._stores}
        sizes = dict(zip(self._starts, self._ends, strict=True))
        return {start: self.view(start, sizes[start] - start) for start in starts}

    def written_elements(self, most: int) -> tuple[torch.Tensor, list[Array]] | None:
        """The tensor this launch wrote most into and the addresses written, at most `most` of them."""
        if not self._stores:
            return None
        counts: dict[int, int] = {}
        for stored in self._stores:
            where = bisect.bisect_right(self._starts, int(stored[0])) - 1
            counts[where] = counts.get(where, 0) + stored.size
        tensor = self._tensors[max(counts, key=lambda where: counts[where])][1]
        kept, total = [], 0
        for stored in self._stores:
            total += stored.size
            if total <= most:
                kept.append(stored)
        return tensor, kept

    def gather(self, tensor: torch.Tensor, addresses: list[Array]) -> tuple[Array, Array]:
        """Element offsets into the tensor and the values there now."""
        size = tensor.element_size()
        if not addresses:
            return np.zeros(0, np.int64), np.zeros(0, np.uint8)
        pointers = np.unique(np.concatenate([a.ravel() for a in addresses])).astype(np.int64)
        start, storage = tensor.data_ptr(), tensor.untyped_storage()
        inside = (pointers >= start) & (pointers < storage.data_ptr() + storage.nbytes())
        offsets = (pointers[inside] - start) // size
        flat = np.frombuffer(self.view(start, storage.data_ptr() + storage.nbytes() - start), np.uint8)
        values = flat[: len(flat) // size * size].reshape(-1, size)[offsets]
        return offsets, np.ascontiguousarray(values)

    @staticmethod
    def view(address: int, size: int) -> memoryview:
        """Raw bytes of this process's memory."""
        return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


class _Checked:
    """Stands in for Triton's native interpreter module."""

    def __init__(self, native: Any, memory: Memory) -> None:
        self._native = native
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def load(self, pointers: Array, mask: Any, other: Array, dtype: Any) -> Any:
        mask = np.asarray(mask, bool)  # of block pointers the buffer of an array; integers would be taken for places
        read = self._memory.read(pointers, mask, other, np.dtype(dtype))
        return self._native.load(pointers, mask, other, dtype) if read is None else read

    def store(self, pointers: Array, values: Array, mask: Any) -> Any:
        mask = np.asarray(mask)
        self._memory.check("store", pointers, mask, values.dtype.itemsize)
        return None if self._memory.leaves_out(pointers) else self._native.store(pointers, values, mask)

    def atomic_rmw(self, operation: Any, pointers: Array, values: Array, mask: Array, order: Any) -> Any:
        mask = np.asarray(mask, bool)
        self._memory.check("atomic", pointers, mask, values.dtype.itemsize)
        mask = np.zeros_like(mask) if self._memory.leaves_out(pointers) else mask
        return self._native.atomic_rmw(operation, pointers, values, mask, order)

    def atomic_cas(self, pointers: Array, expected: Array, values: Array, order: Any) -> Any:
        self._memory.check("atomic", pointers, None, values.dtype.itemsize)
        return self._native.atomic_cas(pointers, expected, values, order)


def _tensors(arguments: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in arguments.items():
        for tensor in _inside(value):
            yield name, tensor


def _inside(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, TensorWrapper | TensorDescriptor):
        return _inside(value.base)
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _inside(item)]
    return [value] if isinstance(value, torch.Tensor) else []
