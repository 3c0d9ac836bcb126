"""The published workload of a convolution as (depth, height, width); fewer dimensions get leading ones.

Limits: sizes only. A kernel handles every legal argument; these sizes choose which kernel and which tile.
"""

import ast
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.proposers.errors import NothingToPropose
from evaluators.problem import ProblemFacts

Axes = tuple[int, int, int]
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class ConvShape:
    """Sizes of one transposed convolution as the reference runs it. `kind`: the folder in families/ that serves it."""

    kind: ClassVar[str] = ""
    batch: int
    in_channels: int  # of one group
    out_channels: int  # of one group
    groups: int
    source: Axes
    output: Axes
    kernel: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    dtype: str

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return ITEM_BYTES[self.dtype]

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return math.prod(self.kernel)

    @property
    def phases(self) -> int:
        """Classes of outputs that use the same taps."""
        return math.prod(self.stride)

    @property
    def padded(self) -> Axes:
        """Positions of one phase when zeros are stored between rows, so that a tap is one constant offset."""
        reach = (d * (k - 1) // s for d, k, s in zip(self.dilation, self.kernel, self.stride, strict=True))
        ends = (math.ceil((p + o) / s) for p, o, s in zip(self.padding, self.output, self.stride, strict=True))
        depth, height, width = (max(i + e, end) for i, e, end in zip(self.source, reach, ends, strict=True))
        return depth, height, width

    @property
    def read_bytes(self) -> int:
        """Bytes of the input."""
        return self.batch * self.groups * self.in_channels * math.prod(self.source) * self.item_bytes

    @property
    def moved_bytes(self) -> int:
        """Bytes of input, weights and output, each once."""
        weights = self.groups * self.in_channels * self.out_channels * self.taps
        return self.read_bytes + weights * self.item_bytes + self.written_bytes

    @property
    def written_bytes(self) -> int:
        """Bytes of the output."""
        return self.batch * self.groups * self.out_channels * math.prod(self.output) * self.item_bytes


@dataclass(frozen=True)
class GatherShape(ConvShape):
    """Sizes of a convolution with a stride: every output uses every tap."""

    kind: ClassVar[str] = "convolutions"

    @property
    def phases(self) -> int:
        """One."""
        return 1


def shape_from(facts: ProblemFacts, layer: str) -> ConvShape:
    """The sizes in the facts of a transposed convolution. Raises NothingToPropose for other operators."""
    if not facts.operator.startswith("conv_transpose"):
        raise NothingToPropose(f"the playbook has no family for {facts.operator}; give a --model")
    weight, sizes = _sizes(facts, layer)
    return ConvShape(**sizes, in_channels=weight[0] // sizes["groups"], out_channels=weight[1])


def convolution_shape(facts: ProblemFacts, layer: str) -> ConvShape:
    """The sizes of a convolution; with stride 1 those of the transposed one that has the same values."""
    weight, sizes = _sizes(facts, layer)
    sizes |= {"in_channels": weight[1], "out_channels": weight[0] // sizes["groups"]}
    reach = tuple(d * (k - 1) for d, k in zip(sizes["dilation"], sizes["kernel"], strict=True))
    turned = tuple(r - p for r, p in zip(reach, sizes["padding"], strict=True))
    if sizes["stride"] != (1, 1, 1) or min(turned) < 0:
        return GatherShape(**sizes)
    return ConvShape(**{**sizes, "padding": turned})


def _sizes(facts: ProblemFacts, layer: str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """(shape of the weight, what both kinds of convolution have in common)."""
    weight = next((fact.shape for fact in facts.parameters if fact.name == f"{layer}.weight"), None)
    if weight is None or not facts.inputs or not facts.outputs or facts.inputs[0].dtype not in ITEM_BYTES:
        raise NothingToPropose(f"the playbook needs one fp32, fp16 or bf16 input and a parameter {layer}.weight")
    rank = len(weight) - 2
    return weight, {
        "batch": facts.inputs[0].shape[0] if len(facts.inputs[0].shape) == rank + 2 else 1,
        "groups": int(facts.hyperparameters.get("groups", "1")),
        "source": _axes(facts.inputs[0].shape[-rank:], 1),
        "output": _axes(facts.outputs[0].shape[-rank:], 1),
        "kernel": _axes(weight[2:], 1),
        "stride": _hyperparameter(facts, "stride", rank, 1),
        "padding": _hyperparameter(facts, "padding", rank, 0),
        "dilation": _hyperparameter(facts, "dilation", rank, 1),
        "dtype": facts.inputs[0].dtype,
    }


def _hyperparameter(facts: ProblemFacts, name: str, rank: int, default: int) -> Axes:
    value = ast.literal_eval(facts.hyperparameters.get(name, str(default)))
    return _axes((value,) * rank if isinstance(value, int) else tuple(value), default)


def _axes(sizes: tuple[int, ...], fill: int) -> Axes:
    depth, height, width = (fill,) * (3 - len(sizes)) + sizes
    return depth, height, width
