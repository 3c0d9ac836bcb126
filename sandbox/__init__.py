"""Runs untrusted programs: a fork server, kernel layers, watchdogs, and a channel that carries no pickles.

Limits: knows nothing of kernels, torch or verdicts; Linux only. What each tier leaves open stands in `Tier.residual`.
"""

from sandbox.child import Child
from sandbox.contract import ChildEnded, Limits, Outcome, SandboxUnavailable
from sandbox.memory import map_shared, shared_memory
from sandbox.tiers import Tier
from sandbox.trial import probe
from sandbox.zygote import Zygote

__all__ = [
    "Child",
    "ChildEnded",
    "Limits",
    "Outcome",
    "SandboxUnavailable",
    "Tier",
    "Zygote",
    "map_shared",
    "probe",
    "shared_memory",
]
