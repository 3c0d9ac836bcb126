"""Whose rights a program runs with: a user of its own, or nobody's capabilities.

With root's capabilities, CAP_PERFMON passes Landlock's check on /proc/<pid>/environ; so they are always dropped.

Limits: user ids of the range below are assumed to be unused on the machine, as container runtimes assume of theirs.
"""

import os
from pathlib import Path

from sandbox.layers.kernel import capset_empty, drop_bounding_set

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


def become(uid: int) -> None:
    """Change to a user without groups and capabilities. Clears PR_SET_PDEATHSIG: set that afterwards."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_capabilities() -> None:
    """Keep the user, lose every capability and the way back to it."""
    drop_bounding_set()
    capset_empty()
