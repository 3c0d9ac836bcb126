"""A system call filter (x86_64): deny what no kernel build or launch needs and what reaches beyond the program.

Not denied, because cuInit fails with error 304 otherwise: memfd_create, and socket, bind and listen of AF_UNIX.
clone3 answers ENOSYS so that libc falls back to clone, whose flags a filter can see.

Limits: x86_64 only; on other machines the tier says that this layer is missing. A deny-list: a call that a future
kernel adds is let through.
"""

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

from sandbox.layers.kernel import install_filter, system_call

_ARCHITECTURE = 0xC000003E
_X32_BIT = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _EPERM, _ENOSYS, _NO_EFFECT, _KILL = 0x7FFF0000, 0x50001, 0x50026, 0x50000, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4

# fmt: off
_DENIED = {
    "syslog": 103, "uselib": 134, "vhangup": 153, "modify_ldt": 154, "pivot_root": 155,
    "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167,
    "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "init_module": 175, "delete_module": 176, "quotactl": 179, "nfsservctl": 180, "lookup_dcookie": 212,
    "clock_settime": 227, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
    "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447,
    "process_mrelease": 448, "open_tree_attr": 467,
}
# What reaches another process of the program itself; a profiler needs it.
_CONNECTING = {"connect": 42, "accept": 43, "accept4": 288}
_TRACING = {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312}
# Objects that outlive the program unless it has an IPC namespace.
_OUTLIVING = {"shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240}
# What reaches other processes of the same user where no PID namespace hides them.
_SIGNALS = {"tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424}
_SIGNALS_OF_PROCESS = {"kill": 62, "tgkill": 234}
_TOUCHING_OTHERS = {"ioprio_set": 251, "move_pages": 279}
_TOUCHING_FIRST_ARGUMENT = {
    "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203, "migrate_pages": 256,
    "prlimit64": 302, "sched_setattr": 314,
}
_TOUCHING_SECOND_ARGUMENT = {"setpriority": 141}
# What Landlock has no right for, on files of the same user. Answered with success and without effect: a refusal would
# break shutil.copy and linkers, which set modes that nothing here depends on.
_METADATA = {
    "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "utime": 132, "setxattr": 188, "lsetxattr": 189,
    "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utimes": 235, "fchownat": 260,
    "futimesat": 261, "fchmodat": 268, "utimensat": 280, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}
# fmt: on
_CLONE, _CLONE3, _IOCTL, _SOCKET, _SOCKETPAIR, _PRCTL = 56, 435, 16, 41, 53, 157
_SECCOMP, _SPEC_ALLOW = 317, 4
_CLONE_NEW_ANY = 0x7E020000
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PR_SET_DUMPABLE = 4  # would hide memory from the supervisor's watchdog
_UNIX_STREAM, _UNIX_SEQPACKET = 1, 5
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class Reach:
    """What the other layers leave to this one."""

    has_pid_namespace: bool
    has_ipc_namespace: bool
    scopes_signals: bool
    shares_user: bool
    connects: bool = False
    traces: bool = False


def is_supported() -> bool:
    """Whether the numbers above are this machine's."""
    return platform.machine() == "x86_64"


def restrict(reach: Reach) -> None:
    """Filter this process and all its children for good; needs no_new_privs."""
    program = _program(reach)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    try:  # without SPEC_ALLOW, kernels before 5.16 slow the whole process down with SSBD
        system_call(_SECCOMP, "seccomp", 1, _SPEC_ALLOW, ctypes.addressof(header))
    except OSError:  # gVisor knows no such flag
        install_filter(ctypes.addressof(header))


def _program(reach: Reach) -> list[Instruction]:
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_EQUAL, 1, 0, _ARCHITECTURE),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _ENOSYS),
        *_answer(_CLONE3, _ENOSYS),
        *(step for number in _numbers(reach) for step in _answer(number, _EPERM)),
        *(step for number in _METADATA.values() if reach.shares_user for step in _answer(number, _NO_EFFECT)),
        *_argument_rules(reach),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _numbers(reach: Reach) -> list[int]:
    groups = [_DENIED, *([] if reach.connects else [_CONNECTING]), *([] if reach.traces else [_TRACING])]
    if not reach.has_ipc_namespace:
        groups.append(_OUTLIVING)
    if not reach.has_pid_namespace:
        groups.append(_TOUCHING_OTHERS)
        if not reach.scopes_signals:
            groups.append(_SIGNALS)
    return [number for group in groups for number in group.values()]


def _argument_rules(reach: Reach) -> list[Instruction]:
    steps = [
        *_answer_if_any_bit(_CLONE, 0, _CLONE_NEW_ANY),
        *_answer_if_equal(_IOCTL, 1, _TERMINAL_INJECTION),
        *_answer_if_equal(_PRCTL, 0, (_PR_SET_DUMPABLE,)),
        *(_only_local_families(_SOCKET) if reach.connects else _only_unix_streams(_SOCKET)),
        *_only_unix_streams(_SOCKETPAIR),
    ]
    if reach.has_pid_namespace:
        return steps
    for number in _TOUCHING_FIRST_ARGUMENT.values():
        steps += _answer_unless_equal(number, 0, 0)
    for number in _TOUCHING_SECOND_ARGUMENT.values():
        steps += _answer_unless_equal(number, 1, 0)
    if not reach.scopes_signals:
        for number in _SIGNALS_OF_PROCESS.values():
            steps += _answer_unless_equal(number, 0, os.getpid())
    return steps


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * index)


def _answer(number: int, result: int) -> list[Instruction]:
    return [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, result)]


def _for_call(number: int, body: list[Instruction]) -> list[Instruction]:
    """Run `body` for one call; it falls through to reloading the number."""
    whole = [*body, (_LOAD, 0, 0, _NUMBER_OFFSET)]
    return [(_EQUAL, 0, len(whole), number), *whole]


def _answer_if_any_bit(number: int, index: int, bits: int) -> list[Instruction]:
    return _for_call(number, [_argument(index), (_ANY_BIT, 0, 1, bits), (_RETURN, 0, 0, _EPERM)])


def _answer_if_equal(number: int, index: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [step for value in values for step in _answer(value, _EPERM)]
    return _for_call(number, [_argument(index), *tests])


def _answer_unless_equal(number: int, index: int, value: int) -> list[Instruction]:
    return _for_call(number, [_argument(index), (_EQUAL, 1, 0, value), (_RETURN, 0, 0, _EPERM)])


def _only_local_families(number: int) -> list[Instruction]:
    """No vsock, netlink or packet sockets; where the internet families lead is the network namespace's."""
    families = (_AF_UNIX, _AF_INET, _AF_INET6)
    tests = [(_EQUAL, len(families) - at, 0, family) for at, family in enumerate(families)]
    return _for_call(number, [_argument(0), *tests, (_RETURN, 0, 0, _EPERM)])


def _only_unix_streams(number: int) -> list[Instruction]:
    """A datagram socket could send to any named socket, whatever `connect` says."""
    body: list[Instruction] = [
        _argument(0),
        (_EQUAL, 0, 4, _AF_UNIX),
        _argument(1),
        (_AND, 0, 0, 0xF),
        (_EQUAL, 2, 0, _UNIX_STREAM),
        (_EQUAL, 1, 0, _UNIX_SEQPACKET),
        (_RETURN, 0, 0, _EPERM),
    ]
    return _for_call(number, body)
