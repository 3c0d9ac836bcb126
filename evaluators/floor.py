"""The physical floor of a problem on a GPU: what its FLOP and bytes need at the vendor's rates (estimated).

The floor of class tf32 is taken at the faster of the dense TF32 and fp16 rates (operands scaled and rounded to fp16
keep TF32's ten bits of mantissa), that of class fp32 at the faster of fp32 and a third of fp16 (three products of
split operands).

Limits: useful multiply-adds of the plain algorithm; Winograd and FFT need fewer, up to about four times, which is why
`impossible_ms` is lower. Bytes: every input and parameter read once, every output written once.
"""

from typing import Literal

from evaluators.frozen import Frozen
from evaluators.gpu import GpuSpec
from evaluators.problem import ProblemFacts

FEWEST_PRODUCTS = 4.0  # what a fast algorithm may save: F(4,3) in three dimensions at the very most


class Floor(Frozen):
    """Times in ms; `impossible_ms`: nothing that did the work is faster, writes that stay in the L2 cache left out."""

    memory_ms: float
    arithmetic_ms: float
    impossible_ms: float

    @property
    def ms(self) -> float:
        """The larger of the two."""
        return max(self.memory_ms, self.arithmetic_ms)

    @property
    def limiter(self) -> Literal["memory", "arithmetic"]:
        """Which one it is."""
        return "memory" if self.memory_ms >= self.arithmetic_ms else "arithmetic"


def floor_of(facts: ProblemFacts, gpu: GpuSpec, precision: str) -> Floor:
    """The floor of a problem for a precision class (fp32 | tf32) of float32 results; others at their own rate."""
    bytes_per_ms = gpu.memory_bandwidth_gb_s * 1e6
    arithmetic_ms = (facts.flop or 0) / (_peak_tflops(facts, gpu, precision) * 1e9)
    out_of_cache = max(0.0, facts.bytes_moved - gpu.l2_mb * 1e6)
    return Floor(
        memory_ms=facts.bytes_moved / bytes_per_ms,
        arithmetic_ms=arithmetic_ms,
        impossible_ms=max(out_of_cache / bytes_per_ms, arithmetic_ms / FEWEST_PRODUCTS),
    )


def _peak_tflops(facts: ProblemFacts, gpu: GpuSpec, precision: str) -> float:
    peaks = gpu.dense_peak_tflops
    dtype = facts.outputs[0].dtype if facts.outputs else "float32"
    if dtype in ("float16", "bfloat16"):
        return max(peaks.fp16 or 0.0, peaks.bf16 or 0.0, peaks.fp32)
    if precision == "tf32":
        return max(peaks.tf32 or 0.0, peaks.fp16 or 0.0, peaks.fp32)
    return max(peaks.fp32, (peaks.fp16 or 0.0) / 3)
