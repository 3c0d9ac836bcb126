"""Resource limits of the kernel, as a backstop to the supervisor's watchdogs.

Limits: per process or per user, never per tree; RLIMIT_NPROC does not bind uid 0. RLIMIT_AS is never set: CUDA reserves
twice the device memory as address space.
"""

import os
import resource
from pathlib import Path

from sandbox.contract import Limits

_LOCKED_BYTES = 64 << 20
_OPEN_FILES = 4096


def apply(limits: Limits, processes: int) -> None:
    """Set soft and hard limits of this process."""
    data_pages = int(Path("/proc/self/statm").read_text().split()[5])
    wanted = {
        resource.RLIMIT_CORE: 1,  # 0 would still feed a core pattern that is a pipe
        resource.RLIMIT_CPU: int(limits.wall_s * (os.cpu_count() or 1)) + 5,
        resource.RLIMIT_FSIZE: limits.scratch_mb << 20,
        resource.RLIMIT_DATA: (limits.memory_mb << 20) + data_pages * resource.getpagesize(),
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_MEMLOCK: _LOCKED_BYTES,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
