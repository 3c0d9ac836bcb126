"""What torch's reductions and normalizations compute, as nodes: softmax is a maximum, a sum, a division.

Limits: values; the indices that torch.max gives beside them have no node.
"""

import ast
from collections.abc import Callable
from typing import Any

from agent.proposers.playbook.formulas.call import Call, NotKnown, Value, is_none
from agent.proposers.playbook.formulas.formula import COUNT, Dims, Node, Number, Pointwise, Reduction
from agent.proposers.playbook.formulas.published import UnknownValue


def _sub(one: Node, other: Node) -> Node:
    return Pointwise("sub", (one, other))


def _mul(one: Node, other: Node) -> Node:
    return Pointwise("mul", (one, other))


def _exponentials(call: Call, part: Node) -> tuple[Node, Node, Node]:
    """(part - its maximum, the maximum, the sum of the exponentials of the difference)."""
    if "dtype" in call.bound:
        call.refuse_unless_default("dtype")
    if is_none(call.bound["dim"]) or call.constant("dim") is None:
        raise NotKnown(f"{call.function} without a dimension")
    dims = call.dims(part)
    top = Reduction("top", part, dims)
    return _sub(part, top), top, Reduction("exp_sum", part, dims)


def _softmax(call: Call) -> Node:
    part = call.node()
    shifted, _, total = _exponentials(call, Pointwise("neg", (part,)) if call.function == "softmin" else part)
    return Pointwise("div", (Pointwise("fast_exp", (shifted,)), total))


def _log_softmax(call: Call) -> Node:
    shifted, _, total = _exponentials(call, call.node())
    return _sub(shifted, Pointwise("log", (total,)))


def _logsumexp(call: Call) -> Node:
    _, top, total = _exponentials(call, call.node())
    return _kept(Pointwise("add", (top, Pointwise("log", (total,)))), call)


def _kept(node: Node, call: Call) -> Node:
    """The same with the reduced dimensions gone from the result where the call says so."""
    if call.constant("keepdim"):
        return node

    def without(inner: Node) -> Node:
        if isinstance(inner, Reduction):
            return Reduction(inner.kind, inner.part, inner.dims, keeps_dims=False)
        return Pointwise(inner.operator, tuple(map(without, inner.parts))) if isinstance(inner, Pointwise) else inner

    return without(node)


def _sum(call: Call) -> Node:
    call.refuse_unless_default("dtype")
    return _kept(Reduction("sum", call.node(), call.dims(call.node())), call)


def _mean(call: Call) -> Node:
    call.refuse_unless_default("dtype")
    return _kept(_average(call.node(), call.dims(call.node())), call)


def _average(part: Node, dims: Dims) -> Node:
    return Pointwise("div", (Reduction("sum", part, dims), COUNT))


def _variance(call: Call) -> Node:
    part = call.node()
    given = call.optional("correction")
    lost = call.constant("correction") if given is not None else int(call.constant("unbiased"))
    dims = call.dims(part)
    centred = _sub(part, _average(part, dims))
    spread = Reduction("sum", Pointwise("square", (centred,)), dims)
    variance: Node = Pointwise("div", (spread, _sub(COUNT, Number(repr(lost)))))
    return Pointwise("sqrt", (variance,)) if call.function == "std" else variance


def _largest(call: Call) -> Value:
    """torch.max and torch.min: of two tensors, of everything, or (values, indices) along one dimension."""
    kind = call.function.removeprefix("a")
    given = call.bound["dim"]
    try:
        call.values.published.value(given)
    except UnknownValue:
        return Pointwise(f"{kind}imum", (call.node(), call.values.node(given)))
    found = _kept(Reduction(kind, call.node(), call.dims(call.node())), call)
    is_pair = call.function == kind and not is_none(given)
    return (found,) if is_pair else found


def _norm(call: Call) -> Node:
    order = call.constant("p" if "p" in call.bound else "ord")
    part, dims = call.node(), call.dims(call.node())
    return _kept(_length(part, dims, order), call)


def _length(part: Node, dims: Dims, order: Any) -> Node:
    if order in (2, "fro", None):
        return Pointwise("sqrt", (Reduction("sum", Pointwise("square", (part,)), dims),))
    if order == 1:
        return Reduction("sum", Pointwise("abs", (part,)), dims)
    if order == float("inf"):
        return Reduction("max", Pointwise("abs", (part,)), dims)
    raise NotKnown(f"a norm of order {order!r}")


def _normalize(call: Call) -> Node:
    call.refuse_unless_default("out")
    part = call.node()
    length = _length(part, call.dims(part), call.constant("p"))
    return Pointwise("div", (part, Pointwise("at_least", (length, call.node("eps")))))


def _trailing(call: Call, part: Node) -> Dims:
    """The last dimensions, as many as normalized_shape has."""
    text, rank = ast.unparse(call.bound["normalized_shape"]), len(part.shape)
    published = call.constant("normalized_shape")
    count = len(published) if isinstance(published, tuple) else 1
    last = f"tuple(range(-len({text}), 0))" if text.startswith("self.") else str(tuple(range(-count, 0)))
    return Dims(last, tuple(range(rank - count, rank)))


def _layer_norm(call: Call) -> Node:
    part = call.node()
    dims = _trailing(call, part)
    centred = _sub(part, _average(part, dims))
    scaled = _scaled(centred, _average(Pointwise("square", (centred,)), dims), call.node("eps"))
    return _with_parameters(call, scaled)


def _rms_norm(call: Call) -> Node:
    part = call.node()
    tensor = call.values.tensor(call.bound["input"]).text
    text = ast.unparse(call.bound["eps"])
    eps = Number(f"(torch.finfo({tensor}.dtype).eps if {text} is None else {text})")
    mean = _average(Pointwise("square", (part,)), _trailing(call, part))
    return _with_parameters(call, _scaled(part, mean, eps))


def _scaled(part: Node, mean_square: Node, eps: Node) -> Node:
    return _mul(part, Pointwise("rsqrt", (Pointwise("add", (mean_square, eps)),)))


def _with_parameters(call: Call, node: Node) -> Node:
    weight, bias = call.optional("weight"), call.optional("bias") if "bias" in call.bound else None
    node = node if weight is None else _mul(node, weight)
    return node if bias is None else Pointwise("add", (node, bias))


REDUCTIONS: dict[str, Callable[[Call], Value]] = {
    **dict.fromkeys(("softmax", "softmin"), _softmax),
    **dict.fromkeys(("amax", "amin", "max", "min"), _largest),
    **dict.fromkeys(("var", "std"), lambda call: _kept(_variance(call), call)),
    **dict.fromkeys(("norm", "vector_norm"), _norm),
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "sum": _sum,
    "mean": _mean,
    "normalize": _normalize,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
}
