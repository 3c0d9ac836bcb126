"""Memory shared between the judge and one program: a memfd owned by the judge whose size nobody can change.

The program can write whatever it likes into it at any time, so the judge copies before it looks twice. Sealed against
shrinking, because a shrunk mapping would kill the judge with SIGBUS.

Limits: CPU memory. Device memory is shared through the driver, not here.
"""

import fcntl
import mmap
import os

_ADD_SEALS = 1033  # F_ADD_SEALS of <linux/fcntl.h>; the fcntl module has it only from Python 3.13
_SEAL_SIZE = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW


def shared_memory(size_bytes: int) -> int:
    """The descriptor of a zeroed memfd of fixed size; the caller closes it."""
    descriptor = os.memfd_create("judge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size_bytes)
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEAL_SIZE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def map_shared(descriptor: int) -> mmap.mmap:
    """A writable mapping of the whole memfd, for numpy.frombuffer or torch.frombuffer."""
    return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
