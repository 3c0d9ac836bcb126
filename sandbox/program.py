"""The two innermost processes: init (trusted, reaps and reports) and the program itself behind every layer.

Limits: the program's exit status is all that leaves here besides its output and its channel.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sandbox.contract import Limits
from sandbox.environment import program_environment
from sandbox.frames import Channel
from sandbox.layers import identity, landlock, limits, seccomp
from sandbox.layers.filesystem import Scratch, enter_scratch
from sandbox.layers.kernel import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl
from sandbox.tiers import Plan

_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True)
class Placement:
    """Where and how one program runs."""

    plan: Plan
    limits: Limits
    entry: str
    scratch: str
    env: dict[str, str]
    uid: int | None = None
    processes: int = 512
    nice: int = 0


def run_init(placement: Placement, pipes: tuple[int, int], given: tuple[int, ...]) -> NoReturn:
    """Fork the program, wait for it, report its wait status. `given`: the channel, then the shared descriptors."""
    output_write, news_write = pipes
    try:
        _arrange_own_end(placement.plan)
        Path("/proc/self/oom_score_adj").write_text("900")  # raising it needs no privilege
        if placement.plan.namespaces:
            scratch = Scratch(placement.scratch, placement.limits.scratch_mb, placement.uid)
            enter_scratch(scratch, own_proc=placement.plan.own_proc, own_tmp=placement.plan.own_tmp)
        pid = os.fork()
        if pid == 0:
            _run_program(placement, output_write, news_write, given)
        for descriptor in (output_write, *given):
            os.close(descriptor)
        while (waited := os.wait())[0] != pid:
            pass
        if placement.plan.ends_by_scope:
            _end_scope()
        news: dict[str, object] = {"wait_status": waited[1]}
    except BaseException as error:  # noqa: BLE001 - trusted code; its failure is the machine's and must be reported
        news = {"failure": f"the sandbox's init failed: {type(error).__name__}: {error}"}
    os.write(news_write, json.dumps(news).encode())
    os._exit(0)


def _arrange_own_end(plan: Plan) -> None:
    """If the supervisor dies, or asks by SIGTERM where no PID namespace does it, everything below ends."""
    if not plan.ends_by_scope:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.scope_signals()
    signal.signal(signal.SIGTERM, lambda number, frame: _end_scope_and_leave())
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_scope_and_leave() -> NoReturn:
    _end_scope()
    os._exit(0)


def _end_scope() -> None:
    """Kill everything in this Landlock scope in one call that no fork can outrun; 0.4 ms for 300 processes."""
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:  # the proof that we are scoped; otherwise -1 would mean every process of the user
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)


def _run_program(placement: Placement, output_write: int, news_write: int, given: tuple[int, ...]) -> NoReturn:
    """Put on the layers, then run the entry; a layer that does not take hold ends the program before it began."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpriority(os.PRIO_PROCESS, 0, placement.nice)
        channel, shared, news = _arrange_descriptors(output_write, news_write, given)
        _confine(placement)
    except BaseException as error:  # noqa: BLE001 - trusted code; no program may run behind half of the layers
        failure = {"failure": f"a layer of the sandbox failed: {type(error).__name__}: {error}"}
        os.write(news_write, json.dumps(failure).encode())
        os._exit(1)
    os.close(news)
    _call_entry(placement.entry, channel, shared)


def _arrange_descriptors(
    output_write: int, news_write: int, given: tuple[int, ...]
) -> tuple[int, tuple[int, ...], int]:
    """Standard streams, then the channel, the shared descriptors and (until the layers are on) the news pipe."""
    wanted = [os.open(os.devnull, os.O_RDONLY), output_write, output_write, *given, news_write]
    high = 1 << 9  # above every number in use, so that no source is overwritten before it is moved
    for offset, descriptor in enumerate(wanted):
        os.dup2(descriptor, high + offset, inheritable=False)
    for target in range(len(wanted)):
        os.dup2(high + target, target, inheritable=True)
    os.closerange(len(wanted), 1 << 16)
    channel, *shared = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + len(given))
    os.set_inheritable(channel, False)
    return channel, tuple(shared), len(wanted) - 1


def _confine(placement: Placement) -> None:
    """Every layer of the plan, in the one order that works."""
    plan = placement.plan
    limits.apply(placement.limits, placement.processes)
    if placement.uid is not None:
        identity.become(placement.uid, kept=plan.capabilities)
    elif os.geteuid() == 0 or plan.user_namespace:
        identity.drop_capabilities(plan.capabilities)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    os.setsid()
    os.chdir(placement.scratch)
    environment = program_environment(placement.scratch, placement.env)  # keeps some of what is cleared next
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = placement.scratch  # the fork server may have settled on another
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if plan.landlock_abi:
        landlock.restrict(_access(placement), plan.landlock_abi)
    if plan.seccomp:
        seccomp.restrict(_reach(placement))


def _access(placement: Placement) -> landlock.Access:
    plan, view = placement.plan, placement.plan.view
    shm = ("/dev/shm",) if plan.namespaces else ()  # noqa: S108 - a private mount there
    readable = (*(path for path, _ in view.readable), "/proc")
    devices = tuple(path for path, _ in view.devices)
    tmp = ("/tmp",) if plan.own_tmp else ()  # noqa: S108 - as above
    writable = (placement.scratch, *shm, *tmp)
    return landlock.Access(
        readable,
        view.listable,
        devices,
        writable,
        sockets="sockets" in plan.grants,
        children="children" in plan.grants and plan.own_proc,
    )


def _reach(placement: Placement) -> seccomp.Reach:
    plan = placement.plan
    return seccomp.Reach(
        has_pid_namespace=plan.namespaces,
        has_ipc_namespace=plan.namespaces,
        scopes_signals=plan.landlock_abi >= 6,
        shares_user=plan.can_change_metadata,
        connects="sockets" in plan.grants,
        traces="tracing" in plan.grants,
    )


def _call_entry(entry: str, channel: int, shared: tuple[int, ...]) -> NoReturn:
    code = 1
    sys.argv = [entry]
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - the descriptor outlives the object
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the descriptor outlives the object
    try:
        link = Channel(socket.socket(fileno=channel))
        arguments, _ = link.receive()
        module, function = entry.split(":")
        getattr(importlib.import_module(module), function)(link, arguments, shared)
        code = 0
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
    except BaseException:  # noqa: BLE001 - untrusted code runs here; its traceback is its output
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code & 255)


def _exit_code(code: object) -> int:
    """As the interpreter does it: a text is printed and means failure."""
    if code is None or isinstance(code, int):
        return int(code or 0)
    with contextlib.suppress(Exception):  # untrusted code may have replaced the stream with anything
        print(code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - untrusted code may have replaced the stream with anything
            continue
