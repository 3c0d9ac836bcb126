"""The category of a problem's operators, by which stages override their rules and gates.

Limits: by operator names alone; two working operators or more are a fusion, whatever they are.
"""

from evaluators.problem import ProblemFacts
from prompts.stage import Category

_ELEMENTWISE = {"relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "elu", "selu", "celu", "hardtanh"}
_ELEMENTWISE |= {"hardswish", "hardsigmoid", "softplus", "mish", "softmax", "log_softmax", "threshold", "clamp"}
_REDUCTIONS = {"sum", "mean", "max", "min", "amax", "amin", "prod", "argmax", "argmin", "cumsum", "cumprod", "var"}
_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "linear", "einsum", "baddbmm"}


def category_of(facts: ProblemFacts | None) -> Category:
    """The category; `other` where nothing fits or nothing is known."""
    if facts is None:
        return "other"
    working = [name for name in facts.operators or (facts.operator,) if name not in ("contiguous", "clone")]
    return _category(facts.operator) if len(working) <= 1 else "fusion"


def _category(operator: str) -> Category:
    if operator.startswith("conv_transpose"):
        return "transposed_conv"
    if operator.startswith("conv"):
        return "conv"
    if operator in _PRODUCTS:
        return "matmul"
    if operator in _ELEMENTWISE:
        return "activation"
    if "norm" in operator:
        return "normalization"
    return "reduction" if operator in _REDUCTIONS else "other"
