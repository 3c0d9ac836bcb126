"""What a reply cost: the provider's own figure, else the genai-prices table, else the endpoint's list, else unknown.

Unknown is None, never 0. The endpoint's list is what OpenRouter puts into GET /models: `pricing.prompt` and
`pricing.completion`, in dollars per token.

The worst case before a call counts one input token per byte of the prompt (a byte-level tokenizer never needs more) and
the whole output limit. Reasoning tokens are part of the output tokens, as OpenAI counts them.

Limits: list prices; no discounts, no taxes. A broken reply for which the provider sent no usage is named in
`cost_source`, not guessed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from runs.nouns import Usage

MESSAGE_OVERHEAD_TOKENS = 64  # role markers of a chat template, generously
CACHED_PRICE_FLOOR = 0.1  # cached input costs at least a tenth of fresh input in every table looked at


@dataclass(frozen=True)
class Tariff:
    """Where a model is priced: its name, its endpoint, and that endpoint's own list prices if it publishes them."""

    model: str
    base_url: str
    listed_usd: tuple[float, float] | None = None  # per input token, per output token


@dataclass
class Bill:
    """What the requests of one proposal used, failed ones included."""

    tariff: Tariff
    requests: int = 0
    unmetered: int = 0  # replies that had begun and brought no usage: paid for, amount unknown
    _parts: list[Usage] = field(default_factory=list)

    def add(self, raw: Any) -> None:
        """Count the usage object of one request."""
        self._parts.append(_priced(raw, self.tariff))

    def total(self) -> Usage:
        """All requests together; the cost is None as soon as that of one part is."""
        return Usage(
            input_tokens=sum(part.input_tokens for part in self._parts),
            cached_input_tokens=sum(part.cached_input_tokens for part in self._parts),
            output_tokens=sum(part.output_tokens for part in self._parts),
            reasoning_tokens=sum(part.reasoning_tokens for part in self._parts),
            requests=self.requests,
            cost_usd=self._cost(),
            cost_source=self._source(),
        )

    def _cost(self) -> float | None:
        costs = [part.cost_usd for part in self._parts]
        known = [cost for cost in costs if cost is not None]
        is_known = len(known) == len(costs) and (known or not self.unmetered)
        return math.fsum(known) if is_known else None

    def _source(self) -> str:
        if not self._parts and not self.unmetered:
            return "free (nothing was generated)"
        if not self._parts:
            return "unknown (the endpoint sent no usage)"
        missing = f" ({self.unmetered} without usage not counted)" if self.unmetered else ""
        return " + ".join(sorted({part.cost_source for part in self._parts})) + missing


def worst_case_cost(prompt: str, tariff: Tariff, max_output_tokens: int) -> float | None:
    """The most one request can cost by table or list, in dollars; None where neither knows the model there."""
    cost, _ = _list_price(longest_input(prompt), 0, max_output_tokens, tariff)
    return cost


def worst_case_from(seen: Usage, prompt: str, max_output_tokens: int) -> float | None:
    """The most one request can cost, from what a provider charged for an earlier one (linear prices assumed)."""
    if seen.cost_usd is None:
        return None
    fresh = seen.input_tokens - seen.cached_input_tokens * (1 - CACHED_PRICE_FLOOR)
    return seen.cost_usd * max(longest_input(prompt) / max(fresh, 1), max_output_tokens / max(seen.output_tokens, 1))


def longest_input(prompt: str) -> int:
    """The most input tokens a prompt can be."""
    return len(prompt.encode("utf-8", "replace")) + MESSAGE_OVERHEAD_TOKENS


def _priced(raw: Any, tariff: Tariff) -> Usage:
    fresh_and_cached = _count(raw, "prompt_tokens")
    cached = _count(getattr(raw, "prompt_tokens_details", None), "cached_tokens") or _count(
        raw, "prompt_cache_hit_tokens"
    )
    cached, output = min(cached, fresh_and_cached), _count(raw, "completion_tokens")
    cost, source = _reported_cost(raw), "provider"
    if cost is None:
        cost, source = _list_price(fresh_and_cached, cached, output, tariff)
    return Usage(
        input_tokens=fresh_and_cached,
        cached_input_tokens=cached,
        output_tokens=output,
        reasoning_tokens=_count(getattr(raw, "completion_tokens_details", None), "reasoning_tokens"),
        cost_usd=cost,
        cost_source=source,
    )


def _reported_cost(raw: Any) -> float | None:
    cost = getattr(raw, "cost", None)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        return None
    return float(cost)


def listed_prices(models: Iterable[Any], model: str) -> tuple[float, float] | None:
    """The prices of one token in and one out from an endpoint's list of models; None where it states none."""
    for entry in models:
        pricing = getattr(entry, "pricing", None)
        if getattr(entry, "id", None) == model and isinstance(pricing, Mapping):
            prices = _price(pricing.get("prompt")), _price(pricing.get("completion"))
            return (prices[0], prices[1]) if prices[0] is not None and prices[1] is not None else None
    return None


def _price(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None  # OpenRouter writes -1 for "varies"


def _list_price(inputs: int, cached: int, outputs: int, tariff: Tariff) -> tuple[float | None, str]:
    cost, source = _table_price(inputs, cached, outputs, tariff)
    if cost is None and tariff.listed_usd is not None:
        per_input, per_output = tariff.listed_usd
        return inputs * per_input + outputs * per_output, "price list of the endpoint"
    return cost, source


def _table_price(inputs: int, cached: int, outputs: int, tariff: Tariff) -> tuple[float | None, str]:
    try:
        import genai_prices
    except ImportError:
        return None, "unknown (genai-prices is not installed)"
    tokens = genai_prices.Usage(input_tokens=inputs, cache_read_tokens=cached, output_tokens=outputs)
    try:
        price: Decimal = genai_prices.calc_price(tokens, tariff.model, provider_api_url=tariff.base_url).total_price
    except LookupError:
        return None, "unknown"
    return float(price), f"genai-prices {genai_prices.__version__}"


def _count(holder: Any, name: str) -> int:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) and value > 0 else 0
