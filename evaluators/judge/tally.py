"""The numeric outcome of all comparisons of an examination: the worst error against its bound, and the class that held.

Limits: bookkeeping; what is compared and whether it is good enough is compare.py.
"""

from dataclasses import dataclass

from evaluators.evaluation import NumericError
from evaluators.judge.compare import Comparison, Precision, numeric_error_of, worse_of


@dataclass
class Tally:
    """`worst`: the comparison nearest to its bound, with the elements and the class of all; None before the first."""

    worst: NumericError | None = None
    elements: int = 0
    precision: Precision = "fp32"

    def note(self, c: Comparison, geometry: str) -> None:
        """Count one comparison."""
        self.elements += c.elements
        self._hold(numeric_error_of(c, geometry, self.elements, c.precision))

    def add(self, other: "Tally") -> None:
        """Count what another has counted."""
        self.elements += other.elements
        if other.worst:
            self._hold(other.worst)

    def _hold(self, found: NumericError) -> None:
        self.precision = "tf32" if found.precision == "tf32" else self.precision
        whole = {"precision": self.precision, "elements_compared": self.elements}
        self.worst = worse_of(self.worst, found).model_copy(update=whole)
