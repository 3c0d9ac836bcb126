"""The process of a fork server as its owner holds it: launched as a program of its own, or branched off a running one.

A branch begins with everything that the other has imported: several servers pay for importing torch once.

Limits: starting, greeting and ending it; what it is asked is sandbox/zygote.py, what it does sandbox/server.py.
"""

import array
import json
import signal
import socket
import subprocess
import sys
import tempfile
from typing import IO, Any

from sandbox.contract import SandboxUnavailable
from sandbox.environment import server_environment
from sandbox.layers.kernel import signal_process
from sandbox.tiers import Tier

_START_S = 120.0  # importing torch on a loaded machine was seen to take 6 s; a cold disk takes far longer
_END_S = 5.0
_BOOT = (
    "import json, sys; o = json.loads(sys.argv[1]); sys.path[:] = o['import_path'];"
    "from sandbox.server import main; main(o)"
)


class ForkServer:
    """A running fork server: what it said of itself, and the socket on which it is asked."""

    def __init__(self, control: socket.socket, errors: IO[bytes] | None = None) -> None:
        """Wait for its greeting; SandboxUnavailable with the reason, its last `errors` included, if there is none."""
        self._control = control
        try:
            hello = _greeting(control, errors)
        except BaseException:
            control.close()
            raise
        self.tier = Tier(**hello["tier"])
        self.pid = int(hello["pid"])

    def submit(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Ask for a program or a branch; BrokenPipeError or ConnectionResetError where the server is dead."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._control.sendmsg([json.dumps(request).encode()], rights)

    def end(self) -> None:
        """Close the control socket, at which the server exits, and wait until it has."""
        with self._control:
            self._control.settimeout(_END_S)
            try:
                self._control.shutdown(socket.SHUT_WR)
                while self._control.recv(1 << 20):
                    pass
            except TimeoutError:
                signal_process(self.pid, signal.SIGKILL)
            except OSError:
                return  # it is dead


class LaunchedServer(ForkServer):
    """One that is a program of its own, with a scrubbed environment."""

    def __init__(self, options: dict[str, Any]) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as errors:
            request = json.dumps(options | {"control": theirs.fileno()})
            self._process = subprocess.Popen(
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
                super().__init__(control, errors)
            except BaseException:
                self._reap()
                raise

    def end(self) -> None:
        """The same, and reap it."""
        super().end()
        self._reap()

    def _reap(self) -> None:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _greeting(control: socket.socket, errors: IO[bytes] | None) -> dict[str, Any]:
    control.settimeout(_START_S)
    try:
        text = control.recv(1 << 20)
    except TimeoutError:
        raise SandboxUnavailable(f"the fork server did not start within {_START_S:g} s") from None
    if not text:
        raise SandboxUnavailable(f"the fork server did not start: {_last_of(errors) or 'no message'}")
    hello: dict[str, Any] = json.loads(text)
    if failure := hello.get("failure"):
        raise SandboxUnavailable(failure)
    control.settimeout(30.0)
    return hello


def _last_of(errors: IO[bytes] | None) -> str:
    if errors is None:
        return ""
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()[-2000:]
