"""The only language spoken with an untrusted program: length-bounded frames of a JSON object and raw bytes.

A frame is a 12-byte prefix (4 bytes: length of the JSON text, 8 bytes: length of the payload), the JSON object, the
payload. Both lengths are checked against a bound before a byte is read. Nothing is ever unpickled.

Limits: says nothing about what a message means; every message of a program is a claim.
"""

import json
import select
import socket
import struct
import time
from collections.abc import Callable

from sandbox.contract import Message

PREFIX = struct.Struct("!IQ")
MAX_MESSAGE_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20


class MalformedFrame(Exception):
    """What arrived is not a frame within the agreed bounds."""


def encode(message: Message, payload: bytes = b"") -> bytes:
    """Prefix and JSON text of a frame, with its payload."""
    text = json.dumps(message).encode()
    if len(text) > MAX_MESSAGE_BYTES:
        raise ValueError(f"message of {len(text)} bytes exceeds {MAX_MESSAGE_BYTES}; send long text as payload")
    return PREFIX.pack(len(text), len(payload)) + text + payload


def read_frame(receive_exactly: Callable[[int], bytes], max_payload_bytes: int) -> tuple[Message, bytes]:
    """One frame through `receive_exactly`; raises MalformedFrame before anything too long is read."""
    text_bytes, payload_bytes = PREFIX.unpack(receive_exactly(PREFIX.size))
    if text_bytes > MAX_MESSAGE_BYTES:
        raise MalformedFrame(f"message of {text_bytes} bytes, at most {MAX_MESSAGE_BYTES} allowed")
    if payload_bytes > max_payload_bytes:
        raise MalformedFrame(f"payload of {payload_bytes} bytes, at most {max_payload_bytes} allowed")
    message = _parse(receive_exactly(text_bytes))
    return message, receive_exactly(payload_bytes)


def _parse(text: bytes) -> Message:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedFrame(f"message is not JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise MalformedFrame(f"message is a JSON {type(message).__name__}, not an object")
    return message


class Channel:
    """The program's end of the channel."""

    def __init__(self, endpoint: socket.socket) -> None:
        """Take over a connected stream socket."""
        self._endpoint = endpoint

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send one frame; blocks until the host has taken it."""
        self._endpoint.sendall(encode(message, payload))

    def receive(self, timeout_s: float | None = None) -> tuple[Message, bytes]:
        """The host's next frame; EOFError once the host has closed, TimeoutError after `timeout_s`."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        return read_frame(lambda size: self._receive_exactly(size, deadline_s), 1 << 40)

    def _receive_exactly(self, size_bytes: int, deadline_s: float | None) -> bytes:
        buffer = bytearray()
        while len(buffer) < size_bytes:
            if deadline_s is not None:
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0 or not select.select([self._endpoint], [], [], remaining_s)[0]:
                    raise TimeoutError("no message from the host in time")
            piece = self._endpoint.recv(min(size_bytes - len(buffer), _CHUNK_BYTES))
            if not piece:
                raise EOFError("the host closed the channel")
            buffer += piece
        return bytes(buffer)
