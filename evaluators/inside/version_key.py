"""Triton's key of itself, without reading itself: it hashes its 0.46 GB library (0.3 s) before the first kernel.

The key tells apart what different Tritons left in one cache folder. Here a cache lies in the scratch folder of one
program and ends with it, so the version will do.

Limits: the two places where Triton 3.6 and 3.7 ask for the key.
"""

import triton
from triton.runtime import autotuner, cache


def install() -> None:
    """From here on the version of Triton is its key."""
    cache.triton_key = autotuner.triton_key = lambda: triton.__version__
