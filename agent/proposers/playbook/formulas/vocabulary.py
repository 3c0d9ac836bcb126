"""What torch's functions compute, as nodes: linear is a product and a sum.

Limits: elementwise operators and products; reductions.py and losses.py have the others that signatures.py lists.
Arguments that are not served (a dtype, a beta) are refused by name.
"""

from collections.abc import Callable

from agent.proposers.playbook.formulas.call import Call, NotKnown, Value
from agent.proposers.playbook.formulas.formula import Node, Number, Pointwise, Product
from agent.proposers.playbook.formulas.losses import LOSSES
from agent.proposers.playbook.formulas.reductions import REDUCTIONS
from agent.proposers.playbook.formulas.signatures import ELEMENTWISE

_POWERS = {2.0: "square", 3.0: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
_WITHOUT_EFFECT = ("inplace", "_stacklevel")


def build(call: Call) -> Value:
    """The nodes of a call. Raises NotKnown, UnknownValue or ValueError."""
    if call.function in ELEMENTWISE:
        others = [name for name in ELEMENTWISE[call.function].defaults if name not in _WITHOUT_EFFECT]
        return Pointwise(call.function, tuple(map(call.node, others)))
    return _BUILDERS[call.function](call)


def power(base: Node, exponent: Node) -> Node:
    """`base ** exponent` for the exponents that are a few multiplications or a root."""
    value = exponent.literal if isinstance(exponent, Number) else None
    if value == 1.0:
        return base
    if value not in _POWERS:
        raise NotKnown("a power other than 2, 3, 1/2, -1/2 and -1")
    return Pointwise(_POWERS[value], (base,))


def _add(call: Call) -> Node:
    if call.constant("alpha") != 1:
        raise NotKnown(f"{call.function} with alpha")
    return Pointwise(call.function, (call.node(), call.node("other")))


def _gelu(call: Call) -> Node:
    operator = {"none": "gelu", "tanh": "gelu_tanh"}[call.constant("approximate")]
    return Pointwise(operator, (call.node(),))


def _clamp(call: Call) -> Node:
    least, most, node = call.optional("min"), call.optional("max"), call.node()
    node = node if least is None else Pointwise("at_least", (node, least))
    return node if most is None else Pointwise("at_most", (node, most))


def _matmul(call: Call) -> Node:
    second = next(name for name in ("other", "mat2", "vec") if name in call.bound)
    return Product(call.values.tensor(call.bound["input"]), call.values.tensor(call.bound[second]))


def _linear(call: Call) -> Node:
    product = Product(call.values.tensor(call.bound["input"]), call.values.tensor(call.bound["weight"]).turned(0, 1))
    bias = call.optional("bias")
    return product if bias is None else Pointwise("add", (product, bias))


def _addmm(call: Call) -> Node:
    if call.constant("beta") != 1 or call.constant("alpha") != 1:
        raise NotKnown("addmm with beta or alpha")
    product = Product(call.values.tensor(call.bound["mat1"]), call.values.tensor(call.bound["mat2"]))
    return Pointwise("add", (product, call.node()))


def _einsum(call: Call) -> Node:
    """The equations that are one matrix product: the last label of the left operand meets one of the right."""
    left, right = (call.values.tensor(call.bound[name]) for name in ("left", "right"))
    operands, _, result = call.constant("equation").replace(" ", "").partition("->")
    one, _, other = operands.partition(",")
    rows, met = one[:-1], one[-1:]
    for labels, view in ((other, right), (other[:-2] + other[:-3:-1], right.turned(-2, -1))):
        batch, inner, column = labels[:-2], labels[-2:-1], labels[-1:]
        is_product = inner == met and result == rows + column and met not in result
        if is_product and (not batch or batch == rows[:-1]):
            return Product(left, view)
    raise NotKnown(f"the equation {call.constant('equation')!r}")


def _transpose(call: Call) -> Node:
    tensor = call.values.tensor(call.bound["input"])
    if call.function == "t":
        return tensor.turned(0, 1) if len(tensor.shape) == 2 else tensor
    return tensor.turned(call.constant("dim0"), call.constant("dim1"))


_BUILDERS: dict[str, Callable[[Call], Value]] = {
    **REDUCTIONS,
    **LOSSES,
    **dict.fromkeys(("add", "sub"), _add),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), _matmul),
    **dict.fromkeys(("t", "transpose"), _transpose),
    "gelu": _gelu,
    "clamp": _clamp,
    "pow": lambda call: power(call.node(), call.node("exponent")),
    "linear": _linear,
    "addmm": _addmm,
    "einsum": _einsum,
}
