"""One pass behind the real sandbox, with a stand-in for Nsight Compute; and why it delivers nothing, in words."""

from pathlib import Path

import pytest

from evaluators.judge.shared_bytes import on_host
from evaluators.profiling import reasons
from evaluators.profiling.command import options
from evaluators.profiling.session import GRANTS, Material, profile
from sandbox import SandboxUnavailable, Zygote

PROGRAMS = Path(__file__).parent / "programs"
NCU = str(PROGRAMS / "stand_in" / "ncu")
DURATION = "gpu__time_duration.sum"


@pytest.fixture(scope="module")
def zygote():
    with Zygote(("evaluators.inside.command",), search_path=(str(PROGRAMS),), grants=GRANTS) as server:
        try:
            assert server.tier
        except SandboxUnavailable as reason:
            pytest.skip(str(reason))
        yield server


@pytest.fixture
def material():
    shared = on_host(1 << 20)
    yield Material("# the candidate", "[]", shared.descriptor)
    shared.close()


def test_the_command_line_asks_for_the_metrics_and_leaves_the_machine_alone():
    line = " ".join(options(("a.sum", "b.pct")))
    assert line.startswith("--metrics a.sum,b.pct --profile-from-start off")
    assert "--clock-control none" in line
    assert "--csv --page raw --print-units base" in line


def test_figures_arrive_and_unknown_metrics_are_said(zygote, material):
    delivered = profile(zygote, NCU, material, (DURATION, "smsp__unknown.pct", "sm__absent.pct"))
    assert [(launch.kernel, launch.values) for launch in delivered.launches] == [("conv", {DURATION: 2000.0})]
    assert delivered.missing == {
        "smsp__unknown.pct": "this Nsight Compute does not know the metric on this GPU",
        "sm__absent.pct": "Nsight Compute printed no such column",
    }


def test_nothing_delivered_has_its_reason(zygote, material):
    assert profile(zygote, NCU, material, ("forbidden",)).reason == reasons.PERMISSION
    assert "No such file" in profile(zygote, "/nowhere/ncu", material, (DURATION,)).reason
    assert "exit code" in profile(zygote, "/bin/false", material, (DURATION,)).reason


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission", "NVreg_RestrictProfilingToAdminUsers=0"),
        ("==ERROR== InterprocessLockFailed", "remove it"),
        ("==ERROR== A driver resource was unavailable. Ensure that no other tool (like DCGM)", "dcgmi profpause"),
        ("==ERROR== The current CUDA driver version is insufficient", "of the driver's version"),
        ("==ERROR== Profiling is not supported on device 0", "newer Nsight Compute"),
        ("==ERROR== LibraryNotLoaded", "reinstall"),
        ("==ERROR== Unknown Error on device 0.", "older than the driver"),
        ("==WARNING== No kernels were profiled.", "no kernel ran"),
        ("==ERROR== Failed to save memory for replay", "not enough memory"),
        ("something\n==ERROR== never seen before\n", "exit code 9: ==ERROR== never seen before"),
        ("", "nothing was printed"),
    ],
)
def test_reasons_are_recognized(printed, said):
    assert said in reasons.reason_in(printed, 9)


def test_a_pass_that_does_not_end_says_so():
    assert reasons.reason_in("", None) == "ncu did not end in time"
