"""What a judge says of its GPU, for whoever asks before a run: versions, clocks, who else is on it, what works.

Limits: a reading of one moment. What could not be read says so in words; None and an empty text are never guesses.
"""

from evaluators.frozen import Frozen


class DeviceReport(Frozen):
    """One GPU. `kernel_problem`, `profiler_problem`: why a small kernel, and its profile, did not work, or empty."""

    environment: dict[str, str]  # name, driver, versions, limits, as stored with every figure
    sm_clock_mhz: int | None
    clock_lowered_by: tuple[str, ...]
    other_processes: tuple[str, ...] | None  # None: unknown without NVML
    free_bytes: int
    total_bytes: int
    kernel_problem: str = ""
    profiler: str = ""  # path of ncu
    profiler_problem: str = ""
