"""What torch's loss functions compute, as nodes: an elementwise distance, then its mean or sum over everything.

Limits: distances of two tensors of one shape, without weights; class indices (cross_entropy) have no nodes.
"""

from collections.abc import Callable

from agent.proposers.playbook.formulas.call import Call, NotKnown
from agent.proposers.playbook.formulas.formula import COUNT, Dims, Node, Number, Pointwise, Reduction


def _mse(call: Call) -> Node:
    return _reduced(call, Pointwise("square", (_difference(call),)))


def _l1(call: Call) -> Node:
    return _reduced(call, Pointwise("abs", (_difference(call),)))


def _smooth_l1(call: Call) -> Node:
    """Half the square over beta near 0, the distance less half of beta elsewhere; huber is beta times as much."""
    knee = call.node("beta" if "beta" in call.bound else "delta")
    found = Pointwise("smooth_l1", (_difference(call), knee))
    return _reduced(call, Pointwise("mul", (found, knee)) if call.function == "huber_loss" else found)


def _kl_div(call: Call) -> Node:
    if call.constant("log_target"):
        raise NotKnown("kl_div with log_target")
    return _reduced(call, Pointwise("relative_entropy", (call.node(), call.node("target"))))


def _difference(call: Call) -> Node:
    return Pointwise("sub", (call.node(), call.node("target")))


def _reduced(call: Call, distance: Node) -> Node:
    """mean, sum, none, or the sum over the first dimension's size."""
    call.refuse_unless_default("size_average", "reduce", *(("weight",) if "weight" in call.bound else ()))
    how, dims = call.constant("reduction"), tuple(range(len(distance.shape)))
    if how == "none":
        return distance
    total = Reduction("sum", distance, Dims("None", dims), keeps_dims=False)
    if how == "sum":
        return total
    if how == "batchmean":
        tensor = call.values.tensor(call.bound["target"])
        return Pointwise("div", (total, Number(f"{tensor.text}.shape[0]")))
    return Pointwise("div", (total, COUNT))


LOSSES: dict[str, Callable[[Call], Node]] = {
    "mse_loss": _mse,
    "l1_loss": _l1,
    "smooth_l1_loss": _smooth_l1,
    "huber_loss": _smooth_l1,
    "kl_div": _kl_div,
}
