"""The lines of `agent doctor` about a GPU: its versions, clocks, neighbours, and whether a kernel and a profiler work.

Limits: the judge says all of it (the host imports no torch); where it has no GPU, one line each says what that limits.
"""

from collections.abc import Iterator

from agent.commands.finding import Finding
from evaluators.client import JudgeClient
from evaluators.device_report import DeviceReport
from evaluators.errors import AgentError
from evaluators.known_bad import warnings_for

_NO_GPU = {
    "gpu": "speed is estimated, never measured; correctness runs in the interpreter",
    "gpu versions": "",
    "gpu clocks": "",
    "gpu neighbours": "",
    "gpu kernel": "",
    "gpu profiler": "no Nsight metrics in prompts; compiled figures are shown instead",
}
_SHOWN = ("driver", "cuda", "torch", "triton", "cudnn")
_MOST_SHOWN = 8


def examine_gpu(judge: JudgeClient) -> Iterator[Finding]:
    """Six findings, whatever the machine."""
    try:
        report = judge.device_report()
    except AgentError as error:
        yield Finding("gpu", False, str(error).partition("; see `agent doctor`")[0], _NO_GPU["gpu"])
        for name in list(_NO_GPU)[1:]:
            yield Finding(name, False, "not looked at: no GPU", _NO_GPU[name])
        return
    for check in (_gpu, _versions, _clocks, _neighbours, _kernel, _profiler):
        yield check(report)


def _gpu(report: DeviceReport) -> Finding:
    free_gib, total_gib = report.free_bytes / 2**30, report.total_bytes / 2**30
    seen = f"{report.environment['device']}, {free_gib:.1f} of {total_gib:.1f} GiB free"
    return Finding("gpu", True, seen)


def _versions(report: DeviceReport) -> Finding:
    seen = ", ".join(f"{name} {report.environment.get(name, 'unknown')}" for name in _SHOWN)
    known = warnings_for(report.environment)
    return Finding("gpu versions", not known, seen, "; ".join(known))


def _clocks(report: DeviceReport) -> Finding:
    limits = "throttled samples cannot be told from others; install nvidia-ml-py"
    if report.sm_clock_mhz is None:
        return Finding("gpu clocks", False, "unknown: NVML does not say", limits)
    most, watts = (report.environment.get(name, "unknown") for name in ("max_sm_clock_mhz", "power_limit_w"))
    seen = f"{report.sm_clock_mhz} MHz now, at most {most} MHz, power limit {watts} W"
    lowered = ", ".join(report.clock_lowered_by)
    return Finding("gpu clocks", not lowered, seen, f"lowered by: {lowered}; figures of another day may differ")


def _neighbours(report: DeviceReport) -> Finding:
    if report.other_processes is None:
        return Finding(
            "gpu neighbours", False, "unknown: no NVML", "others on the GPU are not seen; install nvidia-ml-py"
        )
    others = report.other_processes
    if not others:
        return Finding("gpu neighbours", True, "no other process on this GPU")
    left = f" and {len(others) - _MOST_SHOWN} more" if len(others) > _MOST_SHOWN else ""
    limits = "their work makes timings longer and less steady; end them, or choose a GPU with CUDA_VISIBLE_DEVICES"
    return Finding("gpu neighbours", False, ", ".join(others[:_MOST_SHOWN]) + left, limits)


def _kernel(report: DeviceReport) -> Finding:
    said = report.kernel_problem
    limits = "nothing can be measured; `nvidia-smi` shows the GPU's state"
    return Finding("gpu kernel", not said, said or "a small kernel ran in the sandbox and its sum is right", limits)


def _profiler(report: DeviceReport) -> Finding:
    said = report.profiler_problem
    limits = "no Nsight metrics in prompts; kernel durations come through CUPTI"
    return Finding("gpu profiler", not said, said or f"{report.profiler} read the counters of a small kernel", limits)
