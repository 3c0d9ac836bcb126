"""Calls whose time counts: laid out beforehand, started by one message, over when the judge holds their outputs.

The judge's clock runs from the message to its own copies of the outputs, so nothing that a candidate does late, on
another stream or in another process escapes it. Everything that is not the candidate's work is in the clock as well and
is calibrated (evaluators/judge/device/protocol.py).
Limits: how samples are judged and put together is evaluators/judge/device/.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluators.judge.conversation import CandidateFault, Conversation, Message
from evaluators.judge.shared_bytes import same_bytes

Region = tuple[Message, torch.Tensor]


@dataclass(frozen=True)
class Staged:
    """Sets of inputs as they lie in the shared memory, each with its poisoned outputs; `given` are the judge's own."""

    given: list[list[Any]]
    inputs: list[list[tuple[Message, torch.Tensor | None]]]
    outputs: list[list[Region]]
    copies: list[list[torch.Tensor]]  # where the judge takes the outputs; allocating them is not the candidate's time


@dataclass(frozen=True)
class Fired:
    """One timed batch: outputs as the judge copied them, what the candidate's process says, the judge's own clock."""

    described: list[list[Message]]
    outputs: list[list[torch.Tensor]]
    report: Message
    seconds: float

    @property
    def inside_ms(self) -> list[float]:
        """Device-event time of every call as the candidate's process states it; empty where it states none."""
        return self._claimed("inside_ms")

    @property
    def host_ms(self) -> list[float]:
        """Time until forward returned, by the clock of the candidate's process: informs, never decides."""
        return self._claimed("host_ms")

    def _claimed(self, name: str) -> list[float]:
        listed = self.report.get(name)
        if not isinstance(listed, list) or len(listed) != len(self.outputs):
            return []
        return [float(value) for value in listed if isinstance(value, int | float)]


def stage(talk: Conversation, sets: Sequence[Sequence[Any]], outputs: Sequence[torch.Tensor]) -> Staged:
    """Lay out the inputs of a batch. `outputs` give shapes and dtypes, the same for every call."""
    arena = talk.arena()
    inputs = [[talk.place_input(arena, value) for value in values] for values in sets]
    regions = [[arena.place(output.shape, output.dtype) for output in outputs] for _ in sets]
    copies = [[torch.empty_like(view) for _, view in placed] for placed in regions]
    return Staged([list(values) for values in sets], inputs, regions, copies)


def fire(talk: Conversation, staged: Staged, settle: Callable[[], None], *, options: Message | None = None) -> Fired:
    """Run a batch. `settle` waits for the judge's own work on the device. Raises CandidateFault."""
    listed = [
        {"inputs": [spec for spec, _ in inputs], "outputs": [spec for spec, _ in regions]}
        for inputs, regions in zip(staged.inputs, staged.outputs, strict=True)
    ]
    request = {"do": "calls", "sets": listed, "options": options or {}}
    settle()
    started = time.perf_counter()
    answer, _, _ = talk.ask(request)
    for regions, copies in zip(staged.outputs, staged.copies, strict=True):
        for (_, view), copy in zip(regions, copies, strict=True):
            copy.copy_(view)
    settle()
    seconds = time.perf_counter() - started
    report = answer.get("report")
    return Fired(_described(answer, len(listed)), staged.copies, report if isinstance(report, dict) else {}, seconds)


def inputs_intact(staged: Staged) -> bool:
    """Whether the shared inputs still hold what was laid there."""
    pairs = zip(staged.inputs, staged.given, strict=True)
    return all(
        view is None or same_bytes(view, value)
        for inputs, given in pairs
        for (_, view), value in zip(inputs, given, strict=True)
    )


def _described(answer: Message, count: int) -> list[list[Message]]:
    sets = answer.get("sets")
    if not isinstance(sets, list) or len(sets) != count or not all(isinstance(each, list) for each in sets):
        raise CandidateFault("crashed", "the candidate's process sent a malformed answer")
    return [[one for one in each if isinstance(one, dict)] for each in sets]
