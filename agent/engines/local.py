"""The local engine: judge processes on this machine, each with a thread that owns it.

Judges are started when they are first needed. Where there are GPUs they are shared out over the judges by
CUDA_VISIBLE_DEVICES, so compiling and interpreting go on beside a measurement; that only one judge measures on a GPU
at a time is the lease each judge takes before it measures.

Limits: one machine. A judge that dies is restarted by its client (evaluators/client.py); candidates are contained by
sandbox/.
"""

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from agent.engines import Wish
from evaluators.candidate import Candidate
from evaluators.client import JudgeAborted, JudgeClient
from evaluators.errors import UsageError
from evaluators.evaluation import Evaluation, Rung
from evaluators.gpu import GpuSpec
from evaluators.problem import Problem, ProblemFacts
from evaluators.rungs import Incumbent

Answer = TypeVar("Answer")
_JUDGE_BYTES = 1 << 30  # a judge with both fork servers and a candidate has 0.7 to 0.9 GB (PSS, small problems)
_DEVICE_FILE = re.compile(r"nvidia\d+")


def engine(address: str, wish: Wish) -> "LocalEngine":
    """The local engine. Raises UsageError for devices that cannot be meant."""
    if address:
        raise UsageError(f"--engine local takes no address (got {address!r})")
    devices = () if wish.device == "cpu" else devices_of(wish.devices)
    made = LocalEngine(_jobs(wish.jobs), devices=devices, sandbox=wish.sandbox, device=wish.device)
    if wish.devices is not None and (wish.device == "cpu" or not _has_device_files()):
        why = "--device cpu uses none" if wish.device == "cpu" else "this machine shows no NVIDIA GPU"
        made.notes = (f"--devices {wish.devices} has no effect: {why}, so nothing is measured",)
    return made


class LocalEngine:
    """A judge for many threads: `slots` judge processes, started on demand."""

    notes: tuple[str, ...] = ()

    def __init__(self, jobs: int, *, devices: Sequence[str] = (), sandbox: str = "auto", device: str = "auto") -> None:
        """`devices`: as CUDA_VISIBLE_DEVICES names them; judge i sees device i modulo their number."""
        self.slots = jobs
        on = f", on GPU {', '.join(devices)}" if devices else ", no GPU"
        self.about = f"{jobs} judge{'s' if jobs > 1 else ''} on this machine{on}"
        self._judges = [_OwnedJudge(sandbox, device, environment) for environment in _environments(jobs, devices)]
        self._free = list(reversed(self._judges))  # from the end: one that is warm before one that is not started
        self._change = threading.Condition()
        self._stopped: Future[None] = Future()

    def facts(self, problem: Problem) -> ProblemFacts:
        """Facts of a problem, by the next free judge."""
        return self._ask(problem.id, lambda judge: judge.facts(problem))

    def device(self) -> str | None:
        """The GPU that the next free judge measures on; several are taken for alike."""
        return self._ask("", lambda judge: judge.device())

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
        """The verdict on a candidate, by the next free judge; arguments as of JudgeClient.evaluate."""
        return self._ask(
            problem.id,
            lambda judge: judge.evaluate(
                problem, candidate, gpu, announce=announce, incumbent=incumbent, metrics=metrics, rungs=rungs
            ),
        )

    def stop(self) -> None:
        """Whoever waits for an answer, or asks from now on, gets KeyboardInterrupt."""
        with self._change:
            if not self._stopped.done():
                self._stopped.set_result(None)
            self._change.notify_all()

    def close(self) -> None:
        """End every judge."""
        self.stop()
        for judge in self._judges:
            judge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, problem_id: str, question: Callable[[JudgeClient], Answer]) -> Answer:
        judge = self._taken(problem_id)
        answer = judge.ask(question)
        answer.add_done_callback(lambda _: self._put_back(judge))
        either: tuple[Future[Any], ...] = (answer, self._stopped)
        wait(either, return_when=FIRST_COMPLETED)
        if not answer.done():
            raise KeyboardInterrupt
        return answer.result()

    def _taken(self, problem_id: str) -> "_OwnedJudge":
        """A free judge, if possible the one that has this problem's reference and baselines already."""
        with self._change:
            self._change.wait_for(lambda: self._free or self._stopped.done())
            if self._stopped.done():
                raise KeyboardInterrupt
            judge = next((judge for judge in self._free if judge.problem_id == problem_id), self._free[-1])
            self._free.remove(judge)
            judge.problem_id = problem_id or judge.problem_id
            return judge

    def _put_back(self, judge: "_OwnedJudge") -> None:
        with self._change:
            self._free.append(judge)
            self._change.notify()


class _OwnedJudge:
    """A judge process and the one thread that starts and asks it: a judge dies with the thread that started it."""

    def __init__(self, sandbox: str, device: str, environment: Mapping[str, str]) -> None:
        self._sandbox = sandbox
        self._device = device
        self._environment = environment
        self._thread = ThreadPoolExecutor(1)
        self._client: JudgeClient | None = None
        self.problem_id = ""  # what it was asked about last

    def ask(self, question: Callable[[JudgeClient], Answer]) -> Future[Answer]:
        return self._thread.submit(lambda: question(self._started()))

    def close(self) -> None:
        if self._client is not None:
            self._client.abort()
            with suppress(JudgeAborted):
                self._thread.submit(self._client.close).result()
        self._thread.shutdown(cancel_futures=True)

    def _started(self) -> JudgeClient:
        if self._client is None:
            self._client = JudgeClient(self._sandbox, device=self._device, environment=self._environment)
        return self._client


def devices_of(wish: str | None) -> tuple[str, ...]:
    """The devices a judge may use, as CUDA_VISIBLE_DEVICES names them. Raises UsageError for what names none."""
    if wish is not None:
        named = tuple(part.strip() for part in wish.split(","))
        if not all(part.isdecimal() or part.startswith(("GPU-", "MIG-")) for part in named) or len(set(named)) < len(
            named
        ):
            raise UsageError(f"--devices {wish!r}: write numbers like 0,1 (or UUIDs), each once")
        return named
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1"))
    return tuple(str(number) for number, _ in enumerate(_device_files()))


def _device_files() -> list[Path]:
    return [path for path in Path("/dev").glob("nvidia*") if _DEVICE_FILE.fullmatch(path.name)]


def _has_device_files() -> bool:
    """Also under WSL, where the GPUs stand behind one file."""
    return bool(_device_files()) or Path("/dev/dxg").exists()


def _jobs(wish: int | None) -> int:
    """As many judges as cores, but no more than the free memory holds."""
    cores = len(os.sched_getaffinity(0))
    return wish or max(1, min(cores, _available_bytes() // _JUDGE_BYTES))


def _available_bytes() -> int:
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(facts["MemAvailable"].split()[0]) << 10


def _environments(jobs: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """What each judge is told: its device, and its part of the cores for the reference's arithmetic."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // jobs))
    shared = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
    visible = [devices[number % len(devices)] if devices else "" for number in range(jobs)]
    return [{**shared, "CUDA_VISIBLE_DEVICES": device} for device in visible]
