"""Landlock: which files may be read, executed and written, no TCP, no signals and abstract sockets beyond the program.

Tied to the kernel's own version answer. The rule for /proc/self/task lets CUDA name its threads: drivers since 570 fail
with error 304 when that write is refused.

Limits: no right covers chmod, utime, xattr and stat; read-only mounts or a user of its own do. A missing path is
skipped, since distributions differ; that the rule set is in force is asserted by the kernel call itself.
"""

import os
import stat
import struct
from dataclasses import dataclass

from sandbox.layers.kernel import system_call

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNAL = 1, 2
_TCP = 3  # bind and connect
_ALL_OF_ABI_1 = (1 << 13) - 1
_READ_ALL = _EXECUTE | _READ_FILE | _READ_DIR


@dataclass(frozen=True)
class Access:
    """Paths by right."""

    readable: tuple[str, ...]
    listable: tuple[str, ...]
    devices: tuple[str, ...]
    writable: tuple[str, ...]
    sockets: bool = False  # named ones and named pipes in writable directories, and TCP
    children: bool = False  # programs it starts may name their threads too; needs a /proc of its own


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    try:
        return system_call(_CREATE, "landlock version", 0, 0, 1)
    except OSError:
        return 0


def restrict(access: Access, abi: int) -> None:
    """Restrict this process and all its children for good."""
    handled = _ALL_OF_ABI_1 | (abi >= 2) * _REFER | (abi >= 3) * _TRUNCATE | (abi >= 5) * _IOCTL_DEV
    of_files = _EXECUTE | _WRITE_FILE | _READ_FILE | handled & (_TRUNCATE | _IOCTL_DEV)
    named = 0 if access.sockets else _MAKE_SOCK | _MAKE_FIFO
    no_nodes = ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV | named)
    ruleset = _create(handled, abi, network=0 if access.sockets or abi < 4 else _TCP)
    for paths, rights in (
        (access.readable, _READ_ALL),
        (access.listable, _READ_DIR),
        (access.devices, of_files & ~_EXECUTE | _READ_DIR),
        (access.writable, handled & no_nodes),
    ):
        for path in paths:
            _allow(ruleset, path, rights, of_files)
    _allow_naming_threads(ruleset, handled, "/proc" if access.children else "/proc/self/task")
    system_call(_RESTRICT, "landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def scope_signals() -> None:
    """This process and its children can signal each other only; needs no_new_privs and ABI 6.

    Programs restrict themselves further inside, so they cannot signal the process that called this. Every rule set
    denies moving files between directories unless it says otherwise, so this one says so.
    """
    attributes = struct.pack("QQQ", _REFER, 0, _SCOPE_SIGNAL)
    ruleset = system_call(_CREATE, "landlock signal scope", attributes, len(attributes), 0)
    _allow(ruleset, "/", _REFER, 0)
    system_call(_RESTRICT, "landlock signal scope", ruleset, 0)
    os.close(ruleset)


def _create(handled: int, abi: int, network: int) -> int:
    scoped = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNAL if abi >= 6 else 0
    size_bytes = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = struct.pack("QQQ", handled, network, scoped)
    return system_call(_CREATE, "landlock_create_ruleset", attributes, size_bytes, 0)


def _allow(ruleset: int, path: str, rights: int, of_files: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    granted = rights if is_folder else rights & of_files
    system_call(_ADD_RULE, f"landlock rule for {path}", ruleset, 1, struct.pack("=Qi", granted, descriptor), 0)
    os.close(descriptor)


def _allow_naming_threads(ruleset: int, handled: int, folder: str) -> None:
    """The descriptor stays open: it pins the procfs inode that the rule is tied to."""
    descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    rights = _WRITE_FILE | _READ_FILE | _READ_DIR | handled & _TRUNCATE
    system_call(_ADD_RULE, "landlock rule for tasks", ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
