"""CUDA text to a cubin for the target, with nvcc.

The small headers of include/stub take 0.6 s where PyTorch's take 20 to 60 s. A text that they refuse is compiled once
more with PyTorch's ATen headers (8 to 11 s) before the candidate is blamed.
Limits: device code and the host text's types; nothing is linked or run. Flags that name files are left out.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from evaluators.cuda import cache
from evaluators.cuda.diagnostics import described, errors_in, first_lines, missing_header
from evaluators.cuda.extension import Extension
from evaluators.cuda.toolchain import (
    INCLUDE,
    Compiled,
    nvcc,
    nvcc_version,
    package_includes,
    python_include,
    run_compiler,
    torch_include,
    without_nvcc,
)
from evaluators.rungs import Failure

# As torch.utils.cpp_extension passes them (COMMON_NVCCNVCC_FLAGS and the language standard of its headers).
NVCC_FLAGS = (
    "-std=c++20",
    "-D__CUDA_NO_HALF_OPERATORS__",
    "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__",
    "--expt-relaxed-constexpr",
)


@dataclass(frozen=True)
class DeviceBuild:
    """A cubin, or why the candidate is wrong, or why this machine cannot tell."""

    cubin: bytes = b""
    failure: Failure | None = None
    unverified: str = ""
    log: str = ""


def compile_for(arch: str, extension: Extension, source: str) -> DeviceBuild:
    """Compile the extension's CUDA text for `arch`; `source` is the candidate's file, to name its lines."""
    if reason := without_nvcc():
        return DeviceBuild(unverified=reason)
    if not extension.cuda_text.strip():
        return DeviceBuild(
            failure=Failure("rejected", "load_inline got no cuda_sources: there is no kernel to compile")
        )
    key = cache.key_of("cubin", extension.id, arch, nvcc_version())
    if kept := cache.load(key):
        return DeviceBuild(cubin=kept, log=f"nvcc {nvcc_version()} -arch={arch}: kept from an earlier build\n")
    with tempfile.TemporaryDirectory(prefix="kernel-agent-nvcc-") as scratch:
        build = _compile(arch, extension, source, Path(scratch))
    if build.cubin:
        cache.store(key, build.cubin)
    return build


def _compile(arch: str, extension: Extension, source: str, scratch: Path) -> DeviceBuild:
    unit = scratch / "cuda.cu"
    unit.write_text(extension.device_unit(), encoding="utf-8", errors="surrogatepass")
    ours = _run(arch, extension, [INCLUDE / "stub"], scratch)
    if not ours.succeeded and _says_something_of_the_text(ours):
        theirs = _run(arch, extension, [INCLUDE / "aten", *torch_include(), python_include()], scratch)
        outcome = "compiles" if theirs.succeeded else "fails too"
        log = f"{_log(arch, extension, ours)}with PyTorch's own headers: {outcome}\n"
        return _settled(theirs, extension, source, scratch, log=log)
    return _settled(ours, extension, source, scratch, log=_log(arch, extension, ours))


def _run(arch: str, extension: Extension, includes: list[Path], scratch: Path) -> Compiled:
    used, _ = extension.safe_cuda_flags()
    paths = [f"-I{path}" for path in (*includes, *package_includes())]
    command = [str(nvcc()), "-cubin", f"-arch={arch}", *NVCC_FLAGS, *used, "-w", *paths, "cuda.cu", "-o", "cuda.cubin"]
    return run_compiler(command, cwd=scratch)


def _says_something_of_the_text(result: Compiled) -> bool:
    return bool(errors_in(result.messages)) and not result.timed_out


def _settled(result: Compiled, extension: Extension, source: str, scratch: Path, *, log: str) -> DeviceBuild:
    if result.succeeded:
        return DeviceBuild(cubin=(scratch / "cuda.cubin").read_bytes(), log=log)
    if header := missing_header(result.messages):
        return DeviceBuild(unverified=f"the CUDA text includes <{header}>, which is not on this machine", log=log)
    errors = errors_in(result.messages)
    if not errors and not result.timed_out and "ptxas" not in result.messages:
        return DeviceBuild(unverified=f"nvcc did not run: {first_lines(result.messages)}", log=log)
    text = described(errors, extension.sections, source) if errors else first_lines(result.messages)
    return DeviceBuild(failure=Failure("timeout" if result.timed_out else "compile_error", f"nvcc: {text}"), log=log)


def _log(arch: str, extension: Extension, result: Compiled) -> str:
    _, left_out = extension.safe_cuda_flags()
    flags = f"flags left out here: {' '.join(left_out)}\n" if left_out else ""
    return f"nvcc {nvcc_version()} -arch={arch}\n{flags}{result.messages[:8000]}"
