"""The Ray engine: the same evaluation as a task in a cluster, `--engine ray[:ADDRESS]`.

    ray                  Ray on this machine alone, on loopback, ended with us
    ray:auto             the cluster this machine is part of
    ray:HOST:PORT        the cluster with this head; this machine is part of it

The target's GPU is asked for as a resource `gpu:<key>` (`ray start --resources '{"gpu:rtx-4090": 1}'`) or by the model
that Ray itself found. A candidate is first judged on a part of a GPU, without timing; one that held is judged whole
with a GPU of its own. Without any GPU in the cluster its cores are the workers. A node or worker that is lost is our
failure: the request goes elsewhere, up to three times. Only this process talks to models.

Limits: nothing is shared but Ray; no file system. What a worker does is task.py; cluster set-up: docs/cluster.md.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from agent.engines import Wish
from agent.engines.ray.cluster import Cluster, Share, connected
from evaluators import errors
from evaluators.candidate import Candidate
from evaluators.client import JudgeBug
from evaluators.errors import MachineError, UsageError
from evaluators.evaluation import Evaluation, Rung, evaluation_adapter
from evaluators.gpu import GpuSpec
from evaluators.ladder import RUNGS
from evaluators.problem import Problem, ProblemFacts
from evaluators.rungs import Incumbent

_TRIES = 3
_LIMIT_S = 1500.0  # from a task's start: the judge's own limits (two requests of 600 s) end first unless a node hangs
_POLL_S = 0.5


def engine(address: str, wish: Wish) -> "RayEngine":
    """The Ray engine, connected. Raises UsageError where Ray is missing, MachineError where no node has the GPU."""
    if wish.devices is not None:
        raise UsageError("--devices names GPUs of this machine; Ray chooses them in a cluster by --gpu")
    return RayEngine(connected(address, wish), wish)


class RayEngine:
    """A judge for many threads, whose workers are anywhere in the cluster."""

    def __init__(self, cluster: Cluster, wish: Wish, *, limit_s: float = _LIMIT_S) -> None:
        self._cluster = cluster
        self._wish = wish
        self._limit_s = limit_s
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._device: str | None = None
        self.slots = min(wish.jobs or cluster.slots, cluster.slots)
        self._places = threading.Semaphore(self.slots)
        self.about = f"{self.slots} at once on {cluster.about}"
        self.notes = cluster.notes
        self.log: list[dict[str, Any]] = []  # where and when every request was served
        self.lost: list[str] = []  # why a request had to be served again

    def facts(self, problem: Problem) -> ProblemFacts:
        """Facts of a problem, by any node."""
        job = {"op": "facts", "problem": problem.model_dump(mode="json")}
        return ProblemFacts.model_validate(self._asked(job, self._cluster.cores_only, lambda rung: None))

    def device(self) -> str | None:
        """The GPU of a node that has the target's; None where candidates are judged on cores."""
        if self._device is None and self._cluster.model is not None:
            (_, share), *_ = self._cluster.stages(RUNGS, RUNGS)
            self._device = self._asked({"op": "device"}, share, lambda rung: None)
        return self._device

    def evaluate(
        self,
        problem: Problem,
        candidate: Candidate,
        gpu: GpuSpec,
        *,
        announce: Callable[[str], None] = lambda rung: None,
        incumbent: Incumbent | None = None,
        metrics: Sequence[str] = (),
        rungs: Sequence[Rung] | None = None,
    ) -> Evaluation:
        """The verdict on a candidate; a request that three nodes were lost over raises JudgeBug."""
        job = {
            "op": "evaluate",
            "problem": problem.model_dump(mode="json"),
            "candidate": candidate.model_dump(mode="json"),
            "gpu": gpu.model_dump(mode="json"),
            "incumbent": incumbent.model_dump(mode="json") if incumbent else None,
            "metrics": list(metrics),
        }
        stages = self._cluster.stages(rungs, RUNGS)
        for allowed, share in stages:
            answer = self._asked({**job, "rungs": allowed}, share, announce)
            evaluation = evaluation_adapter.validate_python(answer)
            if evaluation.verdict != "passed":
                break
        return evaluation

    def stop(self) -> None:
        """Whoever waits for an answer, or asks from now on, gets KeyboardInterrupt."""
        self._stopped.set()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.stop()
        self._cluster.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _asked(self, job: dict[str, Any], share: Share, announce: Callable[[str], None]) -> Any:
        """The answer to one request, asked again where a node or worker was lost."""
        whole = {
            **job,
            "sandbox": self._wish.sandbox,
            "device": self._wish.device if share.gpus else "cpu",
            "versions": self._cluster.versions,
            "gpus": share.gpus,
        }
        lost: list[str] = []
        with self._places:
            for _ in range(_TRIES):
                number = next(self._numbers)
                try:
                    served = self._waited(self._cluster.submit({**whole, "id": number}, share), number, announce)
                except _Lost as loss:
                    lost.append(str(loss))
                    self.lost.append(str(loss))
                    continue
                self.log.append({key: value for key, value in served.items() if key != "answer"})
                return served["answer"]
        raise JudgeBug(f"a node or worker was lost {_TRIES} times over this request: {'; '.join(lost)}")

    def _waited(self, task: Any, number: int, announce: Callable[[str], None]) -> dict[str, Any]:
        """The result of a task. Raises _Lost, KeyboardInterrupt when stopped, or the worker's own AgentError."""
        started: float | None = None
        while not self._cluster.is_done(task, within_s=_POLL_S):
            if self._stopped.is_set():
                self._cluster.cancel(task)
                raise KeyboardInterrupt
            started, rung = self._cluster.progress(number, started)
            if rung:
                announce(rung)
            if started is not None and time.monotonic() - started > self._limit_s:
                self._cluster.cancel(task)
                raise _Lost(f"no answer {self._limit_s:.0f} s after it was begun; cancelled")
        return self._cluster.result(task, _raised)


class _Lost(Exception):
    """A node or worker was lost, or fell silent."""


def _raised(error: BaseException, is_ours: bool) -> BaseException:
    """What to raise for the error of a task. is_ours: the worker's code raised it, rather than Ray lost the worker."""
    if not is_ours:
        return _Lost(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    if type(error).__name__ == "VersionsDiffer":
        return MachineError(str(error))
    if isinstance(error, errors.AgentError):
        return error
    return JudgeBug(f"internal error in a worker: {type(error).__name__}: {error}")
