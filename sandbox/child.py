"""The host's handle on one running program: send, receive, and an Outcome in every case.

Limits: everything received is a claim of the program. Exit status, kill reason and times come from its supervisor.
"""

import contextlib
import json
import select
import socket
import time
from types import TracebackType
from typing import Any, Self

from sandbox.contract import ChildEnded, Killed, Limits, Message, Outcome, SandboxUnavailable
from sandbox.frames import MAX_PAYLOAD_BYTES, MalformedFrame, encode, read_frame

_REPORT_WAIT_S = 20.0  # a supervisor reports within its own 10 s limit for killing a tree
_CHUNK_BYTES = 1 << 20


class _ChannelClosed(Exception):
    """The program's end is closed or its supervisor has reported."""


class Child:
    """One program. Leaving its `with` block kills whatever of it still runs."""

    def __init__(self, channel: socket.socket, status: socket.socket, limits: Limits) -> None:
        """Take over both sockets."""
        self._channel = channel
        self._status = status
        self._limits = limits
        self._outcome: Outcome | None = None
        self._failure: SandboxUnavailable | None = None
        channel.setblocking(False)

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send one frame; ChildEnded if the program ends or stops reading before it is taken."""
        deadline_s = time.monotonic() + self._limits.wall_s + _REPORT_WAIT_S
        view = memoryview(encode(message, payload))
        try:
            while view:
                self._wait(select.POLLOUT, deadline_s)
                with contextlib.suppress(BlockingIOError):
                    view = view[self._channel.send(view) :]
        except (_ChannelClosed, BrokenPipeError, ConnectionResetError):
            raise ChildEnded(self._settle(), "ended before it took a message") from None
        except TimeoutError:
            raise ChildEnded(self.kill("timeout"), "stopped reading") from None

    def receive(self, timeout_s: float, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> tuple[Message, bytes]:
        """The program's next frame, or ChildEnded."""
        deadline_s = time.monotonic() + timeout_s
        try:
            return read_frame(lambda size: self._receive_exactly(size, deadline_s), max_payload_bytes)
        except MalformedFrame as broken:
            raise ChildEnded(self.kill("protocol"), str(broken)) from None
        except TimeoutError:
            raise ChildEnded(self.kill("timeout"), f"no message within {timeout_s:g} s") from None
        except (_ChannelClosed, ConnectionResetError):
            raise ChildEnded(self._settle(), "ended without a message") from None

    def finish(self) -> Outcome:
        """Tell the program that nothing more comes, and wait until it has ended; later messages are discarded."""
        if self._outcome is None:
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
            self._outcome = self._await_report()
        return self._outcome

    def kill(self, reason: Killed = "cancelled") -> Outcome:
        """End the whole tree now."""
        if self._outcome is None:
            self.cancel(reason)
            self._outcome = self._await_report()
        return self._outcome

    def cancel(self, reason: Killed = "cancelled") -> None:
        """Have the whole tree ended, from any thread; who waits for an answer is told by ChildEnded."""
        with contextlib.suppress(OSError):
            self._status.sendall(json.dumps({"kill": reason}).encode() + b"\n")

    def __enter__(self) -> Self:
        """The program itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what still runs and close both sockets."""
        try:
            if self._failure is None:  # otherwise it has been raised and nothing runs any more
                self.kill()
        finally:
            self.close()

    def close(self) -> None:
        """Close both sockets; a supervisor that loses its host kills the tree."""
        self._channel.close()
        self._status.close()

    def _settle(self) -> Outcome:
        """The outcome of a program that has closed its channel; one that lives on without it is killed."""
        if self._outcome is None and not _readable(self._status, 1.0):
            return self.kill("protocol")
        return self.finish()

    def _wait(self, events: int, deadline_s: float) -> None:
        if self._outcome is not None:
            raise _ChannelClosed
        poll = select.poll()
        poll.register(self._channel, events)
        poll.register(self._status, select.POLLIN)
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        ready = dict(poll.poll(remaining_s * 1000))
        if not ready:
            raise TimeoutError
        if self._channel.fileno() not in ready:  # the report is in and the channel has nothing left
            raise _ChannelClosed

    def _receive_exactly(self, size_bytes: int, deadline_s: float) -> bytes:
        buffer = bytearray()
        while len(buffer) < size_bytes:
            self._wait(select.POLLIN, deadline_s)
            piece = self._channel.recv(min(size_bytes - len(buffer), _CHUNK_BYTES))
            if not piece:
                raise _ChannelClosed
            buffer += piece
        return bytes(buffer)

    def _await_report(self) -> Outcome:
        if self._failure is not None:
            raise self._failure
        try:
            return self._drain_until_report()
        except SandboxUnavailable as failure:
            self._failure = failure
            raise

    def _drain_until_report(self) -> Outcome:
        deadline_s = time.monotonic() + self._limits.wall_s + _REPORT_WAIT_S
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._status, select.POLLIN)
        while True:
            ready = dict(poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000))
            if self._status.fileno() in ready:
                return self._read_report()
            if not ready:
                raise SandboxUnavailable("the supervisor of a program did not report; restart the run")
            if not self._discard():
                poll.unregister(self._channel)

    def _discard(self) -> bool:
        try:
            return bool(self._channel.recv(_CHUNK_BYTES))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _read_report(self) -> Outcome:
        self._status.settimeout(_REPORT_WAIT_S)
        text = bytearray()
        # A reset instead of an end: the supervisor had ended before it read our wish to kill. Its report is complete.
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while piece := self._status.recv(_CHUNK_BYTES):
                text += piece
        if not text:
            raise SandboxUnavailable("the supervisor of a program died (out of memory on this machine?)")
        try:
            report: dict[str, Any] = json.loads(text)
        except ValueError:
            raise SandboxUnavailable("the report of a program's supervisor was cut off") from None
        if failure := report.pop("failure", None):
            raise SandboxUnavailable(failure)
        return Outcome(**report)


def _readable(endpoint: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(endpoint, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
