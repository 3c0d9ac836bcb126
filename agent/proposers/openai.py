"""A model behind any OpenAI-compatible endpoint: chat completions, streamed, one retry loop around the whole call.

The wire format is chat completions because every provider and local server speaks it; the prompt is one user message.
The SDK is imported at the first call (it costs 0.4 s), its own retries are off, and one client serves all threads.

Limits: one prompt, one reply; no tools, no structured output (support differs too much between servers). The key is
read from the environment by endpoints.py and appears in no message, repr or record.
"""

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.proposers import NO_LIMITS, Caller, Proposal, prices
from agent.proposers.dialect import Dialect
from agent.proposers.endpoints import endpoint_for
from agent.proposers.errors import BrokenReply, ContentFiltered, EmptyReply, ProposerError, Unreachable
from agent.proposers.prices import Bill, Tariff
from agent.proposers.retries import DEFAULT_RETRIES, Patience, Retries, call_with_retries
from agent.proposers.streams import NotStreamed, Received, chunks_of
from prompts.context import Context
from runs.nouns import Usage

if TYPE_CHECKING:
    import openai

CONNECT_TIMEOUT_S = 10.0
MOST_DIALECTS = 4  # changes of dialect before a refusal counts
SILENCE_TIMEOUT_S = 600.0  # a reasoning model may think for minutes before its first token


class OpenAIProposer:
    """Asks one model. Thread-safe; `close` ends every wait and the connections."""

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        caller: Caller = NO_LIMITS,
        retries: Retries = DEFAULT_RETRIES,
        silence_timeout_s: float = SILENCE_TIMEOUT_S,
    ) -> None:
        self.name = model
        self.endpoint = endpoint_for(base_url)
        self._caller = caller
        self._retries = retries
        self._silence_timeout_s = silence_timeout_s
        self._dialect = self.endpoint.dialect(caller.max_output_tokens)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._client: openai.OpenAI | None = None
        self._has_answered = False
        self._tariff = Tariff(model, self.endpoint.url)
        self._has_asked_prices = False
        self._charged = Usage()  # the latest proposal a provider put a price on

    def __repr__(self) -> str:
        return f"OpenAIProposer({self.name!r}, {self.endpoint.url!r})"

    def propose(self, context: Context, prompt: str) -> Proposal:
        """Send the prompt and return the reply with what it cost. Raises ProposerError, its `usage` filled in."""
        return self.ask(prompt)

    def ask(self, prompt: str) -> Proposal:
        """The same for any text."""
        bill, request_ids = Bill(self._tariff), list[str]()
        patience = Patience(self._caller.remaining_s, self._caller.on_wait, self._stopped)
        try:
            received = call_with_retries(lambda: self._ask(prompt, bill, request_ids), self._retries, patience)
        except ProposerError as failure:
            failure.usage = bill.total()
            raise
        usage = bill.total()
        if usage.cost_source.startswith("provider"):
            self._charged = usage
        return Proposal(
            reply=received.text,
            reasoning=received.reasoning,
            model=received.model or self.name,
            finish_reason=received.finish_reason or "",
            usage=usage,
            request_ids=tuple(request_ids),
        )

    def worst_case_cost_usd(self, prompt: str) -> float | None:
        """The most the next request can cost: by table, by the endpoint's list, or by what was charged before."""
        limit = self._dialect.max_output_tokens
        cost = prices.worst_case_cost(prompt, self._tariff, limit)
        if cost is None and not self._has_asked_prices:
            self._ask_prices()
            cost = prices.worst_case_cost(prompt, self._tariff, limit)
        return cost if cost is not None else prices.worst_case_from(self._charged, prompt, limit)

    @property
    def dialect(self) -> Dialect:
        """How requests are sent now, after what the endpoint refused."""
        return self._dialect

    def worst_case_tokens(self, prompt: str) -> int:
        """One token per byte of the prompt and the whole output limit."""
        return prices.longest_input(prompt) + self._dialect.max_output_tokens

    def close(self) -> None:
        """End every wait between retries and close the connections."""
        self._stopped.set()
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _ask_prices(self) -> None:
        """Read the endpoint's list of models once; a failure leaves the price unknown, which is what it means."""
        self._has_asked_prices = True
        try:
            models = self._connected().models.list(timeout=CONNECT_TIMEOUT_S).data
        except (_sdk().OpenAIError, json.JSONDecodeError):
            return
        self._tariff = replace(self._tariff, listed_usd=prices.listed_prices(models or (), self.name))

    def _ask(self, prompt: str, bill: Bill, request_ids: list[str]) -> Received:
        """One try: a request, or two where the endpoint has to be asked in another dialect."""
        received, failure = Received(), None
        try:
            with self._open_stream(prompt, bill) as stream:
                self._has_answered = True
                request_ids += filter(None, [stream.response.headers.get("x-request-id")])
                received.take(chunks_of(stream))
        except NotStreamed as answer:
            failure = self._not_streamed(answer)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            failure = BrokenReply(f"{self.endpoint.host} sent an event that is not JSON ({error})")
        except _sdk().OpenAIError as error:
            request_ids += filter(None, [getattr(error, "request_id", None)])
            failure = self._translated(error, received, bill)
        finally:
            self._charge(received, bill)
        # Raised out here because the SDK's exception holds the request and, in its headers, the key.
        failure = failure or self._unfit(received, bill)
        if failure is not None:
            raise failure
        return received

    def _open_stream(self, prompt: str, bill: Bill) -> Any:
        """Send the request; again in another dialect where this one is refused (a handful of changes at most)."""
        for _ in range(MOST_DIALECTS):
            dialect = self._dialect
            try:
                return self._send(prompt, dialect, bill)
            except (_sdk().BadRequestError, _sdk().UnprocessableEntityError) as error:
                other = dialect.after_refusal(f"{error.message} {error.body} {error.param}", error.code)
                if other is None:
                    raise
                self._dialect = other
        return self._send(prompt, self._dialect, bill)

    def _send(self, prompt: str, dialect: Dialect, bill: Bill) -> Any:
        create: Any = self._connected().chat.completions.create
        remaining_s = self._caller.remaining_s()
        silence_s = self._silence_timeout_s
        if remaining_s is not None:
            silence_s = min(silence_s, max(remaining_s, 1.0))
        bill.requests += 1
        return create(
            model=self.name,
            messages=[{"role": "user", "content": prompt.encode("utf-8", "replace").decode()}],
            stream=True,
            timeout=_sdk().Timeout(silence_s, connect=min(CONNECT_TIMEOUT_S, silence_s)),
            **dialect.arguments(),
        )

    def _connected(self) -> "openai.OpenAI":
        with self._lock:
            if self._client is None:
                sdk = _sdk()
                # A proxy of the environment must not stand between this process and a server on the same machine.
                own = sdk.DefaultHttpx2Client(trust_env=False) if self.endpoint.is_loopback else None
                self._client = sdk.OpenAI(
                    base_url=self.endpoint.url, api_key=self.endpoint.key, max_retries=0, http_client=own
                )
            return self._client

    def _translated(self, error: "openai.OpenAIError", received: Received, bill: Bill) -> ProposerError:
        from agent.proposers.translation import translate

        sdk = _sdk()
        self._has_answered |= isinstance(error, sdk.APIStatusError)
        if isinstance(error, sdk.APITimeoutError) and not received.has_begun:
            bill.unmetered += 1  # the model may have been thinking all the time
        failure = translate(error, self.endpoint, self.name, has_begun=received.choices > 0)
        if isinstance(failure, Unreachable) and not self._has_answered:
            failure.is_transient = False  # most likely a wrong URL: say so now rather than after minutes of waiting
        return failure

    def _not_streamed(self, answer: NotStreamed) -> ProposerError:
        from agent.proposers.translation import not_a_completion

        return not_a_completion(answer.text, answer.content_type, self.endpoint, self.name)

    def _unfit(self, received: Received, bill: Bill) -> ProposerError | None:
        """What is wrong with an answer that arrived without an error."""
        host, finish = self.endpoint.host, received.finish_reason
        if finish == "content_filter":
            return ContentFiltered(f"the content filter of {host} stopped the reply of {self.name}; use another model")
        if finish == "error":
            return BrokenReply(f"{host} ended the reply of {self.name} with an error of the model's server")
        if not received.choices:
            return EmptyReply(f"{host} answered without any choice (request {bill.requests}); try another model")
        if finish is None:
            return BrokenReply(f"the reply of {host} ended without a finish reason, so its end may be missing")
        if not (received.text.strip() or received.thoughts) and finish != "length":
            return EmptyReply(
                f"{self.name} at {host} answered with no text (finish reason {finish}); try another model"
            )
        return None

    def _charge(self, received: Received, bill: Bill) -> None:
        if received.usage is not None:
            bill.add(received.usage)
        elif received.has_begun:
            bill.unmetered += 1


def _sdk() -> Any:
    import openai

    return openai
