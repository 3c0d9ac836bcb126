"""The part of rung 3 that needs no GPU: a Triton candidate in the interpreter, in processes abreast.

The first call is made alone, because most wrong kernels end with it. Then, at the same time, in a process each: single
calls on every small geometry; the sequence of calls on one model; one call at the published size.
Limits: as many at once as there are cores; what they say is put together in one order, whichever ends first.
"""

import copy
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

import torch

from evaluators.judge.conversation import Answer, CandidateFault, Conversation, converse
from evaluators.judge.examination import Examination, Light
from evaluators.judge.full_size import begin_reference, full_size_of
from evaluators.judge.geometry import Geometry, geometries_of
from evaluators.judge.larger import INTERPRETED, larger_of
from evaluators.judge.sampling import examine_full_size, full_size_answer
from evaluators.judge.shared_bytes import on_host
from evaluators.judge.verdicts import CannotCheck, Wrong
from evaluators.rungs import Findings, Task
from evaluators.rungs.correctness import bytes_needed, examined
from sandbox import Child

ENTRY = "evaluators.inside.interpret:main"
CALL_LIMIT_S = 20.0  # one call on a small geometry; an honest direct kernel needs less than 1 s


@dataclass(frozen=True)
class Interpreted:
    """Small geometries are done with; at the published size an answer is there and to be judged."""

    examination: Examination
    findings: Findings
    full_size: Callable[[], Answer | None]

    def finish(self, task: Task) -> Findings:
        """Add the published size, for which `task` has found what was compiled."""
        if self.findings.failure or self.findings.unverified:
            return self.findings
        return examine_full_size(task, self.full_size, self.examination, self.findings)


def check(task: Task) -> Interpreted:
    """Ask everything that does not depend on what the build finds."""
    plan = full_size_of(task.reference)
    if plan is not None and plan.convolution is None:
        begin_reference(task.reference)
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores, initializer=partial(torch.set_num_threads, 1)) as pool:
        return _Processes(task, pool).run()


class _Processes:
    """The processes of one candidate."""

    def __init__(self, task: Task, pool: ThreadPoolExecutor) -> None:
        self._task = task
        self._pool = pool
        self._source = task.candidate.source
        self._geometries = geometries_of(task.reference)
        self._larger = larger_of(task.reference, INTERPRETED)
        self._open: list[Child] = []
        self._full_size: Callable[[], Answer | None] = lambda: None

    def run(self) -> Interpreted:
        problem = self._task.problem
        with self._small() as talk:
            first = Examination(talk, problem.key, problem.tolerance, library_ops=problem.library_ops)
            findings = examined(first, lambda: self._ask(first))
        return Interpreted(first, findings, self._full_size)

    def _ask(self, first: Examination) -> None:
        first.begin(self._source, self._geometries)
        if first.base is None:  # it cannot be run here, which other geometries may yet show to be wrong
            first.single_calls(self._geometries.general)
            first.sequence(self._geometries, lambda: first.light)
            first.require_all_ran()
        self._full_size = self._pool.submit(full_size_answer, self._task, self._process, first).result
        try:
            self._abreast(first)
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in self._open:
                child.cancel()
            raise

    def _abreast(self, first: Examination) -> None:
        known = copy.copy(first)  # as it is now
        single = self._pool.submit(self._single_calls, first)

        def light() -> Geometry | None:
            wait([single])
            return first.light

        many = self._pool.submit(self._many_calls, known, light)
        single.result()
        other, ended = many.result()
        first.take(other)
        if ended:
            raise ended
        first.require_all_ran()
        first.conclude()

    def _single_calls(self, first: Examination) -> None:
        first.single_calls(self._geometries.general)
        first.larger(self._larger)

    def _many_calls(self, known: Examination, light: Light) -> tuple[Examination, Exception | None]:
        with self._small() as talk:
            other = known.beside(talk)
            try:
                talk.load(self._source)
                other.sequence(self._geometries, light)
            except (Wrong, CandidateFault, CannotCheck) as ended:
                return other, ended
            return other, None

    def _small(self) -> Conversation:
        return self._process(max(bytes_needed(self._geometries), self._larger.shared_bytes), CALL_LIMIT_S)

    def _process(self, shared_bytes: int, call_limit_s: float) -> Conversation:
        device = {**self._task.gpu.model_dump(mode="json"), "capability": self._task.gpu.capability}
        arguments = {"device": device, "library_ops": list(self._task.problem.library_ops)}
        shared = on_host(shared_bytes)
        talk = converse(self._task.zygotes.interpret, ENTRY, arguments, shared=shared, call_limit_s=call_limit_s)
        self._open.append(talk.child)
        return talk
