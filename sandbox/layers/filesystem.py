"""The file system in a mount namespace: only the view exists, read-only, plus a size-capped scratch for each program.

The fork server enters a root of its own once (what bubblewrap would do around it, without needing it installed); each
program then gets its scratch and /proc. Where an own root is not possible, everything is made read-only in place;
Landlock then hides what may not be read, but sizes and times of outside files can be seen.

Limits: bind mounts show the host's files as they are now; a file that the owner changes meanwhile changes here too.
"""

import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from sandbox.layers.kernel import detach, mount, system_call, unshare
from sandbox.layers.namespaces import CLONE_NEWNS
from sandbox.view import View

_NOSUID_NODEV = 2 | 4
_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_BIND = 0x1000
_BIND_RECURSIVE = 0x1000 | 0x4000
_PRIVATE_RECURSIVE = 0x40000 | 0x4000
_ATTR_RDONLY, _ATTR_NOSUID = 1, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
# Writable by uid 0 without any capability.
_PROC_WRITABLE_BY_ROOT = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi")
_RECURSIVE = 0x8000
_EINVAL = 22
_STAGE = "/tmp"  # noqa: S108 - covered by a tmpfs of our own that becomes the root
OWN_SCRATCH_PARENT = "/scratch"
_OLD = "/old-root"


@dataclass(frozen=True)
class Scratch:
    """The one writable directory: an existing empty directory that a capped tmpfs is mounted on."""

    path: str
    size_mb: int
    owner_uid: int | None

    def options(self) -> str:
        """Mount options of its tmpfs."""
        owner = "" if self.owner_uid is None else f",uid={self.owner_uid},gid={self.owner_uid}"
        return f"nr_inodes=65536,size={self.size_mb}m,mode=0700{owner}"


def enter_own_root(view: View) -> None:
    """Done once by the fork server: replace its root by one in which only the view exists, read-only."""
    _own_mounts()
    mount("tmpfs", _STAGE, "tmpfs", _NOSUID_NODEV, "size=16m,nr_inodes=16384,mode=0755")
    Path(_STAGE + _OLD).mkdir()
    os.chdir(_STAGE)
    system_call(_PIVOT_ROOT[platform.machine()], "pivot_root", b".", f".{_OLD}".encode())
    os.chdir("/")
    for path in ("/dev/shm", OWN_SCRATCH_PARENT, "/tmp", *view.listable):  # noqa: S108 - mount points in our own root
        Path(path).mkdir(parents=True, exist_ok=True)
    for link, target in (*view.links, ("/dev/fd", "/proc/self/fd"), ("/dev/stdout", "/proc/self/fd/1")):
        Path(link).symlink_to(target)
    for path, real in (*view.readable, *view.devices, ("/proc", "/proc")):
        _bind(_OLD + real, path)
    detach(_OLD)
    Path(_OLD).rmdir()
    _set_attributes("/", _ATTR_RDONLY | _ATTR_NOSUID)
    _set_attributes("/proc", 0, _ATTR_RDONLY)
    mount("tmpfs", OWN_SCRATCH_PARENT, "tmpfs", _NOSUID_NODEV, "size=16m,nr_inodes=65536,mode=0755")


def enter_scratch(scratch: Scratch, *, own_proc: bool, own_tmp: bool = False) -> None:
    """Done for every program: nothing outside scratch can be changed, not even by chmod or utime."""
    _own_mounts()
    _set_attributes("/", _ATTR_RDONLY | _ATTR_NOSUID)
    mount("tmpfs", scratch.path, "tmpfs", _NOSUID_NODEV, scratch.options())
    _mount_part(scratch, ".shm", "/dev/shm")  # noqa: S108 - a mount point in our own namespace
    if own_tmp:
        _mount_part(scratch, ".tmp", "/tmp")  # noqa: S108 - as above
    if own_proc:
        mount("proc", "/proc", "proc", _NOSUID_NODEV_NOEXEC)
    _protect_proc()


def _own_mounts() -> None:
    unshare(CLONE_NEWNS)
    try:
        mount("none", "/", None, _PRIVATE_RECURSIVE)
    except OSError as error:
        if error.errno != _EINVAL:  # gVisor has no propagation to make private
            raise


def _bind(source: str, target: str) -> None:
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    mount(source, target, None, _BIND_RECURSIVE)


def _set_attributes(path: str, added: int, removed: int = 0) -> None:
    """mount_setattr(2) on a whole mount tree."""
    change = struct.pack("QQQQ", added, removed, 0, 0)
    system_call(442, f"mount_setattr {path}", -100, path.encode(), _RECURSIVE, change, len(change))


def _mount_part(scratch: Scratch, name: str, target: str) -> None:
    """A folder of scratch under another name: what is written there counts against its size."""
    folder = f"{scratch.path}/{name}"
    os.mkdir(folder, 0o700)  # noqa: PTH102 - pathlib costs page faults in a fork of a large process
    if scratch.owner_uid is not None:
        os.chown(folder, scratch.owner_uid, scratch.owner_uid)
    mount(folder, target, None, _BIND)


def _protect_proc() -> None:
    """/proc itself stays writable, because CUDA writes /proc/self/task/<tid>/comm."""
    _set_attributes("/proc", 0, _ATTR_RDONLY)
    if os.geteuid() != 0:
        return
    for name in _PROC_WRITABLE_BY_ROOT:
        path = f"/proc/{name}"
        if os.path.exists(path):  # noqa: PTH110 - as above
            mount(path, path, None, _BIND)
            _set_attributes(path, _ATTR_RDONLY)
