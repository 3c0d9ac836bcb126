"""The host's side of the judge: start it, ask it, restart it once when it dies. No torch here.

    with JudgeClient() as judge:
        facts = judge.facts(problem)
        evaluation = judge.evaluate(problem, candidate, gpu, announce=print)

Limits: one request at a time. What a verdict means is evaluators/evaluation.py.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evaluators import errors
from evaluators.candidate import Candidate
from evaluators.device_report import DeviceReport
from evaluators.evaluation import Evaluation, Failed, Rung, evaluation_adapter
from evaluators.gpu import GpuSpec
from evaluators.measurement import Baselines
from evaluators.problem import Problem, ProblemFacts
from evaluators.rungs import Incumbent

_KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "VIRTUAL_ENV",
    "KERNELBENCH_DIR",
)
_KEPT_PREFIXES = ("CUDA_", "TRITON_", "AGENT_", "OMP_", "OPENBLAS_", "NVIDIA_", "LC_")
_REQUEST_WALL_S = 600.0  # far above the sum of the rungs' own limits: only a stuck judge reaches it


class JudgeEnded(Exception):
    """The judge process ended or fell silent in the middle of a request."""


class JudgeBug(errors.MachineError):
    """The judge met an error of ours; the message names the exception, the judge's log has the traceback."""


class JudgeAborted(errors.MachineError):
    """The judge was ended from another thread while it was asked."""


class JudgeClient:
    """A judge process and the way to ask it. Start-up is paid at construction, in the background.

    The judge dies with the thread that constructed this, not only with the process: the kernel's signal for a dead
    parent follows threads.
    """

    _device: str | None = None  # the GPU it measures on, as it said when it was ready

    def __init__(
        self,
        sandbox: str = "auto",
        *,
        facts_only: bool = False,
        device: str = "auto",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`sandbox`: auto, strict or unsafe, see sandbox/tiers.py.

        facts_only: no fork server is started ahead, and no GPU is used unless `device` says cuda.

        device: auto | cpu | cuda, whether a GPU of this machine is used; cuda: it must be. `environment` is added to
        what the judge inherits, e.g. CUDA_VISIBLE_DEVICES.
        """
        used = "cpu" if facts_only and device != "cuda" else device
        self._arguments = (sandbox, "cold" if facts_only else "warm", used)
        self._environment = dict(environment or {})
        self._is_aborted = self._was_asked = False
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed in close()
        self._process = self._spawn()

    def facts(self, problem: Problem) -> ProblemFacts:
        """Shapes, FLOP, bytes and linter warnings of a problem. Raises BadProblem where it does not load or run."""
        return ProblemFacts.model_validate(self._ask_about("facts", problem)["facts"])

    def evaluate(
        self,
        problem: Problem,
        candidate: Candidate,
        gpu: GpuSpec,
        *,
        announce: Callable[[str], None] = lambda rung: None,
        rungs: Sequence[Rung] | None = None,
        incumbent: Incumbent | None = None,
        metrics: Sequence[str] = (),
    ) -> Evaluation:
        """Judge a candidate; SASS and PTX come as `listings`.

        A judge that dies twice on it yields Failed(crashed); our own bugs raise JudgeBug.
        """
        request = {
            "op": "evaluate",
            "problem": problem.model_dump(mode="json"),
            "candidate": candidate.model_dump(mode="json"),
            "gpu": gpu.model_dump(mode="json"),
            "rungs": list(rungs) if rungs else None,
            "incumbent": incumbent.model_dump(mode="json") if incumbent else None,
            "metrics": list(metrics),
        }
        try:
            answer = self._ask_twice(request, announce)
        except errors.JudgeDied as death:
            return Failed(
                candidate_id=candidate.id,
                problem=problem.key,
                gpu=gpu.key,
                rung="build",
                kind="crashed",
                message=f"the judge process ended twice while judging this candidate: {death}",
            )
        return evaluation_adapter.validate_python({**answer["evaluation"], "listings": answer["listings"]})

    def baselines(self, problem: Problem) -> tuple[Baselines, dict[str, str]]:
        """The library at its settings on this machine's GPU, and what figures depend on. Raises MachineError."""
        answer = self._ask_about("baselines", problem)
        return Baselines.model_validate(answer["baselines"]), dict(answer["environment"])

    def device_report(self) -> DeviceReport:
        """Its GPU, looked at now. Raises MachineError where it has none, with the reason."""
        answer = self._ask_twice({"op": "device"}, lambda name: None)
        return DeviceReport.model_validate(answer["report"])

    def device(self) -> str | None:
        """The GPU it measures on; None where it has none. Raises MachineError where there must be one."""
        if not self._is_ready:
            self._ask_twice({"op": "hello"}, lambda name: None)
        return self._device

    def abort(self) -> None:
        """End the judge from any thread; a request in progress raises JudgeAborted. `close` is still owed."""
        self._is_aborted = True
        self._process.kill()

    def close(self) -> None:
        """End the judge and everything below it; one that was never asked may still import, and is not waited for."""
        if not self._was_asked:
            self._process.kill()
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask_about(self, operation: str, problem: Problem) -> dict[str, Any]:
        """Of the problem alone: where the judge dies of it, that is the reference's doing."""
        try:
            return self._ask_twice({"op": operation, "problem": problem.model_dump(mode="json")}, lambda name: None)
        except errors.JudgeDied as death:
            where = problem.path or problem.key
            words = f"the judge's process ended twice while this reference ran in it: {death}"
            raise errors.JudgeDied(f"{where}: {words}") from None

    def _ask_twice(self, request: dict[str, Any], announce: Callable[[str], None]) -> dict[str, Any]:
        try:
            return self._ask(request, announce)
        except JudgeEnded as end:
            self._give_up_if_aborted()
            if not self._is_ready:  # our own failure: no candidate was looked at
                raise errors.MachineError(f"the judge does not start: {end}; see `agent doctor`") from None
            self._restart()
        try:
            return self._ask(request, announce)
        except JudgeEnded as end:
            self._give_up_if_aborted()
            self._restart()
            raise errors.JudgeDied(str(end)) from None

    def _give_up_if_aborted(self) -> None:
        if self._is_aborted:
            raise JudgeAborted("the judge was ended while it was asked") from None

    def _ask(self, request: dict[str, Any], announce: Callable[[str], None]) -> dict[str, Any]:
        stdin, self._was_asked = self._process.stdin, True
        assert stdin is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise JudgeEnded(self._last_words()) from None
        for event in self._events():
            if event["event"] == "ready":
                self._is_ready, self._device = True, event["device"]
            elif event["event"] == "rung":
                announce(event["name"])
            elif event["event"] == "error":
                raise _error_from(event)
            else:
                return event
        raise JudgeEnded(self._last_words())

    def _events(self) -> Iterator[dict[str, Any]]:
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + _REQUEST_WALL_S
        buffer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while selector.select(timeout=deadline - time.monotonic()):
                chunk = os.read(stdout.fileno(), 1 << 20)
                if not chunk:
                    return
                *lines, buffer = (buffer + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._is_ready = False
        root = str(Path(__file__).resolve().parent.parent)
        import_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        environment = {
            name: value
            for name, value in os.environ.items()
            if (name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES))
            and "KEY" not in name
            and "TOKEN" not in name
        }
        if "TMPDIR" in environment:  # one that exists: the compilers' tools, unlike Python, look for no other
            environment["TMPDIR"] = tempfile.gettempdir()
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "evaluators.judge", *self._arguments, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**environment, **self._environment, "PYTHONPATH": import_path, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    def _restart(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what was still to be written has no reader
                if stream:
                    stream.close()
        self._process = self._spawn()
        if self._is_aborted:  # while the old one was being buried
            self._process.kill()

    def _last_words(self) -> str:
        end = _end_text(self._process)
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"{end}; {lines[-1] if lines else 'it said nothing'}"


def _end_text(process: subprocess.Popen[bytes]) -> str:
    """How it ended; its output closes a moment before its status is there."""
    try:
        code = process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return "it does not answer"
    if code >= 0:
        return f"exit status {code}"
    known = [each.name for each in signal.Signals if each == -code]
    return f"killed by {known[0] if known else f'signal {-code}'}"


def _error_from(event: dict[str, Any]) -> errors.AgentError:
    kind = getattr(errors, str(event["type"]), None)
    if isinstance(kind, type) and issubclass(kind, errors.AgentError):
        return kind(event["message"])
    return JudgeBug(f"internal error in the judge: {event['message']} - please report it with the candidate")
