"""The fork server as its owner sees it: started once on first use, one forked program for each `start`.

The server runs with a scrubbed environment and the preloaded modules, so a program costs a fork, not an import.

Limits: Linux only. The host's own memory and environment are protected by the layers around each program (tiers.py),
not by this file.
"""

import array
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Self

from sandbox.child import Child
from sandbox.contract import Limits, SandboxUnavailable
from sandbox.environment import import_path, server_environment
from sandbox.tiers import Grant, Strictness, Tier

_START_S = 120.0  # importing torch on a loaded machine was seen to take 6 s; a cold disk takes far longer
_BOOT = (
    "import json, sys; o = json.loads(sys.argv[1]); sys.path[:] = o['import_path'];"
    "from sandbox.server import main; main(o)"
)


class _Server:
    """One running fork server process."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as errors:
            request = json.dumps(options | {"control": theirs.fileno()})
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, request],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=server_environment(options["env"]),
                start_new_session=True,
                cwd="/",
            )
            theirs.close()
            try:
                self.tier = self._greeting(errors)
            except BaseException:
                self.end()
                raise

    def _greeting(self, errors: IO[bytes]) -> Tier:
        self.control.settimeout(_START_S)
        try:
            text = self.control.recv(1 << 20)
        except TimeoutError:
            raise SandboxUnavailable(f"the fork server did not start within {_START_S:g} s") from None
        if not text:
            errors.seek(0)
            tail = errors.read().decode(errors="replace").strip()[-2000:]
            raise SandboxUnavailable(f"the fork server did not start: {tail or 'no message'}")
        hello: dict[str, Any] = json.loads(text)
        if failure := hello.get("failure"):
            raise SandboxUnavailable(failure)
        self.control.settimeout(30.0)
        return Tier(**hello["tier"])

    def end(self) -> None:
        """Close the control socket, at which the server exits, and reap it."""
        self.control.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


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
        self._options = {
            "preload": preload,
            "env": dict(env or {}),
            "import_path": import_path(search_path),
            "strictness": strictness,
            "without": without,
            "grants": grants,
        }
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._finalizer: weakref.finalize[[], Zygote] | None = None

    @property
    def tier(self) -> Tier:
        """What this machine gives; starts the server if need be."""
        return self._running().tier

    @property
    def pid(self) -> int:
        """The server's process id; starts the server if need be."""
        return self._running().process.pid

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

    def _running(self) -> _Server:
        with self._lock:
            if self._server is None:
                self._server = _Server(self._options)
                self._finalizer = weakref.finalize(self, self._server.end)
            return self._server

    def _forget(self, server: _Server | None) -> None:
        """End this server, unless another thread has already replaced it."""
        with self._lock:
            if self._finalizer is not None and server is self._server:
                self._finalizer()
                self._server = self._finalizer = None

    def _submit(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Hand a request over; a server that has died since is started anew once."""
        text = json.dumps(request).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        server = self._running()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            server.control.sendmsg([text], rights)
            return
        self._forget(server)
        try:
            self._running().control.sendmsg([text], rights)
        except OSError as error:
            raise SandboxUnavailable(f"the fork server died twice: {os.strerror(error.errno or 0)}") from error
