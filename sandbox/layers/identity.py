"""Whose rights a program runs with: a user of its own, or nobody's capabilities.

With root's capabilities, CAP_PERFMON passes Landlock's check on /proc/<pid>/environ; so they are always dropped.

Limits: user ids of the range below are assumed to be unused on the machine, as container runtimes assume of theirs.
"""

import os

from sandbox.layers.kernel import capset_empty, drop_bounding_set

_FIRST_UID = 0x5A000000  # far above the ranges of people, services and /etc/subuid
_UIDS = 1 << 22


def own_uid(supervisor_pid: int) -> int:
    """A user id that no other running program has."""
    return _FIRST_UID + supervisor_pid % _UIDS


def become(uid: int) -> None:
    """Change to a user without groups and capabilities. Clears PR_SET_PDEATHSIG: set that afterwards."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_capabilities() -> None:
    """Keep the user, lose every capability and the way back to it."""
    drop_bounding_set()
    capset_empty()
