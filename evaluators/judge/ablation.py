"""Does the result come from the candidate's kernels? Without their stores it must not be right any more.

However a library is called, a result that is right although no kernel has written anything was computed elsewhere.
Limits: in the interpreter; a kernel that copies a finished result is found by the arithmetic that it lacks.
"""

from collections.abc import Sequence
from typing import Any

from evaluators.judge.compare import Expected, compare
from evaluators.judge.conversation import CandidateFault, Conversation
from evaluators.judge.verdicts import Wrong

CHECK = "own_results"


def require_kernels_matter(talk: Conversation, inputs: Sequence[Any], expected: Sequence[Expected]) -> bool:
    """One call whose kernels store nothing; False where it cannot be made. Raises Wrong where the result is right."""
    if not all(want.exact.is_floating_point() for want in expected):
        return False  # only stores of floating-point values are left out
    try:
        answer = talk.call(inputs, [e.own for e in expected], options={"dry": True})
    except CandidateFault:
        return False  # without its kernels' results it need not get anywhere
    if answer.report.get("dry") is not True:
        return False
    results = [compare(got, want) for got, want in zip(answer.outputs, expected, strict=True) if want.own.numel()]
    if results and all(result.passed for result in results) and any(bool(e.exact.any()) for e in expected):
        message = "forward returns the right result even where its kernels store nothing: it is computed elsewhere"
        raise Wrong(CHECK, "rejected", message)
    return True
