"""The part of rung 3 that a GPU adds: the candidate on the device, every geometry in a process of its own, all abreast.

Limits: which questions are asked is evaluators/judge/device/examination.py; what they prove is put together here.
"""

import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace

from evaluators.evaluation import Check
from evaluators.judge.conversation import CandidateFault
from evaluators.judge.device.bench import Bench
from evaluators.judge.device.beyond import Beyond
from evaluators.judge.device.examination import (
    FEW_GEOMETRIES,
    DeviceExamination,
    PublishedCalls,
    allows_tf32,
    tunes_itself,
    what_held,
)
from evaluators.judge.geometry import Geometries, Geometry, geometries_of
from evaluators.judge.verdicts import Wrong
from evaluators.rungs import Failure, Findings, Task, failed
from evaluators.rungs.correctness import bytes_needed, examined

_ABREAST = 8  # processes with a context each, 0.5 GB of device memory

Ask = Callable[[DeviceExamination], None]


def check(task: Task, bench: Bench, *, few: Callable[[], bool]) -> Findings:
    """What running on the GPU shows. `few`: only some unpublished geometries, the interpreter has seen them all."""
    geometries = geometries_of(task.reference)
    bench.most_sets  # sized before the other processes take memory  # noqa: B018
    with bench.card.leased():
        return _Parts(task, bench, geometries).run(few)


class _Parts:
    """All questions of one candidate, and the process each is put to."""

    def __init__(self, task: Task, bench: Bench, geometries: Geometries) -> None:
        self._task = task
        self._bench = bench
        self._geometries = geometries
        self._tf32 = allows_tf32(task.problem, geometries)

    def run(self, few: Callable[[], bool]) -> Findings:
        """Ask everything. `few` is asked once the first parts run."""
        order = list(self._geometries.general)
        random.SystemRandom().shuffle(order)
        at_once: list[Ask] = [lambda e: e.own(self._geometries), lambda e: e.many_calls(self._geometries)]
        at_once += [_unpublished(geometry) for geometry in order[:FEW_GEOMETRIES]]
        beyond = Beyond(self._bench, self._task.candidate, self._task.reference)  # by what is free now
        with ThreadPoolExecutor(max_workers=_ABREAST) as pool:
            # A candidate that times its own configurations must not do so among the others.
            published = None if tunes_itself(self._task.candidate) else pool.submit(self._published)
            incumbent = pool.submit(self._seat_incumbent)  # compiled now, it is ready for a duel
            called = pool.submit(beyond.call)
            running = [pool.submit(self._apart, ask) for ask in at_once]
            general = len(order) if not few() else min(FEW_GEOMETRIES, len(order))
            running += [pool.submit(self._apart, _unpublished(geometry)) for geometry in order[FEW_GEOMETRIES:general]]
            small = [each.result() for each in running]
            incumbent.result()
            wait([called])
            at_published = published.result() if published else self._published()
            return self._together([*small, at_published, _beyond(beyond, called)], general)

    def _apart(self, ask: Ask) -> Findings:
        size = bytes_needed(self._geometries)
        with self._bench.process(self._task.candidate, size) as talk:
            examination = DeviceExamination(talk, self._task.problem, tf32=self._tf32)

            def asked() -> None:
                talk.load(self._task.candidate.source)
                ask(examination)

            return examined(examination, asked)

    def _published(self) -> Findings:
        calls = PublishedCalls(self._bench, self._task.candidate, self._task.problem.library_ops)
        try:
            calls.make()
        except Wrong as wrong:
            return failed(wrong.check, wrong.failure)
        except CandidateFault as fault:
            if fault.unsupported:
                return Findings(unverified=fault.unsupported)
            return failed("on_device", Failure(fault.kind, str(fault)))
        return Findings(numeric_error=calls.errors[-1] if calls.errors else None, first_call_s=calls.first_call_s)

    def _seat_incumbent(self) -> None:
        incumbent = self._task.incumbent
        if incumbent is None or tunes_itself(incumbent.candidate):
            return
        with suppress(CandidateFault, Wrong):  # said where the duel begins
            seat = self._bench.seat(incumbent.candidate)
            seat.sit()
            seat.run([self._bench.published.draw()], options={})

    def _together(self, parts: list[Findings], general: int) -> Findings:
        """`parts`: small geometries, the published size, beyond it."""
        own, published, beyond = parts[0], *parts[-2:]
        scope = tuple(dict.fromkeys(said for part in parts for said in part.scope))
        for part in parts:
            if part.failure or part.unverified:
                return replace(part, scope=scope)
        refused = sum(len(part.scope) for part in parts[2:-2])  # of the unpublished geometries
        held = what_held(self._bench.card.name, general, refused)
        every = [_general(general, refused)] if general == len(self._geometries.general) > 0 else []
        error = published.numeric_error or own.numeric_error
        checks = (held, *every, *beyond.checks)
        return replace(published, checks=checks, numeric_error=error, scope=scope)


def _unpublished(geometry: Geometry) -> Ask:
    return lambda examination: examination.unpublished(geometry)


def _general(count: int, refused: int) -> Check:
    said = f"on the device: {count - refused} unpublished geometries right" + f", {refused} refused" * bool(refused)
    return Check(name="general", status="passed", detail=said)


def _beyond(beyond: Beyond, called: "Future[None]") -> Findings:
    try:
        called.result()
        check = beyond.verified()
    except Wrong as wrong:
        return failed(wrong.check, wrong.failure)
    return Findings(checks=(check,), scope=tuple(beyond.scope))
