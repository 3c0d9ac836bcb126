"""Finds the strongest combination of layers that works here, by running a trial program behind each.

"strict" refuses below T2, "auto" below T4. The trial program checks that the interpreter and the packages can still be
used, and that what must be denied is denied: a layer that can be switched on and does nothing would be worse than none.
A layer that held in the trial and fails later ends the program before it began.

Limits: shows that the layers hold against the checks below, not that the kernel under them is free of errors.
"""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from sandbox.child import Child
from sandbox.contract import Limits, SandboxUnavailable
from sandbox.frames import Channel
from sandbox.layers import identity, landlock, seccomp
from sandbox.supervisor import Request, settle, supervise
from sandbox.tiers import Grant, Plan, Strictness, Tier
from sandbox.view import compute_view

_WEAKEST: dict[str, tuple[str, ...]] = {
    "strict": ("T1", "T2"),
    "auto": ("T1", "T2", "T3", "T4"),
    "unsafe": ("T1", "T2", "T3", "T4", "T5"),
}
_LIMITS = Limits(wall_s=20.0, scratch_mb=16, processes=64)


def choose(options: dict[str, Any]) -> Plan:
    """The strongest plan whose trial passes; SandboxUnavailable if it is weaker than asked for.

    `options`: what the fork server was given. Grants are added after the trial, to a plan with a root of its own only.
    """
    import_path, without = tuple(options["import_path"]), frozenset(options["without"])
    strictness: Strictness = options["strictness"]
    first = Plan(
        compute_view(import_path),
        landlock_abi=0 if "landlock" in without else landlock.version(),
        seccomp="seccomp" not in without and seccomp.is_supported(),
        is_root=os.geteuid() == 0,
    )
    problems: list[str] = []
    for plan in _from_strongest(first, without):
        problem = _problem_with(plan, import_path)
        if problem is None:
            return _granting(_accepted(plan, strictness, problems), frozenset(options["grants"]), strictness)
        problems.append(problem)
    raise SandboxUnavailable(f"no layer of the sandbox works on this machine: {'; '.join(dict.fromkeys(problems))}")


def _accepted(plan: Plan, strictness: Strictness, problems: list[str]) -> Plan:
    if plan.tier.name in _WEAKEST[strictness]:
        return plan
    why = "; ".join(dict.fromkeys(problems)) or "layers were switched off"
    raise SandboxUnavailable(f"the sandbox reaches tier {plan.tier.name} only, '{strictness}' refuses that: {why}")


def _granting(plan: Plan, grants: frozenset[Grant], strictness: Strictness) -> Plan:
    if grants and not (plan.namespaces and plan.own_root) and strictness != "unsafe":
        raise SandboxUnavailable(f"{', '.join(sorted(grants))}: granted only behind namespaces and a root of its own")
    return replace(plan, grants=grants)


def _from_strongest(first: Plan, without: frozenset[str]) -> Iterator[Plan]:
    """Combinations in order of strength; those with a layer that was switched off are left out."""
    for filtered in (first, replace(first, seccomp=False), replace(first, seccomp=False, landlock_abi=0)):
        for placed in _placements(filtered):
            used = {
                "namespaces": placed.namespaces,
                "user_namespace": placed.user_namespace,
                "own_root": placed.own_root,
                "own_user": placed.own_user,
            }
            if not any(used.get(name) for name in without):
                yield placed


def _placements(base: Plan) -> Iterator[Plan]:
    isolated = replace(base, namespaces=True)
    for own_root, own_proc in ((True, True), (True, False), (False, True), (False, False)):
        placed = replace(isolated, own_root=own_root, own_proc=own_proc)
        yield from _identities(placed) if base.is_root else [replace(placed, user_namespace=True)]
    yield from _identities(base) if base.is_root else [base]


def _identities(placed: Plan) -> Iterator[Plan]:
    """As root: a user of its own; one that may read past file modes, held back by Landlock; uid 0 without rights."""
    yield replace(placed, own_user=True)
    capability = identity.capability_to_read()
    if placed.landlock_abi and capability is not None:
        yield replace(placed, own_user=True, kept_capability=capability)
    yield placed


def _problem_with(plan: Plan, import_path: tuple[str, ...]) -> str | None:
    """Run the trial program behind this plan; None if all is well, else what failed."""
    with tempfile.NamedTemporaryFile(prefix="agent-sandbox-canary-") as canary:
        Path(canary.name).chmod(0o644)
        expected = {
            "canary": canary.name,
            "hides_files": plan.own_root or plan.landlock_abi > 0,
            "filters": plan.seccomp,
            "own_processes": plan.namespaces,
            "readable": [sys.executable, *(entry for entry in import_path if Path(entry).exists())],
        }
        try:
            return _run(plan, expected)
        except SandboxUnavailable as failure:
            return str(failure)


def _run(plan: Plan, expected: dict[str, Any]) -> str | None:
    channel, their_channel = socket.socketpair()
    status, their_status = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        channel.close()
        status.close()
        _supervise(plan, their_channel.detach(), their_status.detach())
    their_channel.close()
    their_status.close()
    with Child(channel, status, _LIMITS) as child:
        child.send(expected)
        outcome = child.finish()
    os.waitpid(pid, 0)
    if outcome.exit_code == 0:
        return None
    return outcome.output.strip().splitlines()[-1] if outcome.output.strip() else outcome.describe()


def _supervise(plan: Plan, channel: int, status: int) -> NoReturn:
    try:
        settle(plan)
    except BaseException as error:  # noqa: BLE001 - a forked copy of the server must not run on as a second server
        os.write(status, json.dumps({"failure": str(error)}).encode())
        os._exit(0)
    text = {"entry": "sandbox.trial:trial_program", "limits": asdict(_LIMITS)}
    supervise(Request(text, channel, status, (), {}), plan)


def trial_program(channel: Channel, expected: dict[str, Any], shared: tuple[int, ...]) -> None:
    """Runs inside: exits with a reason if something needed is denied or something denied is open."""
    for path in expected["readable"]:
        if not _opens(path):  # access(2) would ignore a kept capability
            sys.exit(f"{path} cannot be read by a program's user")
    Path("written").write_text("scratch is writable")
    if expected["hides_files"] and _opens(expected["canary"]):
        sys.exit("a file outside can be read")
    if expected["filters"] and _has_network_sockets():
        sys.exit("the system call filter does not hold")
    if expected["own_processes"] and os.getppid() != 1:
        sys.exit("the process namespace does not hold")


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _has_network_sockets() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except PermissionError:
        return False
    return True


def probe() -> Tier:
    """What this machine gives a program, for `agent doctor`."""
    from sandbox.zygote import Zygote

    with Zygote(preload=(), strictness="unsafe") as zygote:
        return zygote.tier
