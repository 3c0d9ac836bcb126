"""The floor of a problem on a GPU: bytes by bandwidth and FLOP by peak, from vendor figures.

The floor takes the vendor's highest rate of fp32, TF32, fp16 and bf16 products with fp32 sums: which of them a kernel
may use is for the judge to say, and a floor must lie below all of them.

Limits: a bound, never a time; every input is read once and every output written once, and nothing else counts.
"""

from dataclasses import dataclass

from evaluators.gpu import GpuSpec
from evaluators.problem import ProblemFacts


@dataclass(frozen=True)
class Roof:
    """FLOP (0: not counted) and bytes of one call, and what the part can do with them."""

    flop: float
    bytes_moved: float
    tb_per_s: float
    peaks: dict[str, float]  # TFLOP/s by precision

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return self.flop / self.bytes_moved

    @property
    def ridge(self) -> float:
        """The intensity from which on arithmetic limits, at the highest peak."""
        return max(self.peaks.values()) / self.tb_per_s

    @property
    def roof_tflops(self) -> float:
        """The most this part can do at the problem's intensity."""
        return min(max(self.peaks.values()), self.intensity * self.tb_per_s)

    @property
    def floor_ms(self) -> float:
        """The least time one call can take."""
        return max(self.memory_ms, self.flop / max(self.peaks.values()) / 1e9)

    @property
    def limiter(self) -> str:
        """What the floor counts."""
        if self.memory_ms >= self.floor_ms:
            return "bytes at the vendor's bandwidth" + ("" if self.flop else "; its FLOP were not counted")
        fastest = max(self.peaks.values())
        return f"FLOP at the vendor's {'/'.join(name for name, peak in self.peaks.items() if peak == fastest)} peak"

    @property
    def memory_ms(self) -> float:
        """The least time the bytes need."""
        return self.bytes_moved / self.tb_per_s / 1e9

    def tflops(self, milliseconds: float) -> float:
        """The rate of a call that takes so long."""
        return self.flop / milliseconds / 1e9 if milliseconds > 0 else 0.0


def roof_of(facts: ProblemFacts | None, gpu: GpuSpec | None) -> Roof | None:
    """The roof, or None where the part, or the FLOP and the outputs' bytes, are not known."""
    if facts is None or gpu is None or not facts.bytes_moved or not (facts.flop or facts.outputs):
        return None
    dense = gpu.dense_peak_tflops
    peaks = {"fp32": dense.fp32, "tf32": dense.tf32 or 0.0, "fp16": dense.fp16 or 0.0, "bf16": dense.bf16 or 0.0}
    return Roof(
        flop=float(facts.flop or 0),
        bytes_moved=float(facts.bytes_moved),
        tb_per_s=gpu.memory_bandwidth_gb_s / 1e3,
        peaks={name: peak for name, peak in peaks.items() if peak},
    )
