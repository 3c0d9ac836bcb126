"""Registers, stack and shared memory of a compiled kernel, read from the very cubin that would be loaded.

ptxas is never run again for this: its flags differ between Triton versions, and so do the registers it hands out.
Limits: figures per kernel function; what happens at run time (clocks, caches) is not in a cubin.
"""

import functools
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluators.compiled.toolkit import run_tool
from evaluators.frozen import Frozen

_USAGE = re.compile(r"Function (\S+?):\s*\n\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


class UnreadableCubin(ValueError):
    """These bytes are not a cubin that cuobjdump can read."""


class FunctionUsage(Frozen):
    """Resources of one kernel function as its cubin declares them; sizes in bytes."""

    name: str
    registers: int
    stack_bytes: int
    static_shared_bytes: int
    local_bytes: int


@contextmanager
def as_file(cubin: bytes) -> Iterator[Path]:
    """The cubin as a temporary file, which is the only form that the tools read."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        yield Path(file.name)


@functools.lru_cache(maxsize=128)
def functions(cubin: bytes) -> tuple[FunctionUsage, ...]:
    """Every kernel function of the cubin (3 ms)."""
    with as_file(cubin) as path:
        try:
            text = run_tool("cuobjdump", "-res-usage", str(path))
        except subprocess.SubprocessError as error:
            raise UnreadableCubin(f"cuobjdump cannot read the {len(cubin)} bytes: {error}") from error
    found = [_usage(match) for match in _USAGE.finditer(text)]
    if not found:
        raise UnreadableCubin(f"cuobjdump reports no kernel function in the {len(cubin)} bytes")
    return tuple(found)


def function(cubin: bytes, name: str) -> FunctionUsage:
    """The function called `name`, or the only one there is (C++ names are mangled)."""
    found = functions(cubin)
    named = [usage for usage in found if usage.name == name] or [usage for usage in found if name in usage.name]
    if named:
        return named[0]
    if len(found) == 1:
        return found[0]
    raise UnreadableCubin(f"no kernel function {name} in the cubin, only {', '.join(usage.name for usage in found)}")


def _usage(match: re.Match[str]) -> FunctionUsage:
    name, registers, stack, shared, local = match.groups()
    return FunctionUsage(
        name=name,
        registers=int(registers),
        stack_bytes=int(stack),
        static_shared_bytes=int(shared),
        local_bytes=int(local),
    )
