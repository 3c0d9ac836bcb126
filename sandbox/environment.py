"""The environment and the import path of the fork server: built from an allow-list, never by removing names.

Limits: what a caller passes in `env` reaches the program; secrets do not belong there.
"""

import os
import sys
from pathlib import Path

# Needed to find the driver and the compilers, or to keep CUDA working on hosts that forbid NVLink multicast.
_KEPT = (
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "TRITON_LIBCUDA_PATH",
    "TRITON_PTXAS_PATH",
    "NCCL_NVLS_ENABLE",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST",
    "NVSHMEM_DISABLE_NVLS",
)
_FIXED = {
    "PATH": "/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # One thread each: a fork server must not have started a thread pool when it forks.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MAX_JOBS": "2",
    # Asking whether CUDA is there must not initialise it in the fork server.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
_CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "CUDA_CACHE_PATH": "cuda",
}


def server_environment(env: dict[str, str]) -> dict[str, str]:
    """What the fork server starts with."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return _FIXED | kept | env


def program_environment(scratch: str, env: dict[str, str]) -> dict[str, str]:
    """What one program sees: private home, temporary directory and compiler caches, all in its scratch directory."""
    caches = {name: f"{scratch}/{folder}" for name, folder in _CACHES.items()}
    return server_environment({"HOME": scratch, "TMPDIR": scratch} | caches | env)


def import_path(extra: tuple[str, ...]) -> list[str]:
    """The absolute entries of this process's import path; the current directory is not among them."""
    entries = [*extra, *sys.path]
    kept = [entry for entry in entries if entry and Path(entry).is_absolute()]
    return list(dict.fromkeys(kept))
