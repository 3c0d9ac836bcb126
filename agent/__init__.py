"""The agent decides: the loop, the policy, budgets, proposers and the command line."""

__version__ = "0.1.0"
