"""A Ray cluster as the engine sees it: connected, its nodes known and alike, tasks handed out and taken back.

Limits: everything that imports ray is here; which request goes where and what a failure means is ray/__init__.py.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agent.engines import Wish
from agent.engines.ray import task as ray_task
from evaluators.errors import AgentError, MachineError, UsageError
from evaluators.evaluation import Rung
from evaluators.gpu_catalog import load_gpu

_PART_OF_GPU = 0.25  # while a candidate is compiled and compared: the GPU is idle for most of it
_TOUCH = 0.001  # of a custom resource: it says where, the GPU itself says how many
_OBJECT_STORE_BYTES = 80 << 20  # Ray's least; requests and answers have some 100 kB
_NODE_S = 120.0  # for a node to say what it has: a first worker imports for seconds
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a task without a GPU must not see one
}
_ADMISSION = "; if it asks for a token, set RAY_AUTH_MODE=token and have the head's ~/.ray/auth_token here"
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # every process of a Ray of our own binds 127.0.0.1


@dataclass(frozen=True)
class Share:
    """What one task takes: cores, GPUs (a part of one, or one), and the resource that names its model."""

    cores: float = 1.0
    gpus: float = 0.0
    model: str | None = None


@dataclass
class Cluster:
    """The cluster after it was looked at. slots: requests it serves at once. versions: of every node that judges."""

    ray: Any
    about: str
    slots: int
    versions: dict[str, str]
    model: str | None
    notes: tuple[str, ...] = ()
    cores_only: Share = field(default_factory=Share)

    def __post_init__(self) -> None:
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=False
        )
        self._board = self.ray.remote(num_cpus=0)(_Board).options(scheduling_strategy=here).remote()
        # max_calls=0: a worker keeps its judge, which forks a fresh process with its own CUDA context per candidate
        self._task = self.ray.remote(max_retries=0, max_calls=0)(ray_task.perform)

    def stages(self, rungs: Sequence[Rung] | None, without_timing: Sequence[Rung]) -> list[tuple[Any, Share]]:
        """The rungs of each task one evaluation takes, and its share; None: all."""
        if self.model is None:
            return [(rungs and list(rungs), self.cores_only)]
        part, whole = Share(gpus=_PART_OF_GPU, model=self.model), Share(gpus=1.0, model=self.model)
        if rungs is not None:
            return [(list(rungs), whole if "timing" in rungs else part)]
        return [(list(without_timing), part), (None, whole)]

    def submit(self, job: dict[str, Any], share: Share) -> Any:
        """Hand a request out; returns its task."""
        resources = {share.model: _TOUCH} if share.model else {}
        options = {"num_cpus": share.cores, "num_gpus": share.gpus, "resources": resources}
        return self._task.options(**options).remote(job, self._board)

    def is_done(self, task: Any, *, within_s: float) -> bool:
        """Whether a task has ended, waiting for it a moment."""
        done, _ = self.ray.wait([task], timeout=within_s)
        return bool(done)

    def progress(self, number: int, started: float | None) -> tuple[float | None, str]:
        """When the task of a request began (monotonic, as seen here) and which rung it has entered since."""
        try:
            has_begun, rung = self.ray.get(self._board.progress.remote(number), timeout=5)
        except self.ray.exceptions.RayError:
            return started, ""
        return (started or time.monotonic()) if has_begun else None, rung

    def cancel(self, task: Any) -> None:
        """End a task and its worker."""
        with suppress(self.ray.exceptions.RayError):
            self.ray.cancel(task, force=True)

    def result(self, task: Any, raised: Callable[[BaseException, bool], BaseException]) -> dict[str, Any]:
        """The value of a task that is done; its error is put through `raised`."""
        try:
            return dict(self.ray.get(task))
        except self.ray.exceptions.RayTaskError as error:
            raise raised(error.cause, True) from None
        except self.ray.exceptions.RayError as error:
            raise raised(error, False) from None

    def leave(self) -> None:
        """Disconnect; a Ray of our own ends."""
        self.ray.shutdown()


class _Board:
    """An actor beside the driver: which requests have begun, and what they are at."""

    def __init__(self) -> None:
        self._at: dict[int, str] = {}

    def started(self, number: int) -> None:
        self._at[number] = ""

    def entered(self, number: int, rung: str) -> None:
        self._at[number] = rung

    def progress(self, number: int) -> tuple[bool, str]:
        rung = self._at.get(number)
        if rung is not None:
            self._at[number] = ""
        return rung is not None, rung or ""


def connected(address: str, wish: Wish) -> Cluster:
    """Connect, look at every node, refuse what cannot work. Raises UsageError or MachineError; then nothing is left."""
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    try:
        import ray
        import ray.cloudpickle
        import ray.util.scheduling_strategies
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'kernel-agent[ray]'") from None
    _init(ray, address, wish)
    try:
        return _looked_at(ray, wish)
    except BaseException:
        ray.shutdown()
        raise


def _init(ray: Any, address: str, wish: Wish) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    if not address:
        os.environ.update(_LOOPBACK)
        common |= {
            "address": "local",
            "num_cpus": wish.jobs or len(os.sched_getaffinity(0)),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": tempfile.mkdtemp(prefix="agent-ray-"),  # a bare one may join a cluster that is gone
        }
    else:
        del common["include_dashboard"]
        common["address"] = address
    try:
        ray.init(**common)
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        where = f"no Ray cluster at {address or 'this machine'}: {why}"
        raise MachineError(f"{where}{_ADMISSION if address else ''}; see docs/cluster.md") from None
    ray.cloudpickle.register_pickle_by_value(ray_task)


def _looked_at(ray: Any, wish: Wish) -> Cluster:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    model, able = _able(nodes, wish)
    reports = _reports(ray, able)
    versions = _alike(reports)
    cores = sum(int(node["Resources"].get("CPU", 0)) for node in able)
    gpus = sum(node["Resources"].get("GPU", 0) for node in able) if model else 0
    hosts = ", ".join(sorted({report["host"] for report in reports}))
    return Cluster(
        ray=ray,
        about=f"Ray, {len(able)} of {len(nodes)} nodes ({hosts}): {cores} cores, {gpus:g} GPUs",
        slots=max(1, min(cores, int(gpus / _PART_OF_GPU)) if model else cores),
        versions=versions,
        model=model,
        notes=() if model else ("no GPU of this cluster is used: candidates are judged on cores, nothing is measured",),
    )


def _able(nodes: list[dict[str, Any]], wish: Wish) -> tuple[str | None, list[dict[str, Any]]]:
    """The resource that names the target's model and the nodes that have it; None and those with cores without GPUs."""
    workers = [node for node in nodes if node["Resources"].get("CPU", 0) >= 1]
    seen = {name: _gpu_key(name) for node in nodes for name in node["Resources"]}
    have_gpus = any(node["Resources"].get("GPU", 0) for node in nodes)
    if wish.device == "cpu" or not (have_gpus or wish.device == "cuda"):
        if not workers:
            raise MachineError("no node of the Ray cluster has a core to give (num_cpus); see docs/cluster.md")
        return None, workers
    names = [name for name, key in seen.items() if key == wish.gpu]
    able = [node for node in workers if names and names[0] in node["Resources"] and node["Resources"].get("GPU", 0)]
    if not able:
        raise MachineError(_missing(nodes, wish.gpu))
    return names[0], able


def _missing(nodes: list[dict[str, Any]], wanted: str) -> str:
    found = [
        f"{node['NodeManagerHostname']}: {node['Resources']['GPU']:g} x "
        + (", ".join(sorted(filter(None, map(_gpu_key, node["Resources"])))) or "GPU without a name")
        for node in nodes
        if node["Resources"].get("GPU", 0)
    ]
    return (
        f"no node of the Ray cluster offers {wanted} with a core; GPUs seen: {'; '.join(found) or 'none'}. "
        f"""Start a node with --resources '{{"gpu:{wanted}": 1}}', or judge on cores: --device cpu"""
    )


def _gpu_key(resource: str) -> str | None:
    """The GPU a resource names, ours (gpu:rtx-4090) or Ray's own (accelerator_type:H100); None for any other."""
    kind, _, name = resource.partition(":")
    if kind not in ("gpu", "accelerator_type") or not name:
        return None
    try:
        return load_gpu(name).key
    except AgentError:
        return name


def _reports(ray: Any, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ask = ray.remote(num_cpus=0.01, max_retries=0)(ray_task.about_node)
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    asked = [ask.options(scheduling_strategy=affinity(node["NodeID"], soft=False)).remote() for node in nodes]
    try:
        return list(ray.get(asked, timeout=_NODE_S))
    except ray.exceptions.RayError as error:
        why = " ".join(str(error).split())[:200]
        raise MachineError(f"a node of the Ray cluster does not say what is installed on it: {why}") from None


def _alike(reports: list[dict[str, Any]]) -> dict[str, str]:
    """The versions all nodes have. Raises MachineError naming two that differ, with both versions."""
    mine = ray_task.versions()["kernel-agent"]
    first = reports[0]
    versions: dict[str, str] = first["versions"]
    if versions["kernel-agent"] != mine:
        raise MachineError(
            f"node {first['host']} has kernel-agent {versions['kernel-agent']}, this process {mine}: "
            "install the same on both"
        )
    for report in reports[1:]:
        differing = ray_task.differences(versions, report["versions"])
        if differing:
            raise MachineError(f"node {report['host']} differs from node {first['host']}: {differing}; make them alike")
    return versions
