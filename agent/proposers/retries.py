"""The one retry loop around a whole proposal: request and reply stream together.

The SDK's own retries are switched off, because two loops multiply (3 x 3 = 9 requests) and the SDK neither repeats a
broken stream nor spares a hard quota error. What the provider asks for in Retry-After is obeyed; a wait longer than
`wait_limit_s` or than the run has left is not begun.

Limits: decides when to try again, never what failed (agent/proposers/translation.py).
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

import tenacity

from agent.proposers.errors import Overloaded, ProposerError

Reply = TypeVar("Reply")


@dataclass(frozen=True)
class Retries:
    """How often and how long: exponential waits with jitter between `first_wait_s` and `longest_wait_s`."""

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    wait_limit_s: float = 120.0

    def wait_s(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next try: what the provider asked for, else the exponential wait."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ProposerError) else None
        if asked is not None:
            return asked
        exponential = tenacity.wait_random_exponential(multiplier=self.first_wait_s, max=self.longest_wait_s)
        return exponential(state)


DEFAULT_RETRIES = Retries()


@dataclass(frozen=True)
class Patience:
    """One caller's terms: `remaining_s` is what the run has left (None: no limit), `stopped` wakes every sleeper."""

    remaining_s: Callable[[], float | None]
    on_wait: Callable[[float, str], None]
    stopped: threading.Event


def call_with_retries(ask: Callable[[], Reply], retries: Retries, patience: Patience) -> Reply:
    """Call `ask` until it answers. Raises its last ProposerError; Overloaded where the wait asked for is too long."""

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProposerError) and state.next_action is not None
        seconds = state.next_action.sleep
        _refuse_long_wait(error, seconds, retries.wait_limit_s, patience.remaining_s())
        patience.on_wait(seconds, str(error))

    def sleep(seconds: float) -> None:
        if patience.stopped.wait(seconds):
            raise Overloaded("stopped while waiting for the model; `agent resume` goes on from here")

    loop = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retries.attempts),
        wait=retries.wait_s,
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, ProposerError) and error.is_transient),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    )
    return loop(ask)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait: retry-after-ms, or retry-after in seconds or as a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    return seconds if seconds is not None or text is None else _seconds_until(text)


def _refuse_long_wait(error: ProposerError, seconds: float, limit_s: float, remaining_s: float | None) -> None:
    if seconds <= limit_s and (remaining_s is None or seconds < remaining_s):
        return
    why = (
        f"more than the {limit_s:.0f} s waited at most"
        if seconds > limit_s
        else f"but the run has {remaining_s:.0f} s left"
    )
    raise Overloaded(
        f"{error}; a wait of {seconds:.0f} s would be needed, {why}: `agent resume` goes on later"
    ) from None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


def _seconds_until(date: str) -> float | None:
    try:
        return max(parsedate_to_datetime(date).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
