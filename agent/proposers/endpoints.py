"""Where a model answers: the URL and the key that belongs to it.

Keys come from the environment only. A known provider's key is taken from that provider's variable and nowhere else, so
that a key of one provider is never sent to another; every other URL gets OPENAI_API_KEY, and a loopback URL needs none.

Limits: no connection is made here, nothing is looked up; a wrong URL shows when the first request is sent.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from agent.proposers.dialect import Dialect
from agent.proposers.errors import BadEndpoint, KeyMissing

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLES = {
    "api.openai.com": ("OPENAI_API_KEY",),
    "api.anthropic.com": ("ANTHROPIC_API_KEY",),
    "generativelanguage.googleapis.com": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "api.deepseek.com": ("DEEPSEEK_API_KEY",),
    "openrouter.ai": ("OPENROUTER_API_KEY",),
}
_KEY_SHAPE = re.compile(r"\b(sk-[\w-]{8,}|AIza[\w-]{20,})|(?<=[Bb]earer )\S+")


@dataclass(frozen=True)
class Endpoint:
    """One OpenAI-compatible API. `key` is never shown: not by repr, and `redact` takes it out of any text."""

    url: str
    key: str = field(repr=False)
    key_variable: str

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc

    @property
    def is_loopback(self) -> bool:
        """Whether the URL names this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    def dialect(self, max_output_tokens: int) -> Dialect:
        """What to try first: OpenAI itself wants `max_completion_tokens`, the others know `max_tokens`."""
        is_openai = urlsplit(self.url).hostname == "api.openai.com"
        return Dialect("max_completion_tokens" if is_openai else "max_tokens", max_output_tokens)

    def redact(self, text: str) -> str:
        """`text` without the key and without anything shaped like one."""
        if self.key and self.key != "none":
            text = text.replace(self.key, "[key]")
        return _KEY_SHAPE.sub("[key]", text)


def endpoint_for(base_url: str | None, environment: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint of a base URL (else OPENAI_BASE_URL, else OpenAI). Raises BadEndpoint or KeyMissing."""
    environment = os.environ if environment is None else environment
    url = (base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
    hostname = _checked(url).hostname or ""
    variables = KEY_VARIABLES.get(hostname, ("OPENAI_API_KEY",))
    for variable in variables:
        key = environment.get(variable, "").strip()
        if key:
            return Endpoint(url, _usable(key, variable), variable)
    if _is_loopback(hostname):
        return Endpoint(url, "none", variables[0])
    raise KeyMissing(
        f"no key for {hostname}: set {' or '.join(variables)} (any text if that server asks for none), "
        "or run without a key by --model playbook"
    )


def _checked(url: str) -> SplitResult:
    """The parts of the URL; its text is not repeated in the errors because it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadEndpoint(f"the base URL is malformed ({error}); write it like {OPENAI_URL}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadEndpoint("the base URL must not carry a login or a query; put the key into the environment")
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise BadEndpoint(f"{url!r} is not a base URL: write http:// or https:// before it, like {OPENAI_URL}")
    return parts


def _usable(key: str, variable: str) -> str:
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise KeyMissing(f"{variable} holds blanks or letters that no key has; copy the key again")
    return key


def _is_loopback(hostname: str) -> bool:
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
