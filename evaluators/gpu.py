"""GPUs as data: one TOML file in evaluators/gpus/ per GPU, its stem is its key.

Limits: vendor figures only (dense peaks, no sparsity). What a device really delivers is measured elsewhere.
"""

from pydantic import Field, field_validator

from evaluators.frozen import Frozen


class DensePeaks(Frozen):
    """Vendor peak rates without sparsity, in TFLOP/s with fp32 accumulation; None where the part has no such unit."""

    fp32: float
    tf32: float | None = None
    fp16: float | None = None
    bf16: float | None = None
    fp8: float | None = None


class GpuSpec(Frozen):
    """One GPU as its vendor describes it. Sizes in the unit the name says; `source` says where figures come from."""

    key: str
    name: str
    aliases: tuple[str, ...] = ()
    default_for: tuple[str, ...] = ()  # names several parts share ("A100"); this part is the one taken
    architecture: str
    compute_capability: str = Field(pattern=r"^\d+\.\d$")
    sm_count: int
    memory_gb: float
    memory_type: str
    memory_bandwidth_gb_s: float
    l2_mb: float
    boost_clock_mhz: int
    registers_per_sm: int = 65536
    max_registers_per_thread: int = 255
    max_threads_per_block: int = 1024
    max_threads_per_sm: int
    max_blocks_per_sm: int
    shared_memory_per_sm_kb: int
    shared_memory_per_block_kb: int
    warp_size: int = 32
    dense_peak_tflops: DensePeaks
    source: str
    notes: str = ""
    choice: str = ""  # which part a name that several share was taken for; said by the catalog, not by a file

    @field_validator("source")
    @classmethod
    def _source_is_given(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("every GPU file names the source of its figures")
        return value

    @property
    def max_warps_per_sm(self) -> int:
        """Resident warps an SM can hold."""
        return self.max_threads_per_sm // self.warp_size

    @property
    def capability(self) -> int:
        """Compute capability as Triton and nvcc count it: 8.9 -> 89."""
        return int(self.compute_capability.replace(".", ""))

    @property
    def arch(self) -> str:
        """The compiler's name of the target: 8.9 -> sm_89."""
        return f"sm_{self.capability}"
