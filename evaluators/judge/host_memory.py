"""Whose fault it is when memory runs out at the published size without a GPU: the machine's or the candidate's.

Limits: by sizes the judge knows; how much a candidate really asked for is its own word.
"""

import os

from evaluators.judge.facts import facts_of
from evaluators.problem import Problem
from sandbox import Limits

HELD = 3  # times inputs, parameters and outputs: with its packed copy 68 takes 1.35, by its sizes


def is_host_too_small(problem: Problem) -> bool:
    """Whether an honest candidate may find too little memory here."""
    host_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HELD * facts_of(problem).bytes_moved > min(Limits().memory_mb << 20, host_bytes)
