"""Whose rights a program runs with: a user of its own, or nobody's capabilities.

With root's capabilities, CAP_PERFMON passes Landlock's check on /proc/<pid>/environ; so they are always dropped.

A user of its own also makes RLIMIT_NPROC bind: without it (uid 0) a fork bomb is bounded by nothing in the kernel.

Limits: user ids of the range below are assumed to be unused on the machine, as container runtimes assume of theirs.
"""

import os
from collections.abc import Collection
from pathlib import Path

from sandbox.layers.kernel import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_RAISE,
    PR_SET_KEEPCAPS,
    narrow_bounding_set,
    prctl,
    set_capabilities,
)

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
CAP_PERFMON = 38
_HIGH_RANGE = (0x5A000000, 1 << 22)  # far above the ranges of people, services and /etc/subuid
_LOW_RANGE = (20001, 1 << 14)  # a container with its own user namespace maps 65536 ids only


def own_uid(supervisor_pid: int) -> int:
    """A user id that no other running program has."""
    first, count = _HIGH_RANGE if _is_mapped(_HIGH_RANGE) else _LOW_RANGE
    return first + supervisor_pid % count


def _is_mapped(wanted: tuple[int, int]) -> bool:
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [tuple(map(int, line.split())) for line in lines]
    return any(start <= wanted[0] and wanted[0] + wanted[1] <= start + count for start, _, count in ranges)


def capability_to_read() -> int | None:
    """What lets a user of its own read an interpreter below a closed home; Docker grants the second only."""
    return next((bit for bit in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if holds(bit)), None)


def holds(capability: int) -> bool:
    """Whether this process has a capability."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(effective >> capability & 1)


def become(uid: int, *, kept: Collection[int]) -> None:
    """Change to a user without groups and with these capabilities only, which its subprocesses keep.

    Clears PR_SET_PDEATHSIG: set that afterwards.
    """
    narrow_bounding_set(kept)
    if kept:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    set_capabilities(kept)
    for capability in kept:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def drop_capabilities(kept: Collection[int] = ()) -> None:
    """Keep the user, lose all other capabilities and the way back to them."""
    narrow_bounding_set(kept)
    set_capabilities(kept)
