"""The supervisor of one program: starts it behind its layers, watches it, ends its whole tree, reports how it ended.

It is trusted, runs outside the program's namespaces and learns nothing from the program but its output and exit status.
If its host goes away it kills the tree; if it is killed itself, the fork server or the PID namespace does.

Limits: a process stuck inside a driver cannot be killed by anyone; after 60 s that is reported as the machine's fault.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sandbox.contract import Limits
from sandbox.layers.filesystem import enter_own_root
from sandbox.layers.identity import own_uid
from sandbox.layers.kernel import PR_SET_CHILD_SUBREAPER, prctl
from sandbox.layers.namespaces import enter_namespaces, enter_user_namespace
from sandbox.processes import (
    descendants,
    disk_bytes,
    freeze,
    memory_bytes,
    signal_all,
    threads_of_user,
    threads_on_machine,
)
from sandbox.program import Placement, run_init
from sandbox.tiers import Plan

_POLL_MS = 50
_UNKILLABLE_S = 60.0  # the kernel took over 10 s to reap a fork bomb of 345 on two cores at a load of 290
_SCOPE_END_S = 2.0
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    """What the fork server received for one program."""

    text: dict[str, Any]
    channel: int
    status: int
    shared: tuple[int, ...]
    env: dict[str, str]

    @property
    def limits(self) -> Limits:
        """The limits of this program."""
        return Limits(**self.text["limits"])


@dataclass
class _Output:
    """Head and tail of what a program printed."""

    keep_bytes: int
    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0

    def take(self, piece: bytes) -> None:
        self.total_bytes += len(piece)
        taken = piece[: max(0, self.keep_bytes - len(self.head))]
        self.head += taken
        self.tail = (self.tail + piece[len(taken) :])[-self.keep_bytes :]

    def text(self) -> str:
        dropped = self.total_bytes - len(self.head) - len(self.tail)
        gap = f"\n[... {dropped} bytes not kept ...]\n".encode() if dropped else b""
        return (self.head + gap + self.tail).decode("utf-8", "replace")


@dataclass
class _Watch:
    """What the supervisor knows about its program."""

    plan: Plan
    limits: Limits
    scratch: str
    ignored_inodes: frozenset[int]
    output: _Output
    started_s: float = field(default_factory=time.monotonic)
    killed: str | None = None
    failure: str | None = None
    wait_status: int | None = None
    peak_bytes: int = 0
    next_look_s: float = 0.0
    threads_before: int = field(default_factory=threads_on_machine)

    def is_running(self) -> bool:
        return self.killed is None and self.wait_status is None and self.failure is None

    def remaining_s(self) -> float:
        return self.started_s + self.limits.wall_s - time.monotonic()

    def look(self) -> None:
        """Check the clock, and measure the tree for at most a tenth of a core."""
        if not self.is_running():
            return
        if self.remaining_s() <= 0:
            self.killed = "timeout"
            return
        began_s = time.monotonic()
        if began_s < self.next_look_s and threads_on_machine() - self.threads_before <= self.limits.processes:
            return
        pids = descendants(os.getpid())
        limit_bytes = self.limits.memory_mb << 20
        held_bytes = memory_bytes(pids, limit_bytes, self.ignored_inodes)
        self.peak_bytes = max(self.peak_bytes, held_bytes)
        if held_bytes > limit_bytes:
            self.killed = "memory"
        elif len(pids) > self.limits.processes + 2:  # RLIMIT_NPROC never binds uid 0
            self.killed = "processes"
        elif not self.plan.namespaces and disk_bytes(self.scratch) > self.limits.scratch_mb << 20:
            self.killed = "disk"
        ended_s = time.monotonic()
        self.next_look_s = ended_s + max(_POLL_MS / 1000, 10 * (ended_s - began_s))


def settle(plan: Plan) -> None:
    """What is done once, by the fork server, for all programs to come."""
    if plan.user_namespace:
        enter_user_namespace()
    if plan.own_root:
        enter_own_root(plan.view)


def supervise(request: Request, plan: Plan) -> NoReturn:
    """Run one program to its end and report on the status socket."""
    status = socket.socket(fileno=request.status)
    try:
        report = _supervised(request, plan, status)
    except Exception as error:  # noqa: BLE001 - any failure of ours is reported as the machine's, never as the program's
        report = {"failure": f"the sandbox could not run a program: {type(error).__name__}: {error}"}
    try:
        status.sendall(json.dumps(report).encode())
    except OSError:
        os._exit(1)  # the host has gone
    os._exit(0)


def _scratch_prefix(supervisor: int) -> str:
    return f"agent-sandbox-{supervisor}-"


def clean_up_after(supervisor: int, plan: Plan) -> None:
    """Remove what a supervisor that was killed from outside could not remove itself."""
    for left in Path(plan.scratch_parent).glob(_scratch_prefix(supervisor) + "*"):
        shutil.rmtree(left, ignore_errors=True)


def _supervised(request: Request, plan: Plan, status: socket.socket) -> dict[str, Any]:
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):  # a fork bomb must not starve the one who ends it
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    scratch = tempfile.mkdtemp(prefix=_scratch_prefix(os.getpid()), dir=plan.scratch_parent)
    try:
        return _placed(request, _placement(request, plan, scratch, nice), status)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _placed(request: Request, placement: Placement, status: socket.socket) -> dict[str, Any]:
    plan, limits, scratch = placement.plan, placement.limits, placement.scratch
    output_read, output_write = os.pipe()
    news_read, news_write = os.pipe()
    inodes = frozenset(os.fstat(descriptor).st_ino for descriptor in request.shared)
    watch = _Watch(plan, limits, scratch, inodes, _Output(limits.output_kb * 512))
    if plan.namespaces:
        enter_namespaces(loopback="sockets" in plan.grants)
    init = os.fork()
    if init == 0:
        run_init(placement, (output_write, news_write), (request.channel, *request.shared))
    for descriptor in (output_write, news_write, request.channel, *request.shared):
        os.close(descriptor)
    _watch_until_end(watch, (output_read, news_read), status)
    wall_s = time.monotonic() - watch.started_s
    _end_tree(watch, init)
    _take_rest(watch, output_read)
    return _report(watch, wall_s)


def _placement(request: Request, plan: Plan, scratch: str, nice: int) -> Placement:
    uid = own_uid(os.getpid()) if plan.own_user else None
    if uid is not None and not plan.namespaces:
        os.chown(scratch, uid, uid)
    processes = request.limits.processes
    if uid is None and not plan.namespaces:  # the kernel's count is the user's, on the whole machine
        processes += threads_of_user(os.getuid())
    return Placement(plan, request.limits, request.text["entry"], scratch, request.env, uid, processes, nice)


def _watch_until_end(watch: _Watch, pipes: tuple[int, int], status: socket.socket) -> None:
    output_read, news_read = pipes
    poll = select.poll()
    for descriptor in (output_read, news_read, status.fileno()):
        poll.register(descriptor, select.POLLIN)
    while watch.is_running():
        for descriptor, _ in poll.poll(max(0.0, min(_POLL_MS, watch.remaining_s() * 1000))):
            if descriptor == news_read:
                _take_news(watch, news_read)
            elif descriptor == status.fileno():
                watch.killed = _kill_reason(status)
            elif not _take_output(watch, output_read):
                poll.unregister(output_read)
        watch.look()


def _take_output(watch: _Watch, output_read: int) -> bool:
    piece = os.read(output_read, _CHUNK_BYTES)
    watch.output.take(piece)
    if watch.is_running() and watch.output.total_bytes > watch.limits.output_kill_mb << 20:
        watch.killed = "output"
    return bool(piece)


def _take_news(watch: _Watch, news_read: int) -> None:
    """The end of the program, or the layer that did not take hold; written by trusted code only."""
    text = os.read(news_read, _CHUNK_BYTES)
    news = json.loads(text) if text else {"failure": "the program's init process died"}
    watch.failure = None if "failure" not in news else str(news["failure"])
    watch.wait_status = None if "wait_status" not in news else int(news["wait_status"])


def _kill_reason(status: socket.socket) -> str:
    wishes = status.recv(4096).splitlines()  # one from each thread that wants its end
    return str(json.loads(wishes[0])["kill"]) if wishes else "cancelled"


def _take_rest(watch: _Watch, output_read: int) -> None:
    """What is left in the pipe; every writer is dead, so this ends."""
    while watch.output.total_bytes <= watch.limits.output_kill_mb << 20:
        piece = os.read(output_read, _CHUNK_BYTES)
        if not piece:
            return
        watch.output.take(piece)


def _end_tree(watch: _Watch, init: int) -> None:
    """Kill until the kernel says that no child is left (as subreaper, every orphan is ours)."""
    give_up_s = time.monotonic() + _UNKILLABLE_S
    if watch.plan.namespaces:
        signal_all([init], signal.SIGKILL)  # the kernel kills the whole PID namespace with its first process
    elif watch.plan.ends_by_scope:
        signal_all([init], signal.SIGTERM)
        _await_end_of(init)
    while _has_children():
        targets = descendants(os.getpid(), depth=1) if watch.plan.namespaces else freeze(os.getpid())
        signal_all(targets, signal.SIGKILL)
        if time.monotonic() > give_up_s:
            left = len(descendants(os.getpid()))
            watch.failure = f"{left} processes could not be killed (stuck in a driver?); do not use this device"
            return
        time.sleep(0.0005)


def _await_end_of(init: int) -> None:
    """Init kills its scope and leaves; stopping it meanwhile would leave the work half done."""
    give_up_s = time.monotonic() + _SCOPE_END_S
    while _has_children() and init in descendants(os.getpid(), depth=1) and time.monotonic() < give_up_s:
        time.sleep(0.0005)


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _report(watch: _Watch, wall_s: float) -> dict[str, Any]:
    if watch.failure:
        return {"failure": f"{watch.failure} [{Path(watch.scratch).name}]"}
    code = None if watch.wait_status is None else os.waitstatus_to_exitcode(watch.wait_status)
    return {
        "exit_code": code if code is not None and code >= 0 else None,
        "signal": -code if code is not None and code < 0 else None,
        "killed": watch.killed,
        "output": watch.output.text(),
        "wall_s": wall_s,
        "memory_peak_mb": watch.peak_bytes >> 20,
        "tier": watch.plan.tier.name,
    }
