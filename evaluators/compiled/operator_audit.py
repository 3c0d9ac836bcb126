"""Which PyTorch operators forward may execute besides its kernels: those that allocate, copy, arrange or fill.

Limits: judges names that PyTorch dispatched on the thread that ran forward; the text of a candidate is screened
elsewhere.
"""

from collections.abc import Iterable, Sequence

from evaluators.rungs import Failure, OperatorCalls
from evaluators.screening.allowed import is_library_op

_MOVES_DATA = frozenset(
    (
        *("clone", "copy", "copy_", "_to_copy", "contiguous", "resize_", "set_", "lift_fresh_copy", "_unsafe_view"),
        *(
            "zeros",
            "zeros_like",
            "new_zeros",
            "zero_",
            "ones",
            "ones_like",
            "new_ones",
            "full",
            "full_like",
            "new_full",
        ),
        *("fill", "fill_", "scalar_tensor", "arange", "rand", "randn", "randint", "rand_like", "randn_like"),
        *("constant_pad_nd", "cat", "stack", "flip", "roll", "rot90", "repeat", "tile", "repeat_interleave"),
        *("index", "index_select", "gather", "select_scatter", "slice_scatter", "slice_backward", "select_backward"),
        *("_reshape_copy", "_reshape_alias_copy", "view_copy", "permute_copy", "transpose_copy", "t_copy"),
    )
)


def computing(operators: Iterable[OperatorCalls], allowed: Sequence[str]) -> tuple[OperatorCalls, ...]:
    """Operators that do arithmetic and that the problem does not allow."""
    return tuple(
        operator
        for operator in operators
        if operator.name not in _MOVES_DATA and not is_library_op(operator.name, tuple(allowed))
    )


def audit(operators: Iterable[OperatorCalls], allowed: Sequence[str]) -> Failure | None:
    """A failure that names the operators which compute what the candidate's kernels should."""
    found = computing(operators, allowed)
    if not found:
        return None
    names = ", ".join(f"aten::{operator.name} x{operator.calls}" for operator in found)
    return Failure(
        "rejected",
        f"forward computes with PyTorch operators ({names}): the arithmetic of every output value belongs in the "
        "candidate's own kernels; torch may allocate, view, permute, copy, pad and fill",
    )
