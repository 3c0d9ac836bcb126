"""The compilers of this machine: where nvcc and g++ are, which version, and how to run one within limits.

Limits: finds and runs; a missing compiler is a reason in words, never an error.
"""

import functools
import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

INCLUDE = Path(__file__).parent / "include"
TIMEOUT_S = 90.0
_ADDRESS_SPACE_KB = (
    6 << 20
)  # nvcc with PyTorch's full headers needs 2 GB; exploding templates must not take the machine
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "NVCC_CCBIN")
_MESSAGE_BYTES = 200_000


@dataclass(frozen=True)
class Compiled:
    """How a compiler ended."""

    succeeded: bool
    messages: str
    timed_out: bool = False


def run_compiler(command: Sequence[str], *, cwd: Path, timeout_s: float = TIMEOUT_S) -> Compiled:
    """Run a compiler and all it starts with bounded memory and time and a scrubbed environment."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C"}
    limited = ["/bin/sh", "-c", f'ulimit -v {_ADDRESS_SPACE_KB}; exec "$@"', "sh", *command]
    process = subprocess.Popen(
        limited,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Compiled(False, f"{Path(command[0]).name} did not end within {timeout_s:g} s", timed_out=True)
    return Compiled(process.returncode == 0, output[:_MESSAGE_BYTES].decode("utf-8", "replace"))


@functools.cache
def nvcc() -> Path | None:
    """nvcc from PATH, CUDA_HOME, the usual prefix or NVIDIA's Python packages; None if there is none."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [*(home / "bin" for home in homes), Path("/usr/local/cuda/bin"), *(home / "bin" for home in _packages())]
    found = [Path(path)] if (path := shutil.which("nvcc")) else []
    found += [place / "nvcc" for place in places if os.access(place / "nvcc", os.X_OK)]
    return found[0] if found else None


@functools.cache
def gxx() -> Path | None:
    """The C++ compiler that nvcc and the emulation use; None if there is none."""
    path = shutil.which("g++")
    return Path(path) if path else None


def without_nvcc() -> str:
    """Why CUDA text cannot be compiled for a GPU here; empty if it can."""
    if gxx() is None:
        return "g++ is not on this machine, and nvcc needs it: install g++"
    if nvcc() is None:
        return (
            "nvcc is not on this machine: looked on PATH, in CUDA_HOME, /usr/local/cuda and NVIDIA's Python packages; "
            "install the CUDA toolkit, or with pip nvidia-cuda-nvcc, nvidia-cuda-crt, nvidia-nvvm, nvidia-cuda-runtime "
            "and nvidia-cuda-cccl"
        )
    return ""


def without_gxx() -> str:
    """Why CUDA text cannot be executed on the CPU here; empty if it can."""
    if gxx() is None:
        return "g++ is not on this machine, and the CPU emulation needs it: install g++"
    if not (python_include() / "Python.h").is_file():
        return (
            f"Python's headers are not on this machine ({python_include()}/Python.h), and the CPU emulation needs them"
        )
    return ""


def python_include() -> Path:
    """Where Python.h is."""
    return Path(sysconfig.get_paths()["include"])


def torch_include() -> tuple[Path, ...]:
    """PyTorch's own header directories (found without importing it)."""
    from importlib.util import find_spec

    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent / "include"
    return root, root / "torch" / "csrc" / "api" / "include"


def torch_version() -> str:
    """For example `2.11.0+cu130` (found without importing it)."""
    return metadata.version("torch")


def package_includes() -> tuple[Path, ...]:
    """Header directories of NVIDIA's Python packages, which nvcc from a package does not find itself."""
    compiler = nvcc()
    if compiler is None or "site-packages" not in str(compiler):
        return ()
    return tuple(home / "include" for home in _packages() if (home / "include").is_dir())


def _packages() -> list[Path]:
    return sorted((Path(sysconfig.get_paths()["purelib"]) / "nvidia").glob("*"))


@functools.cache
def nvcc_version() -> str:
    """For example `13.0.88`; empty without nvcc."""
    compiler = nvcc()
    found = re.search(r"V(\d+(?:\.\d+)+)", _said(compiler)) if compiler else None
    return found[1] if found else ""


@functools.cache
def gxx_version() -> str:
    """For example `12.2.0`; empty without g++."""
    compiler = gxx()
    found = re.search(r"\) (\d+(?:\.\d+)+)", _said(compiler)) if compiler else None
    return found[1] if found else ""


def _said(compiler: Path) -> str:
    return run_compiler([str(compiler), "--version"], cwd=Path("/"), timeout_s=20.0).messages


def environment(arch: str) -> dict[str, str]:
    """The toolchain's versions for a verdict."""
    found = {"nvcc": nvcc_version(), "g++": gxx_version()}
    return {name: version or "not on this machine" for name, version in found.items()} | {"target": arch}
