"""Signatures of what the reader knows by name: functions of torch and of tensors, and layers of torch.nn.

A parameter in FUNCTIONS after `input` that vocabulary.py does not ask for is one whose value does not change the result
(inplace, _stacklevel) or must be left at its default (dtype, out).

Limits: text, as torch 2.9 to 2.15 document it.
"""

import ast
from dataclasses import dataclass

# Elementwise operators whose parameters, if any, are scalars in the order that their text in pointwise.py takes them.
_ELEMENTWISE = """
relu(input, inplace=False)
relu6(input, inplace=False)
leaky_relu(input, negative_slope=0.01, inplace=False)
elu(input, alpha=1.0, inplace=False)
celu(input, alpha=1.0, inplace=False)
selu(input, inplace=False)
silu(input, inplace=False)
mish(input, inplace=False)
sigmoid(input)
logsigmoid(input)
tanh(input)
softplus(input, beta=1.0, threshold=20.0)
softsign(input)
tanhshrink(input)
softshrink(input, lambd=0.5)
hardshrink(input, lambd=0.5)
threshold(input, threshold, value, inplace=False)
hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False)
hardsigmoid(input, inplace=False)
hardswish(input, inplace=False)
abs(input)
neg(input)
square(input)
reciprocal(input)
sqrt(input)
rsqrt(input)
exp(input)
expm1(input)
log(input)
log1p(input)
sin(input)
cos(input)
erf(input)
mul(input, other)
div(input, other)
maximum(input, other)
minimum(input, other)
"""
_OTHERS = """
add(input, other, alpha=1)
sub(input, other, alpha=1)
gelu(input, approximate='none')
clamp(input, min=None, max=None)
pow(input, exponent)
softmax(input, dim=None, _stacklevel=3, dtype=None)
softmin(input, dim=None, _stacklevel=3, dtype=None)
log_softmax(input, dim=None, _stacklevel=3, dtype=None)
logsumexp(input, dim, keepdim=False)
layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05)
rms_norm(input, normalized_shape, weight=None, eps=None)
normalize(input, p=2.0, dim=1, eps=1e-12, out=None)
sum(input, dim=None, keepdim=False, dtype=None)
mean(input, dim=None, keepdim=False, dtype=None)
amax(input, dim=(), keepdim=False)
amin(input, dim=(), keepdim=False)
max(input, dim=None, keepdim=False)
min(input, dim=None, keepdim=False)
var(input, dim=None, unbiased=True, keepdim=False, correction=None)
std(input, dim=None, unbiased=True, keepdim=False, correction=None)
norm(input, p='fro', dim=None, keepdim=False)
vector_norm(input, ord=2, dim=None, keepdim=False)
mse_loss(input, target, size_average=None, reduce=None, reduction='mean', weight=None)
l1_loss(input, target, size_average=None, reduce=None, reduction='mean', weight=None)
smooth_l1_loss(input, target, size_average=None, reduce=None, reduction='mean', beta=1.0)
huber_loss(input, target, reduction='mean', delta=1.0, weight=None, size_average=None, reduce=None)
kl_div(input, target, size_average=None, reduce=None, reduction='mean', log_target=False)
matmul(input, other)
mm(input, mat2)
bmm(input, mat2)
mv(input, vec)
linear(input, weight, bias=None)
addmm(input, mat1, mat2, beta=1, alpha=1)
einsum(equation, left, right)
t(input)
transpose(input, dim0, dim1)
"""
_LAYERS = """
ReLU(inplace=False) = relu
ReLU6(inplace=False) = relu6
LeakyReLU(negative_slope=0.01, inplace=False) = leaky_relu
ELU(alpha=1.0, inplace=False) = elu
CELU(alpha=1.0, inplace=False) = celu
SELU(inplace=False) = selu
SiLU(inplace=False) = silu
Mish(inplace=False) = mish
GELU(approximate='none') = gelu
Sigmoid() = sigmoid
LogSigmoid() = logsigmoid
Tanh() = tanh
Softplus(beta=1.0, threshold=20.0) = softplus
Softsign() = softsign
Tanhshrink() = tanhshrink
Softshrink(lambd=0.5) = softshrink
Hardshrink(lambd=0.5) = hardshrink
Threshold(threshold, value, inplace=False) = threshold
Hardtanh(min_val=-1.0, max_val=1.0, inplace=False) = hardtanh
Hardsigmoid(inplace=False) = hardsigmoid
Hardswish(inplace=False) = hardswish
Softmax(dim=None) = softmax
Softmin(dim=None) = softmin
LogSoftmax(dim=None) = log_softmax
LayerNorm(normalized_shape, eps=1e-05, elementwise_affine=True, bias=True) = layer_norm
RMSNorm(normalized_shape, eps=None, elementwise_affine=True) = rms_norm
Linear(in_features, out_features, bias=True) = linear
"""
PARAMETERS = ("weight", "bias")  # what a layer's function takes from the layer, where the state_dict has it


@dataclass(frozen=True)
class Signature:
    """Names of the parameters in order, with the expression of each default; None where there is none."""

    defaults: dict[str, ast.expr | None]

    def bind(self, given: list[ast.expr], named: dict[str, ast.expr]) -> dict[str, ast.expr]:
        """What each parameter is in a call. Raises TypeError where the call does not fit."""
        names = list(self.defaults)
        if len(given) > len(names) or not set(named) <= set(names[len(given) :]):
            raise TypeError("its arguments are not the ones known here")
        bound = {name: default for name, default in self.defaults.items() if default is not None}
        bound |= dict(zip(names, given, strict=False)) | named
        missing = [name for name in names if name not in bound]
        if missing:
            raise TypeError(f"it lacks {', '.join(missing)}")
        return bound


@dataclass(frozen=True)
class Layer:
    """A layer of torch.nn: its constructor's signature and the function it computes."""

    signature: Signature
    function: str


def _signature(text: str) -> tuple[str, Signature]:
    function = ast.parse(f"def {text.strip()}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    defaults: list[ast.expr | None] = [None] * (len(names) - len(function.args.defaults)) + [*function.args.defaults]
    return function.name, Signature(dict(zip(names, defaults, strict=True)))


def _layer(line: str) -> tuple[str, Layer]:
    head, _, function = line.rpartition("=")
    name, signature = _signature(head)
    return name, Layer(signature, function.strip())


ELEMENTWISE = dict(map(_signature, _ELEMENTWISE.strip().splitlines()))
FUNCTIONS = {**ELEMENTWISE, **dict(map(_signature, _OTHERS.strip().splitlines()))}
LAYERS = dict(map(_layer, _LAYERS.strip().splitlines()))
ALIASES = {
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "subtract": "sub",
    "negative": "neg",
    "absolute": "abs",
    "clip": "clamp",
    "swish": "silu",
    "log_sigmoid": "logsigmoid",
}
