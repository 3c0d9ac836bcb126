"""What a Ray worker runs: the same JudgeClient call as on one machine, by a judge kept for the next call.

Pickled by value, so that a node without this program can say so. A worker holds no candidate's code: that runs in the
judge's sandbox, so a worker that dies has lost its node or its memory, never its candidate.

Limits: top-level names use the standard library only; evaluators/ is imported in the calls.
"""

import hashlib
import importlib.util
import os
import platform
import socket
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

COMPARED = ("python", "torch", "triton", "kernel-agent")
_NOT_INSTALLED = "not installed"
_judges: dict[tuple[str, ...], Any] = {}  # of this worker, by sandbox, device and GPU


class VersionsDiffer(Exception):
    """This node's software is not what the others have; the message has both."""


def versions() -> dict[str, str]:
    """What decides a verdict besides the candidate, on this node."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "triton": _version("triton"),
        "kernel-agent": f"{_version('kernel-agent')}, sources {_sources()}",
    }


def about_node() -> dict[str, Any]:
    """This node for the driver: name, versions, cores."""
    return {"host": socket.gethostname(), "versions": versions(), "cores": len(os.sched_getaffinity(0))}


def differences(mine: dict[str, str], theirs: dict[str, str]) -> str:
    """`torch 2.9.0 against 2.13.0`, or empty."""
    return ", ".join(
        f"{name} {theirs.get(name)} against {mine[name]}" for name in COMPARED if theirs.get(name) != mine[name]
    )


def perform(job: dict[str, Any], board: Any) -> dict[str, Any]:
    """One request to this worker's judge; the answer as JSON values. Raises VersionsDiffer before anything else."""
    node = socket.gethostname()
    differing = differences(job["versions"], versions())
    if differing:
        raise VersionsDiffer(f"node {node} differs from the node the benchmark began with: {differing}")
    started = time.time()
    board.started.remote(job["id"])
    judge = _judge(job["sandbox"], job["device"])
    answer = _answered(judge, job, lambda rung: board.entered.remote(job["id"], rung))
    return {
        "answer": answer,
        "node": node,
        "node_id": _node_id(),
        "gpus": job["gpus"],
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "worker": os.getpid(),
        "began_at": started,
        "ended_at": time.time(),
    }


def _answered(judge: Any, job: dict[str, Any], announce: Any) -> Any:
    if job["op"] == "device":
        return judge.device()
    from evaluators.problem import Problem

    problem = Problem.model_validate(job["problem"])
    if job["op"] == "facts":
        return judge.facts(problem).model_dump(mode="json")
    return _verdict(judge, problem, job, announce=announce)


def _verdict(judge: Any, problem: Any, job: dict[str, Any], *, announce: Any) -> Any:
    from evaluators.candidate import Candidate
    from evaluators.gpu import GpuSpec
    from evaluators.rungs import Incumbent

    evaluation = judge.evaluate(
        problem,
        Candidate.model_validate(job["candidate"]),
        GpuSpec.model_validate(job["gpu"]),
        announce=announce,
        incumbent=Incumbent.model_validate(job["incumbent"]) if job["incumbent"] else None,
        metrics=job["metrics"],
        rungs=job["rungs"],
    )
    return {**evaluation.model_dump(mode="json"), "listings": evaluation.listings}  # which no dump holds


def _judge(sandbox: str, device: str) -> Any:
    """The judge for the GPU this task was given; one for another GPU is ended, so that it holds no memory there."""
    from evaluators.client import JudgeClient

    key = (sandbox, device, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    for other in [other for other in _judges if other != key]:
        _judges.pop(other).close()
    if key not in _judges:
        _judges[key] = JudgeClient(sandbox, device=device)
    return _judges[key]


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _NOT_INSTALLED


def _sources() -> str:
    """Identity of the code that judges: a version number alone does not tell two checkouts apart."""
    digest = hashlib.sha256()
    for package in ("evaluators", "sandbox"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return _NOT_INSTALLED
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]
