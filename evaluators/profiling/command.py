"""The command line of Nsight Compute for one marked call: the metrics asked for, and nothing changed on the machine.

Clocks are left alone (`--clock-control none`), because locking them would outlive a killed profiler and disturb whoever
shares the GPU; caches are emptied before every pass, as in the timed calls. Limits: options of ncu 2022 and later.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

REQUESTS, INPUTS, SOURCE, CODE, REPORT = "requests.json", "inputs.bin", "candidate.py", "code.tar", "report.csv"
MOST_LAUNCHES = 24  # of one call; a kernel is replayed about ten times for a stage's metrics
ENVIRONMENT = {
    "NV_COMPUTE_PROFILER_DISABLE_STOCK_FILE_DEPLOYMENT": "1",  # section files are of no use here
    "NV_COMPUTE_PROFILER_LOCAL_CONNECTION_OVERRIDE": "uds",
}
_USUAL = ("/usr/local/cuda/bin/ncu", "/opt/nvidia/nsight-compute")


def find_ncu() -> str | None:
    """The ncu of PATH, of the toolkit or of its own package; None where there is none."""
    if path := shutil.which("ncu"):
        return path
    toolkit, package = map(Path, _USUAL)
    found = [toolkit, *sorted(package.glob("*/ncu"), reverse=True)]
    return next((str(path) for path in found if path.is_file()), None)


def options(metrics: Sequence[str]) -> list[str]:
    """Everything between `ncu` and the program."""
    return [
        "--metrics",
        ",".join(metrics),
        "--profile-from-start",
        "off",
        "--target-processes",
        "application-only",
        "--launch-count",
        str(MOST_LAUNCHES),
        "--clock-control",
        "none",
        "--cache-control",
        "all",
        "--config-file",
        "off",
        "--apply-rules",
        "no",
        "--csv",
        "--page",
        "raw",
        "--print-units",
        "base",
        "--print-kernel-base",
        "function",
        "--log-file",
        REPORT,
    ]


def command(ncu: str, metrics: Sequence[str], program: Sequence[str]) -> list[str]:
    """Profile what `program`, a module of ours and its arguments, marks."""
    return [ncu, *options(metrics), sys.executable, "-P", "-m", *program]
