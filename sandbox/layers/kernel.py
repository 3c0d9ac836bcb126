"""System calls that Python's os module lacks, each raising OSError with the name of what failed.

Limits: `system_call` takes the number as it is; a caller uses one of the unified table (equal on every architecture
since Linux 5.1) or looks it up by architecture.
"""

import ctypes
import os
import struct
from collections.abc import Collection

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """The result of a C call, or OSError naming `what`."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def system_call(number: int, what: str, *arguments: int | bytes) -> int:
    """A raw system call by number."""
    values = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    return checked(_libc.syscall(ctypes.c_long(number), *values), what)


def prctl(option: int, value: int = 0, second: int = 0) -> int:
    """prctl(2) with up to two arguments, the others zero."""
    rest = (ctypes.c_ulong(value), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return checked(_libc.prctl(option, *rest), f"prctl {option}")


def install_filter(program_address: int) -> None:
    """prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER): needs no system call number."""
    zero = ctypes.c_ulong(0)
    checked(_libc.prctl(22, ctypes.c_ulong(2), ctypes.c_void_p(program_address), zero, zero), "seccomp")


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked(_libc.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    encoded_kind, encoded_data = (v.encode() if v is not None else None for v in (kind, data))
    result = _libc.mount(source.encode(), target.encode(), encoded_kind, ctypes.c_ulong(flags), encoded_data)
    checked(result, f"mount {target}")


def detach(target: str) -> None:
    """umount2(2) with MNT_DETACH."""
    checked(_libc.umount2(target.encode(), 2), f"unmount {target}")


def set_capabilities(kept: Collection[int]) -> None:
    """Keep these capabilities only, as effective, permitted and inheritable."""
    mask = sum(1 << capability for capability in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = ctypes.create_string_buffer(struct.pack("II", _CAPABILITY_VERSION_3, 0))
    wanted = ctypes.create_string_buffer(struct.pack("6I", low, low, low, high, high, high))
    checked(_libc.capset(header, wanted), "capset")


def narrow_bounding_set(kept: Collection[int]) -> None:
    """Drop all other capabilities from the bounding set; numbers the kernel does not know end the loop."""
    for capability in range(64):
        if capability not in kept and _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            return


def signal_process(pid: int, number: int) -> None:
    """kill(2) without an exception: the process may have gone."""
    _libc.kill(pid, number)
