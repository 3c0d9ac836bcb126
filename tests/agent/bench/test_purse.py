"""One budget over many runs: whatever the order, what is handed out never exceeds what is left."""

import random

import pytest

from agent.bench.purse import Purse, Spent
from runs.nouns import Budget


@pytest.mark.parametrize("seed", range(20))
def test_runs_that_keep_to_their_shares_keep_the_budget(seed):
    chance = random.Random(seed)
    budget = Budget(max_cost_usd=10.0, max_tokens=100_000)
    earlier = [Spent(chance.uniform(0, 1), chance.randrange(5000)) for _ in range(3)]
    purse = Purse(budget, earlier, left=12, at_once=4)
    spent_usd, spent_tokens = sum(part.usd for part in earlier), sum(part.tokens for part in earlier)
    open_ = []
    for number in range(12):
        before = earlier[number] if number < 3 else Spent()
        share = purse.share(before)
        assert share.max_cost_usd > before.usd
        open_.append((share, before))
        while len(open_) > chance.randrange(4):
            share, before = open_.pop(chance.randrange(len(open_)))
            after = Spent(
                chance.uniform(before.usd, share.max_cost_usd), chance.randint(before.tokens, share.max_tokens)
            )
            spent_usd, spent_tokens = spent_usd + after.usd - before.usd, spent_tokens + after.tokens - before.tokens
            purse.give_back(share, after)
        promised = sum(share.max_cost_usd - before.usd for share, before in open_)
        assert spent_usd + promised <= 10.0 + 1e-9
        assert spent_tokens + sum(share.max_tokens - before.tokens for share, before in open_) <= 100_000


def test_an_unused_share_goes_to_the_next_and_an_empty_purse_says_so():
    purse = Purse(Budget(max_cost_usd=1.0), [], left=2, at_once=1)
    first = purse.share(Spent())
    assert first.max_cost_usd == pytest.approx(0.5)
    purse.give_back(first, Spent())
    assert purse.share(Spent()).max_cost_usd == pytest.approx(1.0)
    assert "cost cap $1 used up" in Purse(Budget(max_cost_usd=1.0), [Spent(1.0)], left=1, at_once=1).share(Spent())
    assert "unknown" in Purse(Budget(max_cost_usd=1.0), [Spent(None)], left=1, at_once=1).share(Spent())
    assert "time used up" in Purse(Budget(max_seconds=0.0), [], left=1, at_once=1).share(Spent())
    assert Purse(Budget(), [Spent(None)], left=1, at_once=1).share(Spent()).max_cost_usd is None
