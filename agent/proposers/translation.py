"""Turns what the SDK raises into a ProposerError that says what happened, where, and what to do.

Servers disagree about status and code for the same thing; the shapes told apart here are those of OpenAI, Anthropic,
Gemini, DeepSeek, OpenRouter, vLLM, llama.cpp, Ollama and of proxies in between. Each has a test over a socket.

Limits: reads errors, sends nothing. The text a server sent is cut to one line and freed of keys before it is shown.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import openai

from agent.proposers.endpoints import Endpoint
from agent.proposers.errors import (
    BadEndpoint,
    BrokenReply,
    ContentFiltered,
    ContextTooLong,
    KeyRefused,
    Overloaded,
    ProposerError,
    QuotaExhausted,
    RequestRefused,
    UnknownModel,
    Unreachable,
)
from agent.proposers.retries import retry_after_s

_CONTEXT = re.compile(
    r"context[ _](length|size|window|limit)|prompt is too long|input is too long|maximum input length|too many tokens",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"\bmodel\b.*(not found|not exist|not a valid|unknown|not supported|no access|not loaded)|"
    r"(unknown|invalid|no such|not a valid) model",
    re.IGNORECASE,
)
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_QUOTA_TEXT = re.compile(r"credit balance is too low|insufficient (balance|credits?)", re.IGNORECASE)
_FILTER_CODES = {"content_filter", "content_policy_violation"}
_TRANSIENT_STATUSES = {408, 409, 425, 429}
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Told:
    """What an error answer says. `status` is 0 for an error inside an answer that had begun with status 200."""

    status: int
    code: str
    kind: str
    text: str
    shown: str  # the text as it may be shown


def translate(error: openai.OpenAIError, endpoint: Endpoint, model: str, *, has_begun: bool = False) -> ProposerError:
    """The ProposerError for an SDK error; `has_begun`: parts of the reply had arrived before it."""
    if isinstance(error, openai.APIStatusError):
        return _from_status(error, endpoint, model)
    if isinstance(error, openai.APIConnectionError):
        return _from_connection(error, endpoint, has_begun=has_begun)
    if isinstance(error, openai.APIError) and error.body is not None:
        return _from_event(error.body, endpoint, model)
    return BrokenReply(f"{endpoint.host} sent something that is not the protocol ({one_line(str(error), endpoint)})")


def not_a_completion(text: str, content_type: str, endpoint: Endpoint, model: str) -> ProposerError:
    """What to say about an answer with status 200 that is no completion: an error in JSON, or a web page."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("error"):
        return _from_event(answer["error"], endpoint, model)
    shown = one_line(text, endpoint) or "nothing"
    return BadEndpoint(
        f"{endpoint.url} answered with {content_type} instead of a completion ({shown}); {_url_advice(endpoint)}"
    )


def one_line(text: str, endpoint: Endpoint) -> str:
    """Text of a server, fit to be shown: one line, printable, without markup and keys, not too long."""
    plain = (
        re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
        if _is_html(text)
        else text
    )
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in plain).split())
    shown = endpoint.redact(words)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."


def _told(body: object, status: int, endpoint: Endpoint) -> Told:
    record = body if isinstance(body, Mapping) else {}
    inner = record.get("message") or record.get("detail") or record.get("error") or body or ""
    text = inner if isinstance(inner, str) else json.dumps(inner, default=str)
    code, kind = str(record.get("code") or ""), str(record.get("type") or "")
    return Told(status, code, kind, text, one_line(text, endpoint) or "no explanation")


def _from_status(error: openai.APIStatusError, endpoint: Endpoint, model: str) -> ProposerError:
    told = _told(error.body, error.status_code, endpoint)
    return (
        _about_content(told, endpoint, model)
        or _about_pressure(told, error.response.headers, endpoint)
        or _about_access(told, endpoint)
        or RequestRefused(
            f"{endpoint.host} refused the request ({told.status}: {told.shown}); check --model and --base-url"
        )
    )


def _about_content(told: Told, endpoint: Endpoint, model: str) -> ProposerError | None:
    """What the body tells more precisely than the status: context, quota, filter, model."""
    host, shown = endpoint.host, told.shown
    if _is_context_overflow(told):
        return ContextTooLong(f"prompt and reply do not fit into the context of {model} at {host} ({shown})")
    if told.status == 402 or {told.code, told.kind} & _QUOTA_CODES or _QUOTA_TEXT.search(told.text):
        return QuotaExhausted(
            f"the account at {host} has no credit left ({shown}); add credit or use another key, then `agent resume`"
        )
    if told.code in _FILTER_CODES:
        return ContentFiltered(f"the content filter of {host} refused the prompt ({shown}); use another model")
    is_model = told.code == "model_not_found" or (_MODEL.search(told.text) and not _is_html(told.text))
    if told.status in {400, 403, 404, 422} and is_model:
        return UnknownModel(f"{host} does not serve {model!r} ({shown}); {_model_advice(endpoint)}")
    return None


def _is_context_overflow(told: Told) -> bool:
    says_so = told.code == "context_length_exceeded" or told.kind == "exceed_context_size_error"
    return told.status in {0, 400, 413, 422, 500} and (says_so or bool(_CONTEXT.search(told.text)))


def _about_pressure(told: Told, headers: Mapping[str, str], endpoint: Endpoint) -> Overloaded | None:
    if told.status not in _TRANSIENT_STATUSES and told.status < 500:
        return None
    what = "limits the request rate" if told.status == 429 else "cannot answer now"
    failure = Overloaded(f"{endpoint.host} {what} ({told.status}: {told.shown})", retry_after_s=retry_after_s(headers))
    failure.is_transient = headers.get("x-should-retry") != "false"
    return failure


def _about_access(told: Told, endpoint: Endpoint) -> ProposerError | None:
    status, shown = told.status, told.shown
    if status == 407:
        return BadEndpoint(
            f"the proxy {_proxy(endpoint)} asks for a login (407): set it in HTTPS_PROXY, or bypass it by NO_PROXY"
        )
    if status == 404:
        return BadEndpoint(
            f"nothing answers at {endpoint.url}/chat/completions (404: {shown}); {_url_advice(endpoint)}"
        )
    if status < 400 or _is_html(told.text):
        return BadEndpoint(
            f"{endpoint.url} answered {status} with a web page ({shown}); a proxy or firewall? {_url_advice(endpoint)}"
        )
    if status in {401, 403}:
        return KeyRefused(
            f"{endpoint.host} refused the key from {endpoint.key_variable} ({status}: {shown}); "
            "check that it is right, active and allowed to use this model"
        )
    return None


def _from_event(body: object, endpoint: Endpoint, model: str) -> ProposerError:
    """An error inside an answer that had begun with status 200."""
    told = _told(body, 0, endpoint)
    return _about_content(told, endpoint, model) or BrokenReply(
        f"{endpoint.host} broke the reply off with an error ({told.shown})"
    )


def _from_connection(error: openai.APIConnectionError, endpoint: Endpoint, *, has_begun: bool) -> ProposerError:
    cause = error.__cause__
    reason = one_line(str(cause or error), endpoint) or type(cause).__name__
    is_timeout = isinstance(error, openai.APITimeoutError)
    if has_begun:
        return BrokenReply(f"the reply of {endpoint.host} {'stalled' if is_timeout else 'broke off'} ({reason})")
    if is_timeout and type(cause).__name__ != "ConnectTimeout":
        return Overloaded(f"{endpoint.host} took the request and sent nothing in time ({reason})")
    return Unreachable(f"no connection to {endpoint.url} ({reason}); {_connection_advice(reason, endpoint)}")


def _connection_advice(reason: str, endpoint: Endpoint) -> str:
    if "CERTIFICATE" in reason.upper():
        return "set SSL_CERT_FILE to the certificates this network uses"
    proxy = _proxy(endpoint)
    if proxy:
        return f"the way goes through the proxy {proxy}: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return "start the server there, or check the port" if endpoint.is_loopback else "check the URL and the network"


def _url_advice(endpoint: Endpoint) -> str:
    if re.search(r"/v\d", endpoint.url):
        return "check --base-url"
    return f"check --base-url; most end in /v1: {endpoint.url.rstrip('/')}/v1"


def _model_advice(endpoint: Endpoint) -> str:
    advice = "load or pull it there, or check" if endpoint.is_loopback else "check"
    return f"{advice} --model against the list at {endpoint.url.rstrip('/')}/models"


def _is_html(text: str) -> bool:
    return text.lstrip()[:1] == "<"


def _proxy(endpoint: Endpoint) -> str:
    """Host of the proxy the environment sends this URL through, without its login; empty where there is none."""
    if endpoint.is_loopback or proxy_bypass(endpoint.host):
        return ""
    proxies: dict[str, Any] = getproxies()
    proxy = str(proxies.get(endpoint.url.partition(":")[0]) or proxies.get("all") or "")
    return proxy.rpartition("@")[2].rpartition("//")[2].strip("/")
