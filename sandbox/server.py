"""The fork server's process: import once, then fork a supervisor, or a server like this one, for each request.

It never runs code of a program and never initialises CUDA. It exits when its owner closes the control socket. As a
child subreaper it kills what a supervisor that was itself killed may have left behind.

Limits: one request at a time; a fork takes a few milliseconds.
"""

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from sandbox.contract import SandboxUnavailable
from sandbox.layers.kernel import PR_SET_CHILD_SUBREAPER, prctl
from sandbox.processes import descendants, freeze, signal_all
from sandbox.supervisor import Request, clean_up_after, settle, supervise
from sandbox.tiers import Plan
from sandbox.trial import choose

_MAX_DESCRIPTORS = 250  # the kernel's bound for one message is 253
_SWEEP_MS = 1000


def main(options: dict[str, Any]) -> NoReturn:
    """Choose the layers, preload, say so, serve."""
    _begin(socket.socket(fileno=options["control"]), options)


def _begin(control: socket.socket, options: dict[str, Any], plan: Plan | None = None) -> NoReturn:
    """`plan`: of a branch, which lives behind the layers already chosen."""
    try:
        with _ended_with_its_owner(control):
            plan = plan or _settled(options)
            with _somewhere_to_write(plan):
                _preload(options["preload"])
    except SandboxUnavailable as refusal:
        control.send(json.dumps({"failure": str(refusal)}).encode())
        os._exit(1)
    control.send(json.dumps({"tier": asdict(plan.tier), "pid": os.getpid()}).encode())
    _serve(control, plan, options)


@contextmanager
def _ended_with_its_owner(control: socket.socket) -> Iterator[None]:
    """While the imports run (seconds, in C), let the kernel end this process when its owner closes the control socket.

    Nothing else happens on the socket before the greeting. PR_SET_PDEATHSIG would not do: it follows the thread that
    started this process, and that thread may end first.
    """
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([control], [], [], 0)[0]:  # closed before there was a signal for it
        os._exit(1)
    try:
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)


def _settled(options: dict[str, Any]) -> Plan:
    plan = choose(options)
    settle(plan)
    return plan


@contextmanager
def _somewhere_to_write(plan: Plan) -> Iterator[None]:
    """Temporary files of what is preloaded, a compiler's among them; programs have their own place."""
    with tempfile.TemporaryDirectory(dir=plan.scratch_parent) as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield
    tempfile.tempdir = None
    del os.environ["TMPDIR"]


def _preload(names: list[str]) -> None:
    gc.disable()  # imports leave little garbage: passes over their heap took 0.25 of 1.9 s for torch and triton
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # any module may be preloaded - whatever its import raises is the reason
            raise SandboxUnavailable(f"preloading {name} failed: {type(error).__name__}: {error}") from error
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise SandboxUnavailable(f"preloading {names} left {threads} threads; forking is not safe")
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()  # the preloaded heap stays shared between the forks
    gc.enable()


def _serve(control: socket.socket, plan: Plan, options: dict[str, Any]) -> NoReturn:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children: set[int] = set()
    while True:
        if poll.poll(_SWEEP_MS if children else None):
            text, descriptors, _, _ = socket.recv_fds(control, 1 << 20, _MAX_DESCRIPTORS)
            if not text:
                os._exit(0)
            request = json.loads(text)
            fork = _fork_branch if "branch" in request else _fork_supervisor
            children.add(fork(control, plan, options, (request, descriptors)))
        ended = _reap()
        children -= set(ended)
        if strays := [pid for pid in descendants(os.getpid(), depth=1) if pid not in children]:
            _kill_strays(strays)
        for pid in (pid for pid, status in ended.items() if status != 0):
            clean_up_after(pid, plan)


def _fork_branch(
    control: socket.socket, plan: Plan, options: dict[str, Any], message: tuple[dict[str, Any], list[int]]
) -> int:
    """Another server with this one's modules and layers, and a control socket of its own."""
    request, descriptors = message
    added = request["branch"]
    pid = os.fork()
    if pid == 0:
        control.close()
        os.setsid()
        os.environ.update(added["env"])
        _begin(socket.socket(fileno=descriptors[0]), options | added | {"env": options["env"] | added["env"]}, plan)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _fork_supervisor(
    control: socket.socket, plan: Plan, options: dict[str, Any], message: tuple[dict[str, Any], list[int]]
) -> int:
    request, descriptors = message
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        control.close()
        channel, status, *shared = descriptors
        supervise(Request(request, channel, status, tuple(shared), options["env"]), plan)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _reap() -> dict[int, int]:
    """The children that have ended, with their wait statuses."""
    ended: dict[int, int] = {}
    try:
        while (waited := os.waitpid(-1, os.WNOHANG))[0] != 0:
            ended[waited[0]] = waited[1]
    except ChildProcessError:
        pass
    return ended


def _kill_strays(strays: list[int]) -> None:
    """A supervisor was killed from outside: its orphans are ours now."""
    for pid in strays:
        signal_all([*freeze(pid), pid], signal.SIGKILL)
