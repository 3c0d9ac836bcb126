"""Search strategies, one file each: a function `strategy(options)` that returns an agent.policy.Strategy."""
