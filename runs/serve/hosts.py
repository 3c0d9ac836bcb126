"""Who may ask: requests that name another host are refused, so that no web page can reach in by DNS rebinding.

Limits: it checks the Host header and adds the headers of every answer; there is no log-in, so serve beyond loopback
only in a network you trust.
"""

import ipaddress
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class HostCheck:
    """Answers only requests addressed to this machine by a name it was told."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {*LOOPBACK, host}
        self._is_open = host not in LOOPBACK
        if self._is_open:
            self._names.add(socket.gethostname())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._is_allowed(host_name(Headers(scope=scope).get("host", ""))):
            await self._app(scope, receive, _with_headers(send))
        else:
            await PlainTextResponse("this host is not served here", status_code=400)(scope, receive, send)

    def _is_allowed(self, name: str) -> bool:
        return name in self._names or (self._is_open and _is_address(name))  # rebinding needs a name, not an address


def host_name(header: str) -> str:
    """The host of a Host header without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] or header


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return send_with_headers
