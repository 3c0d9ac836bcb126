"""`agent doctor`: what works on this machine, and what follows for a run.

Every line is the result of trying it now. Limits: it repairs nothing; of versions only pairs known to be bad are judged
(evaluators/known_bad.py).
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.commands.doctor_gpu import examine_gpu
from agent.commands.finding import Finding
from evaluators.client import JudgeClient
from evaluators.errors import AgentError
from evaluators.problem_catalog import load_problem
from runs.store import runs_directory

_WALL_S = 20


def doctor(*, as_json: bool) -> None:
    """Print all findings; exit 3 when the machine cannot judge a candidate at all."""
    found = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    else:
        print_findings(found)
    sys.exit(0 if next(f.works for f in found if f.name == "judge") else 3)


def print_findings(found: Sequence[Finding]) -> None:
    """One line each, and a second one for what a failure limits."""
    for finding in found:
        print(f"{'ok' if finding.works else 'NO':4}{finding.name:22}{finding.seen}")
        if not finding.works and finding.limits:
            print(f"{'':26}-> {finding.limits}")


def examine() -> Iterator[Finding]:
    """Try everything, cheap things first."""
    for check in (_python, _torch, _ptxas, _nvcc, _gxx, _sandbox):
        yield check()
    yield from _judged()
    yield _key()
    yield _record()


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, sys.version.split()[0], "3.11 or newer is needed")


def _torch() -> Finding:
    torch, triton = _version("torch"), _version("triton")
    return Finding(
        "torch and triton", bool(torch and triton), f"torch {torch}, triton {triton}", "nothing can be judged"
    )


def _ptxas() -> Finding:
    spec = importlib.util.find_spec("triton")
    folder = Path(spec.origin).parent / "backends/nvidia/bin" if spec and spec.origin else Path()
    return _tool(
        "ptxas and cuobjdump", [str(folder / "ptxas"), "--version"], "Triton kernels cannot be compiled for the target"
    )


def _nvcc() -> Finding:
    return _tool(
        "nvcc", [shutil.which("nvcc") or "nvcc", "--version"], "CUDA candidates stay unverified; Triton is not affected"
    )


def _gxx() -> Finding:
    return _tool("g++", ["g++", "--version"], "CUDA candidates cannot be executed on the CPU and stay unverified")


def _sandbox() -> Finding:
    from sandbox import SandboxUnavailable, probe

    limits = "candidates are refused; --sandbox unsafe accepts this machine as it is, for code you trust"
    try:
        tier = probe()
    except SandboxUnavailable as error:
        return Finding("sandbox", False, str(error), limits)
    return Finding("sandbox", True, f"{tier.name}: {', '.join(tier.layers)}; not covered: {', '.join(tier.residual)}")


def _judged() -> Iterator[Finding]:
    """One judge says whether a candidate can be judged, and all about its GPU."""
    with JudgeClient(facts_only=True, device="cuda") as judge:
        yield _judge(judge)
        yield from examine_gpu(judge)


def _judge(judge: JudgeClient) -> Finding:
    limits = "no candidate can be judged"
    try:
        facts = judge.facts(load_problem("convt3d-72"))
    except AgentError as error:
        return Finding("judge", False, str(error), limits)
    return Finding("judge", bool(facts.outputs), f"loaded a reference, {facts.operator}", limits)


def _key() -> Finding:
    present = bool(os.environ.get("OPENAI_API_KEY"))
    limits = "only --model playbook, manual, replay:RUN, an endpoint on this machine, or a --provider with its own key"
    return Finding("api key", present, "OPENAI_API_KEY is set" if present else "OPENAI_API_KEY is not set", limits)


def _record() -> Finding:
    directory = runs_directory().resolve()
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding(
            "runs directory", False, f"{existing}: {error.strerror}", "runs cannot be recorded; set AGENT_RUNS_DIR"
        )
    return Finding("runs directory", free_gb > 0.1, f"{directory}, {free_gb:.0f} GB free", "free some space")


def _tool(name: str, command: list[str], limits: str) -> Finding:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(
            name, False, f"{Path(command[0]).name}: {getattr(error, 'strerror', None) or 'no answer'}", limits
        )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    said = next((line for line in lines if "release" in line.lower()), lines[0] if lines else "")
    return Finding(name, done.returncode == 0, f"{command[0]}: {said.strip()}", limits)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
