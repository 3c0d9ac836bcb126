"""The fork server as its owner sees it: started once on first use, one forked program for each `start`.

The server runs with a scrubbed environment and the preloaded modules, so a program costs a fork, not an import.

Limits: Linux only. The host's own memory and environment are protected by the layers around each program (tiers.py),
not by this file.
"""

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any, Self

from sandbox.child import Child
from sandbox.contract import Limits, SandboxUnavailable
from sandbox.environment import import_path
from sandbox.fork_server import ForkServer, LaunchedServer
from sandbox.tiers import Grant, Strictness, Tier


class Zygote:
    """A fork server that preloads modules once; safe to use from several threads."""

    def __init__(
        self,
        preload: tuple[str, ...] = ("torch", "triton"),
        env: dict[str, str] | None = None,
        *,
        search_path: tuple[str, ...] = (),
        strictness: Strictness = "auto",
        without: tuple[str, ...] = (),
        grants: tuple[Grant, ...] = (),
    ) -> None:
        """`search_path` adds import directories; `without` switches layers off to test the weaker tiers.

        `grants`: what programs may do beyond the layers, for a profiler; refused without a root of their own.
        """
        options = {
            "preload": preload,
            "env": dict(env or {}),
            "import_path": import_path(search_path),
            "strictness": strictness,
            "without": without,
            "grants": grants,
        }
        self._begun: Callable[[], ForkServer] = partial(LaunchedServer, options)
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._finalizer: weakref.finalize[[], Zygote] | None = None

    @property
    def tier(self) -> Tier:
        """What this machine gives; starts the server if need be."""
        return self._running().tier

    @property
    def pid(self) -> int:
        """The server's process id; starts the server if need be."""
        return self._running().pid

    def branch(self, preload: tuple[str, ...] = (), env: dict[str, str] | None = None) -> "Zygote":
        """A fork server with the modules of this one, `preload` and `env` added; torch is then imported once for both.

        `env` reaches only what is imported after the branching. The branch must be closed before this one.
        """
        branch = Zygote()
        branch._begun = partial(self._branched, {"preload": preload, "env": dict(env or {})})
        return branch

    def start(
        self,
        entry: str,
        arguments: dict[str, Any] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        *,
        shared: tuple[int, ...] = (),
    ) -> Child:
        """Fork a program that calls `module:function(channel, arguments, shared)` inside the sandbox."""
        channel, their_channel = socket.socketpair()
        status, their_status = socket.socketpair()
        child = Child(channel, status, limits)
        try:
            with their_channel, their_status:
                request = {"entry": entry, "limits": asdict(limits)}
                self._submit(request, [their_channel.fileno(), their_status.fileno(), *shared])
            child.send(arguments or {})
        except BaseException:
            child.close()
            raise
        return child

    def close(self) -> None:
        """End the server; programs that still run lose nothing but their siblings to come."""
        self._forget(self._server)

    def __enter__(self) -> Self:
        """The zygote itself; nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _branched(self, options: dict[str, Any]) -> ForkServer:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._submit({"branch": options}, [theirs.fileno()])
        return ForkServer(control)

    def _running(self) -> ForkServer:
        with self._lock:
            if self._server is None:
                self._server = self._begun()
                self._finalizer = weakref.finalize(self, self._server.end)
            return self._server

    def _forget(self, server: ForkServer | None) -> None:
        """End this server, unless another thread has already replaced it."""
        with self._lock:
            if self._finalizer is not None and server is self._server:
                self._finalizer()
                self._server = self._finalizer = None

    def _submit(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Hand a request over; a server that has died since is started anew once."""
        server = self._running()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            server.submit(request, descriptors)
            return
        self._forget(server)
        try:
            self._running().submit(request, descriptors)
        except OSError as error:
            raise SandboxUnavailable(f"the fork server died twice: {os.strerror(error.errno or 0)}") from error
