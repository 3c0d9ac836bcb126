"""The file system of one program in its own mount namespace: only the view exists, read-only, plus a size-capped scratch.

Where a root of its own is not possible, everything is made read-only in place; Landlock then hides what may not be read, but
sizes and times of outside files can be seen.

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
_EINVAL = 22


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


def own_root(view: View, scratch: Scratch) -> None:
    """Replace the root by one in which only the view exists."""
    _own_mounts()
    root = scratch.path
    mount("tmpfs", root, "tmpfs", _NOSUID_NODEV, "size=16m,nr_inodes=16384,mode=0755")
    for path in (scratch.path, "/proc", "/dev/shm", *view.listable):  # noqa: S108 - a mount point in our own root
        Path(root + path).mkdir(parents=True, exist_ok=True)
    for link, target in (*view.links, ("/dev/fd", "/proc/self/fd"), ("/dev/stdout", "/proc/self/fd/1")):
        Path(root + link).symlink_to(target)
    for path in (*view.readable, *view.devices):
        _bind(path, root + path)
    _set_attributes(root, _ATTR_RDONLY | _ATTR_NOSUID)
    mount("tmpfs", root + scratch.path, "tmpfs", _NOSUID_NODEV, scratch.options())
    _mount_shm(root + scratch.path, root, scratch)
    _mount_proc(root)
    os.chdir(root)
    system_call(_PIVOT_ROOT[platform.machine()], "pivot_root", b".", b".")
    detach(".")
    os.chdir("/")


def read_only_root(scratch: Scratch) -> None:
    """Keep the root, but nothing outside scratch can be changed (Landlock has no right for chmod, utime and xattr)."""
    _own_mounts()
    _set_attributes("/", _ATTR_RDONLY | _ATTR_NOSUID)
    mount("tmpfs", scratch.path, "tmpfs", _NOSUID_NODEV, scratch.options())
    _mount_shm(scratch.path, "", scratch)
    _mount_proc("")


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


def _set_attributes(path: str, attributes: int) -> None:
    """mount_setattr(2) on a whole mount tree."""
    system_call(
        442, f"mount_setattr {path}", -100, path.encode(), 0x8000, struct.pack("QQQQ", attributes, 0, 0, 0), 32
    )


def _mount_shm(scratch_path: str, root: str, scratch: Scratch) -> None:
    """Shared memory files count against the size of scratch."""
    folder = Path(scratch_path) / ".shm"
    folder.mkdir(mode=0o700)
    if scratch.owner_uid is not None:
        os.chown(folder, scratch.owner_uid, scratch.owner_uid)
    mount(str(folder), f"{root}/dev/shm", None, _BIND)


def _mount_proc(root: str) -> None:
    """A /proc of this PID namespace. Not read-only: CUDA writes /proc/self/task/<tid>/comm."""
    mount("proc", f"{root}/proc", "proc", _NOSUID_NODEV_NOEXEC)
    if os.geteuid() != 0:
        return
    for name in _PROC_WRITABLE_BY_ROOT:
        path = f"{root}/proc/{name}"
        if Path(path).exists():
            mount(path, path, None, _BIND)
            _set_attributes(path, _ATTR_RDONLY)
