"""Every output value comes from the candidate's own kernels: torch may move data, not compute with it.

The list below is what torch may do; everything else that was dispatched during a call is rejected, except what the
problem names in `library_ops`.
Limits: rests on a record made in the candidate's process: it rejects and never acquits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from evaluators.evaluation import Check
from evaluators.judge.conversation import Answer
from evaluators.judge.verdicts import Wrong, require_contract, require_in_bounds, require_kernels

_ALLOCATE = """empty empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like new_zeros
    ones ones_like new_ones full full_like new_full fill fill_ zero zero_ arange scalar_tensor resize_ set_ lift
    lift_fresh"""
_VIEW = """view _unsafe_view view_as reshape _reshape_alias permute transpose t expand expand_as slice select squeeze
    unsqueeze as_strided alias detach split split_with_sizes unsafe_split chunk unbind narrow diagonal unfold flatten
    unflatten movedim view_dtype"""
_MOVE = """clone copy copy_ _to_copy to contiguous cat stack constant_pad_nd index index_select gather repeat flip roll
    slice_scatter select_scatter pixel_shuffle channel_shuffle pin_memory _pin_memory"""
_QUERY = "equal eq ne _local_scalar_dense is_same_size is_pinned size stride numel dim storage_offset"
_DIGEST = "sum all any max min amax hash_tensor"  # to one number: how a cache of repacked weights notices a change
LAWFUL = frozenset(f"aten.{name}" for name in f"{_ALLOCATE} {_VIEW} {_MOVE} {_QUERY}".split())
LAWFUL_TO_ONE_NUMBER = frozenset(f"aten.{name}" for name in _DIGEST.split())


def is_lawful(operator: str, library_ops: frozenset[str]) -> bool:
    """Whether torch may do this beside the candidate's kernels."""
    name, _, result = operator.partition(":")
    moves = name in LAWFUL or name.startswith("prim.") or name in library_ops
    return moves or (result == "scalar" and name in LAWFUL_TO_ONE_NUMBER)


def require_lawful(answer: Answer, outputs: Sequence[torch.Tensor], library_ops: tuple[str, ...], where: str) -> None:
    """Bounds, contract, launches, operators and inputs of one call; its values are compared elsewhere. Raises Wrong."""
    require_in_bounds(answer.report, where)
    require_contract(answer.described, outputs, where)
    require_kernels(answer, where)
    require_own_arithmetic(answer.report, library_ops, where)
    if not answer.inputs_intact:
        raise Wrong("inputs_unchanged", "rejected", f"{where}: forward changed its input; inputs are read-only")


def require_own_arithmetic(report: Mapping[str, Any], library_ops: tuple[str, ...], where: str) -> None:
    """Raise Wrong where a call dispatched an operator that computes, or did what would hide one."""
    require_allowed_actions(report, where)
    recorded = report.get("operators")
    if not isinstance(recorded, Mapping):
        return
    allowed = frozenset(name if "." in name else f"aten.{name}" for name in library_ops)
    unlawful = sorted(str(name).partition(":")[0][:60] for name in recorded if not is_lawful(str(name), allowed))
    if unlawful:
        listed = ", ".join(unlawful[:5])
        advice = "compute every output value in your own kernels; torch may allocate, view, permute, copy and pad"
        raise Wrong("own_arithmetic", "rejected", f"{where}: torch computed outside the kernels: {listed}; {advice}")


def require_allowed_actions(report: Mapping[str, Any], where: str) -> None:
    """Raise Wrong where the candidate started threads or processes, or searched for what is not its own."""
    if actions := report.get("actions"):
        tried = ", ".join(sorted(str(name)[:60] for name in actions)[:5])
        advice = "forward does its work on its own thread, in its own process, before it returns"
        raise Wrong("own_arithmetic", "rejected", f"{where}: the candidate tried what is forbidden ({tried}); {advice}")


def own_arithmetic_of(report: Mapping[str, Any]) -> Check:
    """What a call that was not rejected showed."""
    if "operators" in report:
        said = "outside the kernels torch only allocated, viewed, moved and compared data"
        return Check(name="own_arithmetic", status="passed", detail=said)
    said = "the operators that ran beside the kernels were not recorded"
    return Check(name="own_arithmetic", status="not_checked", detail=said)
