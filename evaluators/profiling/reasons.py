"""Why Nsight Compute delivered nothing, in words with a remedy: recognized in what it printed.

Limits: messages of ncu 2020 to 2026 as documented or seen; anything else is passed on by its last line.
"""

import re
from dataclasses import dataclass

PERMISSION = (
    "the driver keeps GPU performance counters for administrators (ERR_NVGPUCTRPERM). One of: run as root on the "
    "machine itself; start the container with --cap-add=SYS_ADMIN; or let everybody read them: put "
    "`options nvidia NVreg_RestrictProfilingToAdminUsers=0` into /etc/modprobe.d/nvidia-profiling.conf, rebuild the "
    "initramfs and reboot"
)
NO_NCU = (
    "ncu (Nsight Compute) is not on this machine: looked on PATH, in /usr/local/cuda/bin and /opt/nvidia; it is part "
    "of the CUDA toolkit, or apt-get install cuda-nsight-compute-<version>"
)

NOTHING_FROM_NCU = (
    "Nsight Compute delivered nothing here"  # of every metric; why and the remedy stand once, in the note
)


@dataclass(frozen=True)
class _Known:
    pattern: str
    said: str


# The first that matches is the reason.
_KNOWN = (
    _Known(r"ERR_NVGPUCTRPERM|does not have permission to access NVIDIA GPU Performance Counters", PERMISSION),
    _Known(
        r"[Dd]river resource was unavailable|another.*(profil|DCGM).*(using|use)",
        "something else holds the GPU's counters (DCGM or another profiler): `dcgmi profpause`, or end it",
    ),
    _Known(
        r"InterprocessLockFailed|nsight-compute-lock",
        "ncu could not take its lock file (nsight-compute-lock): it belongs to another user; remove it",
    ),
    _Known(
        r"(?i)(driver version is insufficient|unsupported driver|driver.*(mismatch|too old|not support))",
        "this ncu and this driver do not fit: an ncu from the CUDA toolkit of the driver's version is needed",
    ),
    _Known(
        r"Profiling is not supported on (?:device|this)|not supported on this (?:device|GPU)",
        "this ncu does not support this GPU: a newer Nsight Compute is needed",
    ),
    _Known(
        r"LibraryNotLoaded",
        "ncu could not load its libraries (LibraryNotLoaded): its folder is incomplete or made for another system; "
        "reinstall Nsight Compute",
    ),
    _Known(
        r"[Uu]nknown [Ee]rror on device",
        "the counter library failed on the device (`Unknown Error on device`): seen with an ncu older than the driver, "
        "and where a virtual machine does not pass the counters through",
    ),
    _Known(
        r"(?i)failed to save memory for replay|out of memory",
        "not enough memory is free to save and restore what the kernel writes",
    ),
    _Known(
        r"(?i)no kernels were profiled",
        "no kernel ran between cudaProfilerStart and cudaProfilerStop",
    ),
    _Known(
        r"Launching the target application failed",
        "ncu could not start a program (it makes named pipes in TMPDIR for that); the sandbox may be in its way",
    ),
    _Known(
        r"(?i)failed to connect|unable to connect|could not connect",
        "ncu could not talk to the process it started; the sandbox may be in its way",
    ),
)
_UNKNOWN_METRIC = re.compile(r"[Ff]ailed to find metric\s+(?:regex:)?['\"]?([\w.:]+)")


def unknown_metrics(text: str) -> tuple[str, ...]:
    """Metrics that this ncu does not know on this GPU."""
    return tuple(dict.fromkeys(name.rstrip(".") for name in _UNKNOWN_METRIC.findall(text)))


def is_silent(text: str) -> bool:
    """Whether nothing in it says why there are no figures."""
    return "==ERROR==" not in text and not any(re.search(known.pattern, text) for known in _KNOWN)


def reason_in(text: str, exit_code: int | None) -> str:
    """Why a run delivered nothing; `text` is all that was printed. `exit_code` None: it was ended by its time limit."""
    for known in _KNOWN:
        if re.search(known.pattern, text):
            return known.said
    if exit_code is None:
        return "ncu did not end in time"
    lines = [line for line in text.splitlines() if "==ERROR==" in line] or text.split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "nothing was printed")
    return f"ncu ended with exit code {exit_code}: {last.strip()[:300]}"
