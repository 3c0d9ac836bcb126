"""The numeric outcome of all comparisons of an examination: the worst error against its bound, and the class that held.

Limits: bookkeeping; what is compared and whether it is good enough is compare.py.
"""

from dataclasses import dataclass

from evaluators.evaluation import NumericError
from evaluators.judge.compare import Comparison, Precision, numeric_error_of, worse_of


@dataclass
class Tally:
    """`worst` is the comparison that came nearest to its bound, None before the first."""

    worst: NumericError | None = None
    elements: int = 0
    precision: Precision = "fp32"

    def note(self, c: Comparison, geometry: str) -> None:
        """Count one comparison."""
        self.elements += c.elements
        self.precision = "tf32" if c.precision == "tf32" else self.precision
        if self.worst:
            self.worst = self.worst.model_copy(update={"precision": self.precision})
        self.worst = worse_of(self.worst, numeric_error_of(c, geometry, self.elements, self.precision))
