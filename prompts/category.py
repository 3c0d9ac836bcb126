"""The category of a problem's operators, by which stages override their rules and gates, and what is in a fusion.

Limits: by operator names alone; two working operators or more are a fusion, whatever they are.
"""

from evaluators.problem import ProblemFacts
from prompts.stage import EVERY_GROUP, Category, Group, Stage, groups_of_category

_ELEMENTWISE = {"relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "elu", "selu", "celu", "hardtanh"}
_ELEMENTWISE |= {"hardswish", "hardsigmoid", "softplus", "mish", "threshold", "clamp", "add", "sub", "rsub", "mul"}
_ELEMENTWISE |= {"div", "pow", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "reciprocal", "maximum", "minimum", "where"}
_REDUCTIONS = {"sum", "mean", "max", "min", "amax", "amin", "prod", "argmax", "argmin", "cumsum", "cumprod", "var"}
_REDUCTIONS |= {"softmax", "log_softmax", "logsumexp", "std", "norm", "linalg_vector_norm"}
_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "linear", "einsum", "baddbmm"}


def category_of(facts: ProblemFacts | None) -> Category:
    """The category; `other` where nothing fits or nothing is known."""
    working = _working(facts)
    if facts is None or not working:
        return "other"
    return _category(facts.operator) if len(working) <= 1 else "fusion"


def categories_in(facts: ProblemFacts | None) -> frozenset[Category]:
    """The categories of all operators of a problem, those inside a fusion too."""
    return frozenset(map(_category, _working(facts)))


def groups_of(facts: ProblemFacts | None) -> frozenset[Group]:
    """The groups of categories whose advice is about this problem; all of them where nothing is known of it."""
    if facts is None:
        return EVERY_GROUP
    return frozenset(group for category in categories_in(facts) for group in groups_of_category(category))


def adapted(stage: Stage, facts: ProblemFacts | None) -> Stage:
    """The stage as it is for the operators of a problem."""
    return stage.for_category(category_of(facts), groups_of(facts))


def _working(facts: ProblemFacts | None) -> tuple[str, ...]:
    names = (facts.operators or (facts.operator,)) if facts else ()
    return tuple(name for name in names if name not in ("contiguous", "clone"))


def _category(operator: str) -> Category:
    if operator.startswith("conv_transpose"):
        return "transposed_conv"
    if operator.startswith("conv"):
        return "conv"
    if operator in _PRODUCTS:
        return "matmul"
    if operator in _ELEMENTWISE:
        return "activation"
    if operator in _REDUCTIONS:
        return "reduction"
    return "normalization" if "norm" in operator else "other"
