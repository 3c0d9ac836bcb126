"""The NVIDIA binary tools that the Triton wheel ships: where they are and which version they are.

Limits: finds and runs them with a time limit; what their output means is cubin.py's and sass.py's business.
"""

import functools
import re
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from evaluators.errors import MachineError

TOOL_TIMEOUT_S = 30.0


def tool(name: str) -> Path:
    """Path of `ptxas`, `cuobjdump` or `nvdisasm` inside the installed Triton wheel (found without importing it)."""
    spec = find_spec("triton")
    if spec is None or spec.origin is None:
        raise MachineError("triton is not installed, so no kernel can be compiled here; run: pip install triton")
    path = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / name
    if not path.is_file():
        raise MachineError(f"{path} is missing from the installed triton; reinstall it: pip install --force triton")
    return path


def run_tool(name: str, *arguments: str) -> str:
    """Standard output of one tool; raises `subprocess.SubprocessError` where it fails or takes too long."""
    command = [str(tool(name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TOOL_TIMEOUT_S)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        last = said[-1] if said else "it said nothing"
        raise subprocess.SubprocessError(f"{name} ended with exit status {done.returncode}: {last}")
    return done.stdout


def assembler(capability: int) -> str:
    """Name of the ptxas that Triton uses for this target: it ships a newer one for Blackwell."""
    return "ptxas-blackwell" if capability >= 100 else "ptxas"


@functools.lru_cache
def assembler_version(capability: int) -> str:
    """For example `12.9.86`."""
    text = run_tool(assembler(capability), "--version")
    found = re.search(r"V(\d+(?:\.\d+)+)", text)
    return found[1] if found else text.strip().splitlines()[-1]


@functools.lru_cache
def triton_version() -> str:
    """Version of the installed Triton, from its metadata."""
    return version("triton")
