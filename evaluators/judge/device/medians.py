"""How well the median of some samples is known.

Limits: by a bootstrap of 200 drawings with a fixed seed, so that the same samples always say the same. Samples are
taken to be independent, which those of a card that warms up are not.
"""

from collections.abc import Sequence

import numpy as np

_DRAWINGS = 200
_HALF_OF_95 = 1.96  # standard errors on either side hold 95 % of a normal distribution


def standard_error_ms(values: Sequence[float]) -> float:
    """Of the median of samples in ms."""
    kept = np.array(values)
    draws = np.random.default_rng(0).choice(kept, (_DRAWINGS, len(kept)))
    return float(np.median(draws, axis=1).std())


def half_interval_ms(values: Sequence[float]) -> float:
    """Half the 95 % interval of the median of samples in ms."""
    return _HALF_OF_95 * standard_error_ms(values)
