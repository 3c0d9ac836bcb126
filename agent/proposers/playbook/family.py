"""What a kernel family declares, and how they are found: one file per family, in families/ or a folder there.

`FAMILY` in the file declares it. A folder in families/ serves another kind of workload than transposed convolutions.

Limits: declarations. Which family is written when is search.py and repair.py; the text around the kernels emission.py.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from agent.proposers.playbook import families
from agent.proposers.playbook.configuration import Configuration
from agent.proposers.playbook.shape import ConvShape
from evaluators.gpu import GpuSpec

ROUNDED_ERROR = 3.3e-4  # largest relative error seen of products with both operands rounded to 10 mantissa bits


@dataclass(frozen=True)
class Situation:
    """What a configuration is chosen for: the workload, the target, and how exact the products must be."""

    shape: ConvShape
    gpu: GpuSpec
    allowed_error: float  # for a reference that computes in TF32 on a GPU
    too_coarse: frozenset[str] = frozenset()  # roundings that gave wrong numbers in this run
    refusal: str = ""  # why operands may not be rounded here, where a judge said so

    @property
    def precision(self) -> str:
        """The cheapest product that the tolerance allows and the tensor cores of the target have."""
        if self.shape.dtype != "float32":
            return "tf32"  # half-precision operands are multiplied as they are
        return "tf32" if self._may_round("tf32") and self.gpu.dense_peak_tflops.tf32 else "ieee"

    @property
    def window_precision(self) -> str:
        """The cheapest product of packed operands: scaled fp16, TF32, or for the fp32 class three scaled fp16 ones."""
        if not self.has_tensor_cores:
            return "ieee"
        if self.scaled_half_pays:
            return "half"
        if self.precision == "tf32":
            return "tf32"
        return next((word for word in ("split", "tf32x3") if word not in self.too_coarse), "ieee")

    @property
    def scaled_half_pays(self) -> bool:
        """Whether scaled fp16 operands are allowed and faster than TF32 (or there is no TF32) on the target."""
        peaks = self.gpu.dense_peak_tflops
        allowed = self.shape.dtype == "float32" and self._may_round("half") and self.has_tensor_cores
        return allowed and (peaks.fp16 or 0.0) > (peaks.tf32 or peaks.fp32)

    @property
    def has_tensor_cores(self) -> bool:
        """Whether Triton reaches them: for sm_75 Triton 3.7 turns every tl.dot into fp32 multiply-adds."""
        return self.gpu.capability >= 80

    def admits(self, configuration: Configuration) -> bool:
        """Whether what a judge said of rounding leaves room for this kernel."""
        family = family_of(configuration)
        fits = family is not None and not family.misfit(self)
        return not self.refusal or (fits and configuration.word("PRECISION") not in ("half", "tf32"))

    def _may_round(self, precision: str) -> bool:
        """TF32 and scaled fp16 have the same mantissa, so what TF32 got wrong fp16 would too. A grouped reference
        computes in fp32 (cuDNN does although TF32 is allowed: its error on 72 is 9e-8), and so must its rivals."""
        in_tf32 = self.allowed_error >= ROUNDED_ERROR and self.shape.groups == 1
        return in_tf32 and not {precision, "tf32"} & self.too_coarse

    def peak_tflops(self, precision: str) -> float:
        """Dense peak of the unit that multiplies in this precision."""
        peaks = self.gpu.dense_peak_tflops
        if not self.has_tensor_cores:
            return peaks.fp32
        if self.shape.dtype == "bfloat16":
            return peaks.bf16 or peaks.fp32
        if precision == "half" or self.shape.dtype == "float16":
            return peaks.fp16 or peaks.fp32
        return (peaks.tf32 or peaks.fp32) if precision == "tf32" else peaks.fp32

    @property
    def sm_cycles_per_ms(self) -> float:
        """Cycles of all SMs together."""
        return self.gpu.sm_count * self.gpu.boost_clock_mhz * 1e3

    def issue_ms(self, warp_instructions: float) -> float:
        """Time to issue so many warp instructions: four schedulers per SM, one instruction each per cycle."""
        return warp_instructions / (4 * self.sm_cycles_per_ms)

    def memory_ms(self, moved_bytes: float) -> float:
        """Time to move bytes at the vendor's bandwidth."""
        return moved_bytes / (self.gpu.memory_bandwidth_gb_s * 1e6)


@dataclass(frozen=True)
class Cost:
    """What the playbook expects: a bound in its own coarse model, what sets it, the bytes tiles load through L2."""

    bound_ms: float
    limiter: str
    tile_bytes: float = math.inf

    def after(self, preparation_ms: float) -> "Cost":
        """The same after a pass that prepares the operands."""
        return Cost(self.bound_ms + preparation_ms, self.limiter, self.tile_bytes)


@dataclass(frozen=True)
class Move:
    """A configuration worth trying and the reason, one line."""

    configuration: Configuration
    reason: str


@dataclass(frozen=True)
class Choice:
    """A change of knobs that only this family knows, the stage it belongs to, when it is open, and why it may pay."""

    stage: str
    change: Callable[[Configuration], Configuration]
    when: Callable[[Configuration, Situation], bool]
    reason: str


def channel_extents(shape: ConvShape) -> dict[str, int]:
    """What a tile can cover: rows of out channels, a reduction over in channels."""
    return {"BLOCK_N": shape.out_channels, "BLOCK_K": shape.in_channels}


@dataclass(frozen=True)
class Family:
    """A parametrised kernel author. `rank` orders families from the plain to the intricate.

    `misfit` says why a workload has no use for it ("" where it fits); every emitted kernel is correct for all legal
    arguments either way. `fragments` are the texts of kernel_text.py its kernels call.
    """

    name: str
    rank: int
    idea: str
    pays_when: str
    knobs: tuple[str, ...]
    kernels: str
    fragments: tuple[str, ...]
    misfit: Callable[[Situation], str]
    start: Callable[[Situation], Configuration]
    cost: Callable[[Configuration, Situation], Cost]
    accumulators: int = 64  # per thread, what leaves room for the family's operands and addresses
    splits_phases: bool = False  # one program works on one phase of the stride
    extents: Callable[[ConvShape], dict[str, int]] = channel_extents  # beyond them a tile is mostly padding
    choices: tuple[Choice, ...] = ()
    imports: str = ""  # beyond those of every emitted file
    reached: float = 1.0  # share of its bound that the first configuration reached where it was measured

    def expected_ms(self, configuration: Configuration, situation: Situation) -> float:
        """The bound, corrected by what kernels of this family were measured to reach of theirs."""
        return self.cost(configuration, situation).bound_ms / self.reached


@cache
def known_families(kind: str = "") -> tuple[Family, ...]:
    """Every family for a kind of workload (a folder of families/), from the plainest on."""
    package = importlib.import_module(f"{families.__name__}.{kind}" if kind else families.__name__)
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg]
    found = [importlib.import_module(f"{package.__name__}.{name}").FAMILY for name in names]
    return tuple(sorted(found, key=lambda family: family.rank))


@cache
def every_family() -> tuple[Family, ...]:
    """The families for all kinds of workload."""
    kinds = [module.name for module in pkgutil.iter_modules(families.__path__) if module.ispkg]
    return tuple(family for kind in ("", *kinds) for family in known_families(kind))


def family_of(configuration: Configuration) -> Family | None:
    """The family of this name; None for a name that is not ours."""
    return next((family for family in every_family() if family.name == configuration.family), None)
