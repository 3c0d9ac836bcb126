"""The GPU of this judge: what it is, its clocks, who else uses it, and the lease that keeps measurements apart.

Limits: one GPU per judge, the first that CUDA shows. Clocks and other processes need NVML; without it they are unknown,
which is said and not guessed.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

# nvmlClocksEventReasons of nvml.h; being idle is no reason to name.
_LOWERED = {
    0x2: "application clocks are set",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost with another GPU",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
    0x100: "display clocks are set",
}
_SLOWED = 0x8 | 0x20 | 0x40 | 0x80
_SM_CLOCK = 1
_AHEAD_MB = 1024  # 0.35 ms on an H100, 1 ms on a 4090


@dataclass(frozen=True)
class Clocks:
    """One reading; None where NVML does not say."""

    sm_mhz: int | None = None
    slowed_by: str = ""  # what makes a sample worthless
    lowered_by: tuple[str, ...] = ()  # all that keeps the clock below its maximum


class Card:
    """The GPU that candidates run on."""

    def __init__(self) -> None:
        self.properties: Any = torch.cuda.get_device_properties(0)
        self.name: str = self.properties.name
        self._nvml, self._handle = _nvml(str(getattr(self.properties, "uuid", "")))

    @property
    def uuid(self) -> str:
        """The vendor's identity of this very card."""
        return str(getattr(self.properties, "uuid", "unknown"))

    @property
    def has_nvml(self) -> bool:
        """Whether clocks and other processes can be known."""
        return self._nvml is not None

    @property
    def capability(self) -> int:
        """Compute capability as Triton counts it: 9.0 -> 90."""
        return int(10 * self.properties.major + self.properties.minor)

    @property
    def flush_mb(self) -> int:
        """Megabytes whose writing leaves nothing else in the L2 cache and lets the host run ahead meanwhile.

        A call of several launches needs 0.3 ms of the host; what is not queued by then would count as the device's.
        """
        return max(_AHEAD_MB, 2 * int(self.properties.L2_cache_size) >> 20)

    @property
    def free_bytes(self) -> int:
        """Device memory that nobody uses, what torch holds back here included."""
        free, _ = torch.cuda.mem_get_info()
        return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What a figure depends on beside the code."""
        return {
            "device": self.name,
            "driver": self._said("nvmlSystemGetDriverVersion"),
            "cuda": str(torch.version.cuda),
            "torch": torch.__version__,
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "triton": _triton_version(),
            "max_sm_clock_mhz": self._said("nvmlDeviceGetMaxClockInfo", self._handle, _SM_CLOCK),
            "power_limit_w": self._said("nvmlDeviceGetEnforcedPowerLimit", self._handle).removesuffix("000"),
        }

    def clocks(self) -> Clocks:
        """The clock now, and what lowers it."""
        if self._nvml is None:
            return Clocks()
        try:
            reasons = int(self._nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
            mhz = int(self._nvml.nvmlDeviceGetClockInfo(self._handle, _SM_CLOCK))
        except self._nvml.NVMLError:
            return Clocks()
        return Clocks(mhz, ", ".join(_names(reasons & _SLOWED)), _names(reasons))

    def others(self) -> list[str]:
        """Other processes on this GPU as `pid N (M MiB)`; ours and what we started are left out."""
        if self._nvml is None:
            return []
        try:
            found = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._nvml.NVMLError:
            return []
        return [f"pid {p.pid} ({(p.usedGpuMemory or 0) >> 20} MiB)" for p in found if not _is_ours(p.pid)]

    @contextmanager
    def leased(self, *, waits: bool = True) -> Iterator[None]:
        """Nobody else of this program measures on this GPU meanwhile, whatever process it is in.

        Raises BlockingIOError where somebody does and this does not wait.
        """
        path = Path(tempfile.gettempdir()) / f"kernel-agent-{self.uuid}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)

    def _said(self, function: str, *arguments: Any) -> str:
        if self._nvml is None:
            return "unknown (no NVML)"
        try:
            return str(getattr(self._nvml, function)(*arguments))
        except self._nvml.NVMLError as error:
            return f"unknown ({error})"


@lru_cache(maxsize=1)
def card() -> Card | None:
    """The GPU of this process; None where there is none that CUDA can use."""
    return Card() if torch.cuda.is_available() else None


def _names(reasons: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _LOWERED.items() if reasons & bit)


def _nvml(uuid: str) -> tuple[Any, Any]:
    """NVML and its handle of this card; (None, None) where the library or the driver's part of it is missing."""
    try:
        import pynvml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(name)
    except pynvml.NVMLError:
        return None, None


def _triton_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("triton")
    except PackageNotFoundError:
        return "not installed"


def _is_ours(pid: int) -> bool:
    """Whether a process descends from this one; PIDs of another namespace are not ours to name."""
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
    return False
