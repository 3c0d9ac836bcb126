"""What a reply cost: the provider's own figure, else the genai-prices table, else unknown (None, never 0).

The worst case before a call counts one input token per byte of the prompt (a byte-level tokenizer never needs more) and
the whole output limit. Reasoning tokens are part of the output tokens, as OpenAI counts them.

Limits: list prices; no discounts, no taxes. A broken reply for which the provider sent no usage is named in
`cost_source`, not guessed.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from runs.nouns import Usage

MESSAGE_OVERHEAD_TOKENS = 64  # role markers of a chat template, generously
CACHED_PRICE_FLOOR = 0.1  # cached input costs at least a tenth of fresh input in every table looked at


@dataclass
class Bill:
    """What the requests of one proposal used, failed ones included."""

    model: str
    base_url: str
    requests: int = 0
    unmetered: int = 0  # replies that had begun and brought no usage: paid for, amount unknown
    _parts: list[Usage] = field(default_factory=list)

    def add(self, raw: Any) -> None:
        """Count the usage object of one request."""
        self._parts.append(_priced(raw, self.model, self.base_url))

    def total(self) -> Usage:
        """All requests together; the cost is None as soon as that of one part is."""
        costs = [part.cost_usd for part in self._parts]
        return Usage(
            input_tokens=sum(part.input_tokens for part in self._parts),
            cached_input_tokens=sum(part.cached_input_tokens for part in self._parts),
            output_tokens=sum(part.output_tokens for part in self._parts),
            reasoning_tokens=sum(part.reasoning_tokens for part in self._parts),
            requests=self.requests,
            cost_usd=sum(cost for cost in costs if cost is not None) if costs and None not in costs else None,
            cost_source=self._source(),
        )

    def _source(self) -> str:
        if not self._parts:
            return "unknown (the endpoint sent no usage)"
        missing = f" ({self.unmetered} without usage not counted)" if self.unmetered else ""
        return " + ".join(sorted({part.cost_source for part in self._parts})) + missing


def worst_case_cost(prompt: str, model: str, max_output_tokens: int, *, base_url: str) -> float | None:
    """The most one request can cost by the price table, in dollars; None where it does not know the model there."""
    cost, _ = _table_price(_longest_input(prompt), 0, max_output_tokens, (model, base_url))
    return cost


def worst_case_from(seen: Usage, prompt: str, max_output_tokens: int) -> float | None:
    """The most one request can cost, from what a provider charged for an earlier one (linear prices assumed)."""
    if seen.cost_usd is None:
        return None
    fresh = seen.input_tokens - seen.cached_input_tokens * (1 - CACHED_PRICE_FLOOR)
    return seen.cost_usd * max(_longest_input(prompt) / max(fresh, 1), max_output_tokens / max(seen.output_tokens, 1))


def _longest_input(prompt: str) -> int:
    return len(prompt.encode("utf-8", "replace")) + MESSAGE_OVERHEAD_TOKENS


def _priced(raw: Any, model: str, base_url: str) -> Usage:
    fresh_and_cached = _count(raw, "prompt_tokens")
    cached = _count(getattr(raw, "prompt_tokens_details", None), "cached_tokens") or _count(
        raw, "prompt_cache_hit_tokens"
    )
    cached, output = min(cached, fresh_and_cached), _count(raw, "completion_tokens")
    cost, source = _reported_cost(raw), "provider"
    if cost is None:
        cost, source = _table_price(fresh_and_cached, cached, output, (model, base_url))
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


def _table_price(inputs: int, cached: int, outputs: int, at: tuple[str, str]) -> tuple[float | None, str]:
    model, base_url = at
    try:
        import genai_prices
    except ImportError:
        return None, "unknown (genai-prices is not installed)"
    tokens = genai_prices.Usage(input_tokens=inputs, cache_read_tokens=cached, output_tokens=outputs)
    try:
        price: Decimal = genai_prices.calc_price(tokens, model, provider_api_url=base_url).total_price
    except LookupError:
        return None, "unknown"
    return float(price), f"genai-prices {genai_prices.__version__}"


def _count(holder: Any, name: str) -> int:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) and value > 0 else 0
