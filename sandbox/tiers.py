"""Combinations of layers, their names, and what stays open with them.

    T1  T2 and a root of its own: outside the view, nothing exists for a program
    T2  namespaces, Landlock, seccomp: outside files cannot be read or changed, but their sizes and times can be seen
    T3  Landlock, and not all of the others; what that leaves open is named in `residual`
    T4  no Landlock, but namespaces or a user of its own: file permissions and mounts protect what they protect
    T5  none of them, or uid 0 without namespaces (a fork bomb could take the machine down); refused unless the caller
        says "unsafe"

Limits: values only; which combination a machine gives is found in trial.py. The ioctls of GPU drivers are let through
in every tier.
"""

from dataclasses import dataclass
from typing import Literal

from sandbox.layers.filesystem import OWN_SCRATCH_PARENT
from sandbox.layers.identity import CAP_PERFMON, holds
from sandbox.view import View

Strictness = Literal["auto", "strict", "unsafe"]
Grant = Literal["sockets", "children", "tmp", "tracing", "counters"]
GRANTS: dict[Grant, str] = {
    "sockets": "its processes connect to each other by sockets, named pipes and a loopback of their own",
    "children": "programs that it starts may use CUDA too, which writes thread names into a /proc of its own",
    "tmp": "a writable /tmp of its own",
    "tracing": "its processes may trace each other",
    "counters": "CAP_PERFMON, where the owner of the fork server has it: performance counters",
}


@dataclass(frozen=True)
class Tier:
    """A level of protection: its layers, and in words what it leaves open."""

    name: str
    layers: tuple[str, ...]
    residual: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What the fork server does for every program; chosen once, enforced each time or the program does not run."""

    view: View
    namespaces: bool = False
    user_namespace: bool = False
    own_root: bool = False
    own_proc: bool = False  # containers that mask parts of /proc forbid to mount a new one
    own_user: bool = False
    landlock_abi: int = 0
    seccomp: bool = False
    kept_capability: int | None = None  # to read an interpreter that lies below a closed home
    is_root: bool = False
    grants: frozenset[Grant] = frozenset()  # what a profiler needs beyond a kernel; never given without own root

    @property
    def capabilities(self) -> tuple[int, ...]:
        """What its programs keep of root's rights."""
        kept = [] if self.kept_capability is None else [self.kept_capability]
        # with it, environ of every process that /proc shows can be read
        if "counters" in self.grants and self.own_proc and holds(CAP_PERFMON):
            kept.append(CAP_PERFMON)
        return tuple(kept)

    @property
    def scratch_parent(self) -> str:
        """Where every program gets a directory of its own."""
        return OWN_SCRATCH_PARENT if self.own_root else "/tmp"  # noqa: S108 - the name below it is unpredictable

    @property
    def own_tmp(self) -> bool:
        """Whether /tmp is a part of its scratch; elsewhere its scratch lies in /tmp."""
        return "tmp" in self.grants and self.own_root

    @property
    def ends_by_scope(self) -> bool:
        """Whether a whole tree is ended through Landlock's signal scope, since there is no PID namespace to end."""
        return not self.namespaces and self.landlock_abi >= 6

    @property
    def tier(self) -> Tier:
        """The name of this combination."""
        return Tier(self._name(), self._layers(), self._residual())

    @property
    def can_change_metadata(self) -> bool:
        """Whether modes, times or attributes of outside files are within its rights and on writable mounts."""
        return not self.namespaces and (not self.own_user or self.kept_capability is not None)

    @property
    def can_exhaust_processes(self) -> bool:
        """RLIMIT_NPROC does not bind uid 0; without a PID namespace nothing ends all of a fork bomb at once."""
        return self.is_root and not self.own_user and not self.namespaces

    def _name(self) -> str:
        if self.can_exhaust_processes:
            return "T5"
        if self.landlock_abi and self.namespaces and self.seccomp:
            return "T1" if self.own_root else "T2"
        if self.landlock_abi:
            return "T3"
        return "T4" if self.namespaces or self.own_user else "T5"

    def _layers(self) -> tuple[str, ...]:
        present = {
            "pid, network, ipc, uts and mount namespaces": self.namespaces,
            "user namespace": self.user_namespace,
            "own root": self.own_root,
            "read-only mounts": self.namespaces,
            "size-capped scratch": self.namespaces,
            f"landlock (abi {self.landlock_abi})": self.landlock_abi > 0,
            "seccomp": self.seccomp,
            "own user": self.own_user,
            "no capabilities": (self.is_root or self.user_namespace) and self.kept_capability is None,
            "no capabilities but to read": self.kept_capability is not None,
            "no_new_privs, rlimits, watchdogs": True,
        }
        granted = (f"granted: {what}" for name, what in GRANTS.items() if name in self.grants)
        return (*(name for name, is_present in present.items() if is_present), *granted)

    def _residual(self) -> tuple[str, ...]:
        shares_user = not self.own_user and not self.namespaces
        is_uncounted = self.is_root and not self.own_user
        left = {
            "the kernel itself and the GPU driver's ioctls": True,
            "sizes and times of files outside can be seen": not self.own_root,
            "process ids and command lines of others can be seen": not self.own_proc,
            "the number of files in scratch is not capped": not self.namespaces,
            "a fork bomb is bounded by the supervisor's count only": is_uncounted,
            "the network is closed by system call filter only": not self.namespaces and self.seccomp,
            "the network is open": not self.namespaces and not self.seccomp,
            "rarely used system calls are not filtered": not self.seccomp,
            "whatever file permissions allow can be read": not self.landlock_abi and not self.own_root,
            "modes and times of the user's own files can be changed": self.can_change_metadata and not self.seccomp,
            "processes of the same user can be signalled": shares_user and not self.seccomp and self.landlock_abi < 6,
        }
        return tuple(text for text, is_left in left.items() if is_left)
