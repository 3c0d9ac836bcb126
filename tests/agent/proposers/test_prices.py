"""What a reply cost and what the next one can cost at most; unknown is never 0."""

from types import SimpleNamespace
from typing import Any

import genai_prices
import pytest
from scripted_llm import Step

from agent.proposers.openai import OpenAIProposer
from agent.proposers.prices import Bill, Tariff, worst_case_cost, worst_case_from
from runs.nouns import Usage

OPENAI = Tariff("gpt-5", "https://api.openai.com/v1")


def usage(**fields: Any) -> Any:
    return SimpleNamespace(**{"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, **fields})


def total(tariff: Tariff, *parts: Any, unmetered: int = 0) -> Usage:
    bill = Bill(tariff, requests=len(parts) + unmetered, unmetered=unmetered)
    for part in parts:
        bill.add(part)
    return bill.total()


def test_the_table_prices_a_known_model_at_its_provider_and_names_its_version() -> None:
    expected = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1_000_000, output_tokens=1_000_000), "gpt-5", provider_id="openai"
    ).total_price
    told = total(OPENAI, usage())
    assert told.cost_usd == pytest.approx(float(expected)) and told.cost_usd
    assert told.cost_source == f"genai-prices {genai_prices.__version__}"


def test_the_provider_s_figure_comes_before_the_table() -> None:
    assert (total(OPENAI, usage(cost=3)).cost_usd, total(OPENAI, usage(cost=3)).cost_source) == (3.0, "provider")
    assert total(OPENAI, usage(cost=0)).cost_usd == 0.0


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), True, "3", None])
def test_a_figure_that_is_no_price_is_not_taken(cost: Any) -> None:
    assert total(Tariff("no-such-model", "https://x.example/v1"), usage(cost=cost)).cost_usd is None


def test_cached_tokens_are_cheaper_and_never_more_than_all() -> None:
    fresh, cached = total(OPENAI, usage()), total(OPENAI, usage(prompt_cache_hit_tokens=2_000_000))
    assert cached.cached_input_tokens == 1_000_000
    assert fresh.cost_usd and cached.cost_usd and cached.cost_usd < fresh.cost_usd


def test_one_unknown_part_makes_the_sum_unknown() -> None:
    mixed = total(Tariff("no-such-model", "https://x.example/v1"), usage(cost=1), usage())
    assert mixed.cost_usd is None and mixed.cost_source == "provider + unknown"
    assert total(OPENAI, unmetered=1).cost_usd is None
    assert total(OPENAI).cost_usd == 0.0  # refused before anything was generated


@pytest.mark.parametrize("prompt", ["", "kernel " * 1000, "\N{GRINNING FACE}" * 500, "\ud800"])
def test_the_worst_case_is_above_every_real_cost(prompt: str) -> None:
    worst = worst_case_cost(prompt, OPENAI, 1000)
    tokens_at_most = len(prompt.encode("utf-8", "replace"))
    real = total(OPENAI, usage(prompt_tokens=tokens_at_most, completion_tokens=1000)).cost_usd
    assert worst is not None and real is not None and worst >= real > 0
    assert worst_case_cost(prompt, Tariff("no-such-model", OPENAI.base_url), 1000) is None


def test_the_worst_case_from_an_earlier_charge_holds_for_any_linear_price() -> None:
    for per_input, per_output in [(1e-6, 1e-5), (0.0, 1e-5), (1e-5, 0.0)]:
        seen = Usage(input_tokens=500, output_tokens=200, cost_usd=500 * per_input + 200 * per_output)
        worst = worst_case_from(seen, "x" * 3000, 4000)
        assert worst is not None and worst >= 3000 * per_input + 4000 * per_output
    assert worst_case_from(Usage(), "x", 10) is None


def test_an_endpoint_that_lists_prices_is_believed(server: Any) -> None:
    server.models = [{"id": "other"}, {"id": "scripted", "pricing": {"prompt": "0.000001", "completion": "0.00001"}}]
    server.play(Step(text="x", usage={"prompt_tokens": 100, "completion_tokens": 10}))
    proposer = OpenAIProposer("scripted", server.url)
    assert proposer.worst_case_cost_usd("x" * 936) == pytest.approx(1000 * 1e-6 + 16384 * 1e-5)
    charged = proposer.propose(None, "p").usage  # type: ignore[arg-type]
    assert charged.cost_usd == pytest.approx(2e-4) and charged.cost_source == "price list of the endpoint"
    proposer.close()


@pytest.mark.parametrize(
    "pricing", [None, {}, {"prompt": "-1", "completion": "-1"}, {"prompt": "x", "completion": "1"}]
)
def test_an_endpoint_without_prices_is_unknown_until_it_charges(server: Any, pricing: Any) -> None:
    server.models = [{"id": "scripted", "pricing": pricing}]
    server.play(Step(text="x", usage={"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.001}))
    proposer = OpenAIProposer("scripted", server.url)
    assert proposer.worst_case_cost_usd("p") is None
    proposer.propose(None, "p")  # type: ignore[arg-type]
    worst = proposer.worst_case_cost_usd("p")
    assert worst is not None and worst == pytest.approx(0.001 * 1638.4)
    proposer.close()
