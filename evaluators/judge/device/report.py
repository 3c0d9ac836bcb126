"""Everything known of the judge's GPU, looked at now, for `agent doctor`.

Limits: while a measurement has the GPU, nothing is run on it; that is said in place of what was not tried.
"""

from evaluators.device_report import DeviceReport
from evaluators.judge.device.card import Card
from evaluators.judge.device.health import problem_with_a_kernel
from evaluators.judge.zygotes import Zygotes
from evaluators.profiling import reasons
from evaluators.profiling.command import find_ncu
from sandbox import SandboxUnavailable

_BUSY = "not tried: a measurement has this GPU now"


def report_of(card: Card, zygotes: Zygotes) -> DeviceReport:
    """Read the card, launch a small kernel, profile one."""
    clocks = card.clocks()
    kernel, profiler = _tried(card, zygotes)
    return DeviceReport(
        environment=card.fingerprint,
        sm_clock_mhz=clocks.sm_mhz,
        clock_lowered_by=clocks.lowered_by,
        other_processes=tuple(card.others()) if card.has_nvml else None,
        free_bytes=card.free_bytes,
        total_bytes=int(card.properties.total_memory),
        kernel_problem=kernel,
        profiler=find_ncu() or "",
        profiler_problem=profiler,
    )


def _tried(card: Card, zygotes: Zygotes) -> tuple[str, str]:
    try:
        with card.leased(waits=False):
            return _kernel(zygotes), _profiler(zygotes)
    except BlockingIOError:
        return _BUSY, _BUSY


def _kernel(zygotes: Zygotes) -> str:
    try:
        return problem_with_a_kernel(zygotes)
    except SandboxUnavailable as error:
        return f"sandbox: {error}"


def _profiler(zygotes: Zygotes) -> str:
    ncu = find_ncu()
    return reasons.NO_NCU if ncu is None else zygotes.profiler.place(ncu).reason
