"""What comparisons come to, in one process and in several."""

from evaluators.judge.compare import Comparison
from evaluators.judge.tally import Tally


def test_what_two_processes_compared_is_one_tally():
    one, other = Tally(), Tally()
    one.note(Comparison(error=3e-7, allowed=1e-6, reference_own=0.0, elements=100, passed=True), "reduced")
    other.note(
        Comparison(error=1e-4, allowed=9e-4, reference_own=0.0, elements=7, passed=True, precision="tf32"), "smallest"
    )
    one.add(other)
    assert (one.elements, one.precision) == (107, "tf32")
    assert one.worst is not None
    assert (one.worst.geometry, one.worst.elements_compared, one.worst.precision) == ("reduced", 107, "tf32")
