"""CUDA text to a Python module whose kernels run on the CPU, with g++ and the headers of include/emulation.

main.cpp and cuda.cu are compiled apart and linked, as load_inline does, so that a function that is bound but not
declared, or declared but never defined, is found.
Limits: texts that use what the emulation lacks (unsupported.py) are not built.
"""

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from evaluators.cuda import cache
from evaluators.cuda.diagnostics import Diagnostic, described, errors_in, first_lines
from evaluators.cuda.extension import Extension
from evaluators.cuda.launches import for_emulation
from evaluators.cuda.toolchain import (
    INCLUDE,
    Compiled,
    gxx,
    gxx_version,
    python_include,
    run_compiler,
    torch_include,
    without_gxx,
)
from evaluators.cuda.unsupported import has_barriers, not_emulated
from evaluators.errors import MachineError
from evaluators.rungs import Failure

_UNDECLARED = re.compile(r"'(\w+)' was not declared in this scope")
_RUNTIME = ("execution", "launch_log", "modules", "tensors")  # our part of every module
_PYTHON_SYMBOL = re.compile(r"_?Py|__gmon_start__|_ITM_|__cxa_finalize|__tls_get_addr")


@dataclass(frozen=True)
class HostBuild:
    """A loadable module, or why the candidate is wrong, or why the emulation cannot run it."""

    module: bytes = b""
    failure: Failure | None = None
    unverified: str = ""


def emulated(extension: Extension, source: str) -> HostBuild:
    """Build the extension for the CPU; `source` is the candidate's file, to name its lines."""
    if reason := without_gxx() or not_emulated("\n".join((*extension.cuda_sources, *extension.cpp_sources))):
        return HostBuild(unverified=reason)
    key = cache.key_of("module", extension.id, gxx_version(), str(python_include()))
    if kept := cache.load(key):
        return HostBuild(module=kept)
    with tempfile.TemporaryDirectory(prefix="kernel-agent-gxx-") as scratch:
        build = _Build(extension, source, Path(scratch)).run()
    if build.module:
        cache.store(key, build.module)
    return build


class _Build:
    """One build in its scratch directory."""

    def __init__(self, extension: Extension, source: str, scratch: Path) -> None:
        self._extension = extension
        self._source = source
        self._scratch = scratch
        self._defines = [
            f"-DTORCH_EXTENSION_NAME={extension.module_name}",
            f"-DEMULATION_HAS_BARRIERS={'true' if has_barriers(extension.cuda_text) else 'false'}",
        ]

    def run(self) -> HostBuild:
        """Compile both units side by side, link, look for functions without a definition."""
        units = (("main", self._extension.main_unit()), ("cuda", for_emulation(self._extension.device_unit())))
        with ThreadPoolExecutor(max_workers=2) as pool:
            main, device = pool.map(lambda unit: self._compile(*unit), units)
        if not main.succeeded:
            return self._main_failed(main)
        if not device.succeeded:
            return HostBuild(unverified=f"the CPU emulation cannot compile this CUDA text: {self._described(device)}")
        runtime = [self._scratch / f"{name}.o" for name in _RUNTIME]
        for path in runtime:
            path.write_bytes(runtime_object(path.stem))
        objects = [str(path) for path in (self._scratch / "main.o", self._scratch / "cuda.o", *runtime)]
        linked = run_compiler([str(gxx()), "-shared", *objects, "-o", "module.so"], cwd=self._scratch)
        if not linked.succeeded:
            return HostBuild(failure=Failure("compile_error", f"linking the extension: {first_lines(linked.messages)}"))
        return self._undefined() or HostBuild(module=(self._scratch / "module.so").read_bytes())

    def _compile(self, name: str, unit: str) -> Compiled:
        (self._scratch / f"{name}.cpp").write_text(unit, encoding="utf-8", errors="surrogatepass")
        return run_compiler(gxx_command(name, self._defines), cwd=self._scratch)

    def _main_failed(self, result: Compiled) -> HostBuild:
        errors = errors_in(result.messages)
        undeclared = [
            name for error in errors if error.section == "binding" for name in _UNDECLARED.findall(error.text)
        ]
        if undeclared and len(undeclared) == len(errors):
            names = ", ".join(dict.fromkeys(undeclared))
            text = f"functions lists {names}, which cpp_sources neither declares nor defines: declare them there"
            return HostBuild(failure=Failure("compile_error", f"g++: {text}"))
        includes = [f"-I{path}" for path in (*torch_include(), python_include())]
        command = [str(gxx()), "-std=c++20", "-w", "-fsyntax-only", *self._defines, *includes, "main.cpp"]
        confirmed = run_compiler(command, cwd=self._scratch)
        if confirmed.succeeded:
            return HostBuild(unverified=f"the CPU emulation cannot compile cpp_sources: {self._described(result)}")
        return HostBuild(failure=Failure("compile_error", f"g++: {self._described(confirmed)}"))

    def _described(self, result: Compiled) -> str:
        errors: list[Diagnostic] = errors_in(result.messages)
        if not errors:
            return first_lines(result.messages)
        return described(errors, self._extension.sections, self._source)

    def _undefined(self) -> HostBuild | None:
        """Names that the dynamic linker would not find; versioned ones come from the C and C++ libraries."""
        listed = run_compiler(["nm", "-DC", "--undefined-only", "module.so"], cwd=self._scratch)
        names = [line.split(maxsplit=1)[1] for line in listed.messages.splitlines() if line.strip().startswith("U ")]
        missing = [name for name in names if "@" not in name and not _PYTHON_SYMBOL.match(name)]
        if not listed.succeeded or not missing:
            return None
        text = f"{', '.join(missing[:3])}: declared and used, but no source defines it with these parameter types"
        return HostBuild(failure=Failure("compile_error", f"undefined symbol when the extension is loaded: {text}"))


def gxx_command(name: str, defines: list[str]) -> list[str]:
    """Compile `name`.cpp to `name`.o against our headers."""
    includes = [INCLUDE, INCLUDE / "emulation" / "cuda", INCLUDE / "stub", python_include()]
    flags = ["-O2", "-std=c++20", "-fPIC", "-w", "-c", *defines, *(f"-I{path}" for path in includes)]
    return [str(gxx()), *flags, f"{name}.cpp", "-o", f"{name}.o"]


def runtime_object(name: str) -> bytes:
    """Our part of every module, compiled once per compiler and interpreter (2 s)."""
    key = cache.key_of("runtime", name, gxx_version(), str(python_include()))
    if kept := cache.load(key):
        return kept
    with tempfile.TemporaryDirectory(prefix="kernel-agent-gxx-") as scratch:
        path = Path(scratch)
        (path / f"{name}.cpp").write_text(f"#include <emulation/{name}.cpp>\n")
        built = run_compiler(gxx_command(name, []), cwd=path)
        if not built.succeeded:
            raise MachineError(
                f"g++ {gxx_version()} cannot compile the CPU emulation: {first_lines(built.messages, 3)}"
            )
        content = (path / f"{name}.o").read_bytes()
    cache.store(key, content)
    return content
