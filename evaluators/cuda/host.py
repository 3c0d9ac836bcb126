"""CUDA text to a Python module whose kernels run on the CPU, with g++ and the headers of include/emulation.

main.cpp and cuda.cu are compiled apart and linked, as load_inline does, so that a function that is bound but not
declared, or declared but never defined, is found.
Limits: texts that use what the emulation lacks (unsupported.py) are not built.
"""

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evaluators.cuda import cache
from evaluators.cuda.diagnostics import Diagnostic, described, errors_in, first_lines
from evaluators.cuda.extension import Extension
from evaluators.cuda.launches import for_emulation
from evaluators.cuda.linking import MODULE, Loadable, gxx_command, read_linked, runtime_objects
from evaluators.cuda.toolchain import (
    Compiled,
    gxx,
    gxx_version,
    python_include,
    run_compiler,
    torch_include,
    without_gxx,
)
from evaluators.cuda.unsupported import has_barriers, not_emulated
from evaluators.rungs import Failure

_UNDECLARED = re.compile(r"'(\w+)' was not declared in this scope")
_RUNTIME = ("emulation/execution", "emulation/harness", "emulation/launch_log", "bridge/modules", "bridge/tensors")


def emulated(extension: Extension, source: str) -> Loadable:
    """Build the extension for the CPU; `source` is the candidate's file, to name its lines."""
    if reason := without_gxx() or not_emulated("\n".join((*extension.cuda_sources, *extension.cpp_sources))):
        return Loadable(unverified=reason)
    key = cache.key_of("module", extension.id, gxx_version(), str(python_include()))
    if kept := cache.load(key):
        return Loadable(module=kept)
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

    def run(self) -> Loadable:
        """Compile both units side by side, link, look for functions without a definition."""
        units = (("main", self._extension.main_unit()), ("cuda", for_emulation(self._extension.device_unit())))
        with ThreadPoolExecutor(max_workers=2) as pool:
            main, device = pool.map(lambda unit: self._compile(*unit), units)
        if not main.succeeded:
            return self._main_failed(main)
        if not device.succeeded:
            return Loadable(unverified=f"the CPU emulation cannot compile this CUDA text: {self._described(device)}")
        objects = ["main.o", "cuda.o", *runtime_objects(_RUNTIME, self._scratch, gxx_command("ours", []))]
        linked = run_compiler([str(gxx()), "-shared", *objects, "-o", MODULE], cwd=self._scratch)
        return read_linked(linked, self._scratch)

    def _compile(self, name: str, unit: str) -> Compiled:
        (self._scratch / f"{name}.cpp").write_text(unit, encoding="utf-8", errors="surrogatepass")
        return run_compiler(gxx_command(name, self._defines), cwd=self._scratch)

    def _main_failed(self, result: Compiled) -> Loadable:
        errors = errors_in(result.messages)
        undeclared = [
            name for error in errors if error.section == "binding" for name in _UNDECLARED.findall(error.text)
        ]
        if undeclared and len(undeclared) == len(errors):
            names = ", ".join(dict.fromkeys(undeclared))
            text = f"functions lists {names}, which cpp_sources neither declares nor defines: declare them there"
            return Loadable(failure=Failure("compile_error", f"g++: {text}"))
        includes = [f"-I{path}" for path in (*torch_include(), python_include())]
        command = [str(gxx()), "-std=c++20", "-w", "-fsyntax-only", *self._defines, *includes, "main.cpp"]
        confirmed = run_compiler(command, cwd=self._scratch)
        if confirmed.succeeded:
            return Loadable(unverified=f"the CPU emulation cannot compile cpp_sources: {self._described(result)}")
        return Loadable(failure=Failure("compile_error", f"g++: {self._described(confirmed)}"))

    def _described(self, result: Compiled) -> str:
        errors: list[Diagnostic] = errors_in(result.messages)
        if not errors:
            return first_lines(result.messages)
        return described(errors, self._extension.sections, self._source)
