"""A problem: the reference module, how exact an answer must be, and what it may use.

A plain KernelBench file (`Model`, `get_inputs`, `get_init_inputs`) is a Problem unchanged. An optional leading block

    # /// problem
    # title = "..."
    # [tolerance]
    # error_multiple = 2.0
    # ///

adds what the format lacks. Limits: the source is text here; only the judge executes it.
"""

import hashlib
from typing import Literal

from evaluators.frozen import Frozen


class Tolerance(Frozen):
    """How exact an answer must be; the judge decides by this object and the prompt renders it.

    The error of a result y is ||y - y64|| / ||y64|| per slice of the output's first dimension, y64 in float64. It may
    not exceed `error_multiple` times the larger of the reference's own error and `floor` (the rounding of one long
    float32 sum): precision class fp32. Where the reference computes in TF32 at its settings on a GPU, a result that
    misses this may hold `tf32_error_multiple` times `tf32_floor` instead: precision class tf32. A slice whose terms
    cancel counts as large as its terms (at most 32 times its own norm): as the value of which TF32 operands would cost
    `tf32_floor`. (cuDNN's own TF32 error is 3.0e-4 on problem 68; plain tl.dot makes 7.3e-4 of it because the tensor
    core truncates its operands, and operands rounded first make 3.0e-4: measured on an H100, triton 3.6.) Nor may any
    element be off by more than `element_multiple` times that bound relative to the root mean square of its slice (or,
    if that is more, than `error_multiple` times the reference's own largest element error there). Of a strided
    transposed convolution every output phase (index modulo stride) is held to all of this by itself. It holds on inputs
    scaled by each of `input_scales`. `precision` is the class a run asks for: the reference's own, or one of the two.
    """

    error_multiple: float = 2.0
    floor: float = 5e-7
    tf32_floor: float = 3e-4
    tf32_error_multiple: float = 3.0
    element_multiple: float = 40.0
    input_scales: tuple[float, ...] = (1.0, 1e-5, 1e5)
    precision: Literal["reference", "tf32", "fp32"] = "reference"

    def allows_tf32(self, reference_is_tf32: bool) -> bool:
        """Whether class tf32 is good enough, given whether the reference computes in TF32 at its settings."""
        return self.precision == "tf32" or (self.precision == "reference" and reference_is_tf32)


class Problem(Frozen):
    """One reference to beat. `key` is what users type (`convt3d-68`, a file name); `source` is the KernelBench text."""

    key: str
    title: str
    source: str
    path: str | None = None
    notes: tuple[str, ...] = ()  # what a user should see about the choice, e.g. which problem an alias means
    tolerance: Tolerance = Tolerance()
    library_ops: tuple[str, ...] = ()

    def at_precision(self, precision: str) -> "Problem":
        """The same problem with this precision class asked of a kernel: reference | tf32 | fp32."""
        return self.model_copy(update={"tolerance": self.tolerance.model_copy(update={"precision": precision})})

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the reference source."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


class TensorFact(Frozen):
    """Name, shape and dtype of one tensor of the published workload."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class ProblemFacts(Frozen):
    """What the judge found out about a problem at its published shapes (computed on meta tensors, nothing measured).

    `flop` counts useful multiply-adds as 2: products of transposed convolutions that fall outside the cropped output
    are left out. `bytes_moved` reads every input and parameter once and writes every output once. `parameters` is the
    state_dict, by name. `operator` is the one that costs most ("conv_transpose3d", "matmul"), `operators` are all in
    the order they ran, `hyperparameters` are those `operator` ran with, as Python literals. `warnings` are the
    linter's.
    """

    inputs: tuple[TensorFact, ...]
    parameters: tuple[TensorFact, ...]
    outputs: tuple[TensorFact, ...]
    init_args: str
    operator: str
    operators: tuple[str, ...] = ()
    hyperparameters: dict[str, str] = {}
    flop: int | None
    bytes_moved: int
    warnings: tuple[str, ...] = ()

    @property
    def arithmetic_intensity(self) -> float | None:
        """FLOP per byte; None where the FLOP of the operator are not known."""
        return None if self.flop is None else self.flop / self.bytes_moved
