"""What each elementwise operator is in a kernel, in fp32: the accurate form where the obvious one cancels.

Triton's exp is one approximate instruction; its log, erf and division are accurate. tanh, expm1 and log1p do not exist
there and are written out below (FUNCTIONS), because exp(x) - 1 near 0 would lose every digit.

Limits: float32 inside. The texts are those of torch's definitions; NaN passes through all of them.
"""

import re

TEXTS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "tl.abs({0})",
    "square": "{0} * {0}",
    "cube": "{0} * {0} * {0}",
    "reciprocal": "1.0 / {0}",
    "sqrt": "tl.sqrt_rn({0})",
    "rsqrt": "1.0 / tl.sqrt_rn({0})",
    "exp": "exp({0})",
    "expm1": "expm1({0})",
    "log": "tl.log({0})",
    "log1p": "log1p({0})",
    "sin": "tl.sin({0})",
    "cos": "tl.cos({0})",
    "erf": "tl.erf({0})",
    "tanh": "tanh({0})",
    "sigmoid": "1.0 / (1.0 + tl.exp(-{0}))",
    "logsigmoid": "tl.where({0} < 0.0, {0}, 0.0) - log1p(tl.exp(-tl.abs({0})))",
    "relu": "tl.where({0} < 0.0, 0.0, {0})",
    "relu6": "tl.where({0} < 0.0, 0.0, tl.where({0} > 6.0, 6.0, {0}))",
    "leaky_relu": "tl.where({0} < 0.0, {0} * {1}, {0})",
    "elu": "tl.where({0} > 0.0, {0}, {1} * expm1({0}))",
    "celu": "tl.where({0} > 0.0, {0}, {1} * expm1({0} / {1}))",
    "selu": "1.0507009873554805 * tl.where({0} > 0.0, {0}, 1.6732632423543772 * expm1({0}))",
    "silu": "{0} / (1.0 + tl.exp(-{0}))",
    "mish": "{0} * tanh(tl.where({0} > 20.0, {0}, log1p(tl.exp({0}))))",
    "softplus": "tl.where({0} * {1} > {2}, {0}, log1p(tl.exp({0} * {1})) / {1})",
    "fast_exp": "tl.exp({0})",
    "softsign": "{0} / (1.0 + tl.abs({0}))",
    "tanhshrink": "{0} - tanh({0})",
    "softshrink": "tl.where({0} > {1}, {0} - {1}, tl.where({0} < -{1}, {0} + {1}, {0} * 0.0))",
    "hardshrink": "tl.where(tl.abs({0}) > {1}, {0}, {0} * 0.0)",
    "threshold": "tl.where({0} <= {1}, {2}, {0})",
    "hardtanh": "tl.where({0} < {1}, {1}, tl.where({0} > {2}, {2}, {0}))",
    "at_least": "tl.where({0} < {1}, {1}, {0})",
    "at_most": "tl.where({0} > {1}, {1}, {0})",
    "maximum": "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "minimum": "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
    "hardsigmoid": "tl.where({0} < -3.0, 0.0, tl.where({0} > 3.0, 1.0, ({0} + 3.0) / 6.0))",
    "hardswish": "{0} * tl.where({0} < -3.0, 0.0, tl.where({0} > 3.0, 1.0, ({0} + 3.0) / 6.0))",
    "smooth_l1": "tl.where(tl.abs({0}) < {1}, 0.5 * {0} * {0} / {1}, tl.abs({0}) - 0.5 * {1})",
    "relative_entropy": "tl.where({1} > 0.0, {1} * tl.log({1}), {1} * 0.0) - {1} * {0}",
    "gelu": "0.5 * {0} * (1.0 + tl.erf({0} * 0.7071067811865476))",
    "gelu_tanh": "0.5 * {0} * (1.0 + tanh(0.7978845608028654 * ({0} + 0.044715 * {0} * {0} * {0})))",
}

# Functions the texts call, each after those it calls itself.
FUNCTIONS = {
    "exp": '''
@triton.jit
def exp(x):
    """e**x from a remainder below 0.35 and a power of two: the plain instruction loses |x| units in the last place."""
    x = tl.where(x < -150.0, -150.0, tl.where(x > 150.0, 150.0, x))
    n = tl.floor(x * 1.4426950408889634 + 0.5)
    rest = (x - n * 0.693145751953125) - n * 1.4286068203094172e-06
    half = tl.floor(n * 0.5)
    return tl.exp(rest) * tl.exp2(half) * tl.exp2(n - half)
''',
    "expm1": '''
@triton.jit
def expm1(x):
    """e**x - 1: a series near 0, where the subtraction would lose every digit."""
    series = x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * (
        1.0 + x / 7.0))))))
    return tl.where(tl.abs(x) < 0.35, series, tl.exp(x) - 1.0)
''',
    "log1p": '''
@triton.jit
def log1p(x):
    """log(1 + x); what 1 + x rounds away is put back by the quotient."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.where(x > 1e30, tl.log(x), tl.log(u) * (x / (u - 1.0))))
''',
    "tanh": '''
@triton.jit
def tanh(x):
    """From expm1, so that small values keep their digits."""
    size = tl.abs(x)
    e = expm1(2.0 * tl.where(size > 20.0, 20.0, size))
    return tl.where(x < 0.0, -e, e) / (e + 2.0)
''',
}
_CALLED = re.compile(r"(?<![\w.])([a-z]\w*)\(")


def functions_for(lines: str, known: dict[str, str] = FUNCTIONS) -> str:
    """The texts of the functions that these lines of a kernel call, directly or through each other."""
    needed: set[str] = set()
    unseen = {name for name in _CALLED.findall(lines) if name in known}
    while unseen:
        needed |= unseen
        unseen = {n for name in unseen for n in _CALLED.findall(known[name]) if n in known} - needed
    return "\n".join(text for name, text in known.items() if name in needed)
