"""Namespaces: processes, network, System V IPC, host name and (where the user is not root) users of its own.

Limits: the mount namespace stands in filesystem.py. A failed attempt may leave the caller half inside, so
only processes that may be thrown away try it first.
"""

import fcntl
import os
import socket
import struct
from pathlib import Path

from sandbox.layers.kernel import unshare

CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def enter_user_namespace() -> None:
    """Become the owner of namespaces to come, without being root outside."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(_CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def enter_namespaces(*, loopback: bool = False) -> None:
    """New namespaces for this process; the next forked child is the first process of its own PID namespace.

    loopback: bring up `lo` of the new network namespace, so that its processes reach each other; it leads nowhere else.
    """
    unshare(_CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS)
    if loopback:
        _raise_loopback()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
