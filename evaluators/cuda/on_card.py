"""CUDA text to a Python module whose kernels run on the card: nvcc for both units, our small headers, one link.

With PyTorch's headers cuda.cu alone takes 72 s of one core, and a precompiled header (0.8 GB) helps main.cpp only,
because nvcc reads none; with the interface's it takes 4 s, main.cpp 1 s (nvcc 13.0, PyTorch 2.13). The kernels are the
same; the wrapper calls PyTorch through Python. A text that needs more of PyTorch than the interface has is built with
PyTorch's own headers, as load_inline does.
Limits: the CUDA runtime is linked statically; CUDA's driver interface is not linked. A text that a candidate asks for
on the device only, and that needs PyTorch's headers, meets the 60 s of a call.
"""

import struct
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evaluators.cuda import cache
from evaluators.cuda.device import NVCC_FLAGS
from evaluators.cuda.diagnostics import described, errors_in, first_lines
from evaluators.cuda.extension import Extension
from evaluators.cuda.linking import MODULE, Build, Loadable, read_linked, runtime_objects
from evaluators.cuda.toolchain import (
    INCLUDE,
    Compiled,
    gxx_version,
    nvcc,
    nvcc_version,
    package_includes,
    python_include,
    run_compiler,
    torch_include,
    torch_version,
    without_gxx,
    without_nvcc,
)
from evaluators.rungs import Failure

_SLOW_S = 400.0  # PyTorch's own headers: 80 s for the texts of one honest candidate
_COUNTED = ("__cudaLaunchKernel", "cudaLaunchKernel", "cudaLaunchCooperativeKernel", "cudaLaunchKernelExC")
_TORCH_LIBRARIES = ("c10", "c10_cuda", "torch_cpu", "torch_cuda", "torch", "torch_python")
_ONE_AT_A_TIME = threading.Lock()  # candidate processes that run abreast ask for the same module
_SECONDS = struct.Struct("<d")  # in front of a kept module: what building it took


@dataclass(frozen=True)
class Headers:
    """One way to build: where headers are, which of our objects and whose libraries go into the module."""

    said: str
    flags: tuple[str, ...]
    objects: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    limit_s: float = 90.0


def builder_for(capability: int) -> Build:
    """What builds a text for the card of this machine; `capability`: 90 for 9.0."""
    return partial(loadable, f"sm_{capability}")


def loadable(arch: str, extension: Extension, source: str) -> Loadable:
    """Build the extension for a card of `arch`; `source` is the candidate's file, to name its lines."""
    if reason := without_nvcc() or without_gxx():
        return Loadable(unverified=reason)
    key = cache.key_of(
        "on the card", extension.id, arch, nvcc_version(), gxx_version(), torch_version(), str(python_include())
    )
    with _ONE_AT_A_TIME:
        if kept := cache.load(key):
            return Loadable(
                module=kept[_SECONDS.size :],
                seconds=_SECONDS.unpack_from(kept)[0],
                log="for the card: kept from an earlier build\n",
            )
        begun = time.monotonic()
        built = _built(arch, extension, source)
        built = replace(built, seconds=time.monotonic() - begun)
        if built.module:
            cache.store(key, _SECONDS.pack(built.seconds) + built.module)
        return built


def _built(arch: str, extension: Extension, source: str) -> Loadable:
    ours = _with(_interface(), arch, extension, source)
    if ours.module or not _has_cuda_headers():
        return ours
    theirs = _with(_pytorch(), arch, extension, source)
    return replace(theirs, log=f"{ours.log}{theirs.log}")


def _interface() -> Headers:
    paths = (INCLUDE, INCLUDE / "stub", *package_includes(), python_include())
    return Headers(
        "the interface's headers",
        ("-DINTERFACE_ON_DEVICE", *(f"-I{path}" for path in paths)),
        ("bridge/modules", "bridge/tensors", "device/harness", "device/launches"),
    )


def _command_of_ours() -> list[str]:
    return [str(nvcc()), "-c", "ours.cpp", "-std=c++20", "-Xcompiler", "-fPIC,-O2", *_interface().flags]


def _pytorch() -> Headers:
    paths = (*torch_include(), *package_includes(), python_include())
    libraries = torch_include()[0].parent / "lib"
    return Headers(
        f"PyTorch {torch_version()}'s headers",
        ("-DTORCH_API_INCLUDE_EXTENSION_H", *(f"-isystem={path}" for path in paths)),
        ("device/launches",),
        (f"-L{libraries}", *(f"-l{name}" for name in _TORCH_LIBRARIES)),
        _SLOW_S,
    )


def _has_cuda_headers() -> bool:
    """A CPU wheel of PyTorch has no configuration of its CUDA part."""
    return (torch_include()[0] / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h").is_file()


def _with(headers: Headers, arch: str, extension: Extension, source: str) -> Loadable:
    with tempfile.TemporaryDirectory(prefix="kernel-agent-nvcc-") as scratch:
        return _Build(headers, arch, extension, source, Path(scratch)).run()


@dataclass(frozen=True)
class _Build:
    """One build in its scratch directory."""

    headers: Headers
    arch: str
    extension: Extension
    source: str
    scratch: Path

    def run(self) -> Loadable:
        """Compile both units side by side and link them."""
        used, left_out = self.extension.safe_cuda_flags()
        flags = f"; flags left out: {' '.join(left_out)}" if left_out else ""
        log = f"for the card: nvcc {nvcc_version()} -arch={self.arch} with {self.headers.said}{flags}\n"
        units = (("main.cpp", self.extension.main_unit(), ()), ("cuda.cu", self.extension.device_unit(), used))
        with ThreadPoolExecutor(max_workers=2) as pool:
            for result in pool.map(lambda unit: self._compile(*unit), units):
                if not result.succeeded:
                    return replace(self._failed(result), log=log)
        return replace(self._linked(), log=log)

    def _compile(self, name: str, text: str, flags: Sequence[str]) -> Compiled:
        (self.scratch / name).write_text(text, encoding="utf-8", errors="surrogatepass")
        of_text = (f"-DTORCH_EXTENSION_NAME={self.extension.module_name}", *NVCC_FLAGS, *flags, "-w")
        return self._nvcc("-c", name, "-Xcompiler", "-fPIC,-O2", *of_text, *self.headers.flags)

    def _linked(self) -> Loadable:
        objects = ["main.o", "cuda.o", *runtime_objects(self.headers.objects, self.scratch, _command_of_ours())]
        counted = [f"-Xlinker=--wrap={name}" for name in _COUNTED]
        linked = self._nvcc("-shared", "-cudart=static", *objects, *counted, *self.headers.libraries, "-o", MODULE)
        return read_linked(linked, self.scratch, is_complete=not self.headers.libraries)

    def _nvcc(self, *arguments: str) -> Compiled:
        command = [str(nvcc()), f"-arch={self.arch}", *arguments]
        return run_compiler(command, cwd=self.scratch, timeout_s=self.headers.limit_s)

    def _failed(self, result: Compiled) -> Loadable:
        errors = errors_in(result.messages)
        said = described(errors, self.extension.sections, self.source) if errors else first_lines(result.messages)
        if result.timed_out or not errors:
            return Loadable(unverified=f"nvcc with {self.headers.said}: {said}")
        return Loadable(failure=Failure("compile_error", f"nvcc with {self.headers.said}: {said}"))
