"""What `agent doctor` says of a GPU: from a judge's report, and where there is none. No GPU is needed here."""

import json
import subprocess
import sys

import pytest
import torch

from agent.commands.doctor_gpu import examine_gpu
from evaluators.device_report import DeviceReport
from evaluators.errors import MachineError
from evaluators.known_bad import warnings_for

NAMES = ["gpu", "gpu versions", "gpu clocks", "gpu neighbours", "gpu kernel", "gpu profiler"]
GOOD = DeviceReport(
    environment={"device": "NVIDIA H100", "driver": "580.1", "torch": "2.11.0+cu130", "cudnn": "91900"},
    sm_clock_mhz=1980,
    clock_lowered_by=(),
    other_processes=(),
    free_bytes=70 << 30,
    total_bytes=79 << 30,
    profiler="/usr/local/cuda/bin/ncu",
)
TROUBLED = {
    "environment": GOOD.environment | {"torch": "2.9.1+cu128", "cudnn": "91300"},
    "clock_lowered_by": ("power cap",),
    "other_processes": tuple(f"pid {n} (512 MiB)" for n in range(10)),
    "kernel_problem": "ended by signal 9",
    "profiler_problem": "the driver keeps GPU performance counters for administrators: run as root",
}


class Judge:
    """Only what the doctor asks of one."""

    def __init__(self, report):
        self._report = report

    def device_report(self):
        if isinstance(self._report, Exception):
            raise self._report
        return self._report


def found(report):
    findings = list(examine_gpu(Judge(report)))
    assert [finding.name for finding in findings] == NAMES
    return {finding.name: finding for finding in findings}


def test_a_good_gpu_has_six_good_lines():
    said = found(GOOD)
    assert all(finding.works for finding in said.values())
    assert said["gpu"].seen == "NVIDIA H100, 70.0 of 79.0 GiB free"
    assert "driver 580.1" in said["gpu versions"].seen
    assert "triton unknown" in said["gpu versions"].seen


def test_each_trouble_is_named_with_what_follows():
    said = found(GOOD.model_copy(update=TROUBLED))
    assert [name for name in NAMES if said[name].works] == ["gpu"]
    assert "torch 2.9.1 does 3-D convolutions" in said["gpu versions"].limits
    assert said["gpu clocks"].limits.startswith("lowered by: power cap")
    assert "pid 0 (512 MiB)" in said["gpu neighbours"].seen
    assert said["gpu neighbours"].seen.endswith("and 2 more")
    assert said["gpu kernel"].seen == "ended by signal 9"
    assert "run as root" in said["gpu profiler"].seen


def test_what_nvml_would_say_is_unknown_without_it():
    said = found(GOOD.model_copy(update={"sm_clock_mhz": None, "other_processes": None}))
    assert "unknown" in said["gpu clocks"].seen
    assert "nvidia-ml-py" in said["gpu neighbours"].limits


def test_without_a_gpu_each_line_says_so_once():
    said = found(MachineError("no NVIDIA GPU can be used: no driver; see `agent doctor`"))
    assert said["gpu"].seen == "no NVIDIA GPU can be used: no driver"
    assert {said[name].seen for name in NAMES[1:]} == {"not looked at: no GPU"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_the_command_itself_where_there_is_no_gpu():
    command = [sys.executable, "-m", "agent", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert set(NAMES) < set(said)
    assert said["judge"]["works"]
    assert said["gpu"]["seen"].startswith("no NVIDIA GPU can be used: ")


@pytest.mark.parametrize(
    ("torch_version", "cudnn", "count"),
    [
        ("2.9.0+cu128", "91500", 1),
        ("2.9.0", "91002", 2),
        ("2.9.1+cu128", "91300", 1),
        ("2.9.1", "91500", 0),
        ("2.10.0", "91300", 0),
        ("2.8.0", "91002", 1),
        ("2.13.0+cpu", "None", 0),
        ("", "91300", 0),
    ],
)
def test_pairs_known_to_be_bad(torch_version, cudnn, count):
    known = warnings_for({"torch": torch_version, "cudnn": cudnn})
    assert len(known) == count
    assert all("https://" in each for each in known)
