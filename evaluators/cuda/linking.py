"""Object files to a Python module: our own part of every module, and what the linker says.

Limits: knows neither the emulation (host.py) nor the card (on_card.py).
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators.cuda import cache
from evaluators.cuda.diagnostics import first_lines
from evaluators.cuda.extension import Extension
from evaluators.cuda.toolchain import INCLUDE, Compiled, gxx, gxx_version, nvcc_version, python_include, run_compiler
from evaluators.errors import MachineError
from evaluators.rungs import Failure

MODULE = "module.so"
_PYTHON_SYMBOL = re.compile(r"_?Py|__gmon_start__|_ITM_|__cxa_finalize|__tls_get_addr")


@dataclass(frozen=True)
class Loadable:
    """A loadable module, or why the candidate is wrong, or why it cannot be built here."""

    module: bytes = b""
    failure: Failure | None = None
    unverified: str = ""
    log: str = ""
    seconds: float = 0.0  # what building it took, now or when it was kept


Build = Callable[[Extension, str], Loadable]  # from the texts and the candidate's file, to name its lines


def read_linked(linked: Compiled, scratch: Path, *, is_complete: bool = True) -> Loadable:
    """The module, unless linking failed or the dynamic linker would miss a name.

    `is_complete`: no library of PyTorch defines what is missing; versioned names come from the C and C++ libraries.
    """
    if not linked.succeeded:
        return Loadable(failure=Failure("compile_error", f"linking the extension: {first_lines(linked.messages)}"))
    listed = run_compiler(["nm", "-DC", "--undefined-only", MODULE], cwd=scratch)
    names = [line.split(maxsplit=1)[1] for line in listed.messages.splitlines() if line.strip().startswith("U ")]
    missing = [name for name in names if "@" not in name and not _PYTHON_SYMBOL.match(name)]
    if not is_complete or not listed.succeeded or not missing:
        return Loadable(module=(scratch / MODULE).read_bytes())
    text = f"{', '.join(missing[:3])}: declared and used, but no source defines it with these parameter types"
    return Loadable(failure=Failure("compile_error", f"undefined symbol when the extension is loaded: {text}"))


def gxx_command(name: str, defines: list[str]) -> list[str]:
    """Compile `name`.cpp to `name`.o against our headers."""
    includes = [INCLUDE, INCLUDE / "emulation" / "cuda", INCLUDE / "stub", python_include()]
    flags = ["-O2", "-std=c++20", "-fPIC", "-w", "-c", *defines, *(f"-I{path}" for path in includes)]
    return [str(gxx()), *flags, f"{name}.cpp", "-o", f"{name}.o"]


def runtime_objects(names: Sequence[str], scratch: Path, command: Sequence[str]) -> list[str]:
    """Our part of a module (paths below include/, without .cpp) as object files in `scratch`, by their names.

    `command` compiles ours.cpp to ours.o.
    """
    for name in names:
        (scratch / f"{Path(name).name}.o").write_bytes(_runtime_object(name, command))
    return [f"{Path(name).name}.o" for name in names]


def _runtime_object(name: str, command: Sequence[str]) -> bytes:
    """Compiled once per compiler and interpreter (2 s)."""
    key = cache.key_of("runtime", name, gxx_version(), nvcc_version(), *command)
    if kept := cache.load(key):
        return kept
    with tempfile.TemporaryDirectory(prefix="kernel-agent-gxx-") as scratch:
        path = Path(scratch)
        (path / "ours.cpp").write_text(f"#include <{name}.cpp>\n")
        built = run_compiler(command, cwd=path)
        if not built.succeeded:
            said = first_lines(built.messages, 3)
            raise MachineError(f"{Path(command[0]).name} cannot compile our part of a module, {name}: {said}")
        content = (path / "ours.o").read_bytes()
    cache.store(key, content)
    return content
