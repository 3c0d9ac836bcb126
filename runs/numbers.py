"""Numbers for a reader.

Limits: digits only; the unit and where a figure comes from are said beside it.
"""

import math


def number_text(value: float) -> str:
    """Four significant digits, no exponent where it can be read without one."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value)}"
    return f"{value:.4g}"


def ratio_text(value: float | None) -> str:
    """A ratio such as a speedup with three digits; empty where there is none."""
    return "" if value is None else f"{value:.3g}"
