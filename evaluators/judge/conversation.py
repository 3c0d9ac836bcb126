"""The judge's side of a conversation with one candidate process.

The judge lays weights, inputs and poisoned outputs into memory it owns, says what to do, and reads the output bytes as
soon as the answer is there. Everything in an answer is a claim: it is bounded, its types are checked, and it can only
explain or worsen a verdict. Limits: one call at a time; what is asked when is evaluators/judge/examination.py.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import TracebackType
from typing import Any, Self

import torch

from evaluators.evaluation import Kind
from evaluators.judge.reference import literal
from evaluators.judge.shared_bytes import SharedBytes, same_bytes
from evaluators.rungs import MAX_PROCESSES
from sandbox import Child, ChildEnded, Limits, Outcome, Zygote

ALIGNMENT = 256
GUARD_BYTES = 256  # NaN between regions, so that a read past an end is not a read of a neighbour
POISON = 0xFF  # all bits set is a NaN in every floating dtype
Message = dict[str, Any]
# ForbiddenAction is raised by evaluators/inside/process_audit.py; claiming it only harms
_KINDS: dict[str, Kind] = {"ForbiddenAction": "rejected", "OutOfMemoryError": "out_of_memory"}


class CandidateFault(Exception):
    """The candidate's code raised, ended or hung. `unsupported`: the harness, not the candidate, cannot."""

    def __init__(self, kind: Kind, message: str, *, unsupported: str = "", report: Message | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.unsupported = unsupported
        self.report = report or {}

    def at(self, where: str) -> "CandidateFault":
        """The same fault with the place it happened in front."""
        return CandidateFault(self.kind, f"{where}: {self}", unsupported=self.unsupported, report=self.report)


@dataclass(frozen=True)
class Answer:
    """What one call gave: descriptions as the candidate's process states them, outputs as the judge read them."""

    described: list[Message]
    outputs: list[torch.Tensor]
    report: Message
    payload: bytes
    stopped: bool
    inputs_intact: bool
    seconds: float

    @property
    def launched(self) -> int:
        """Kernel launches that ran to their end."""
        return _count(self.report.get("launched"))


@dataclass
class Arena:
    """Regions laid one after another into the shared memory, each followed by a guard."""

    memory: torch.Tensor  # uint8
    cursor: int = 0

    def place(self, shape: Sequence[int], dtype: torch.dtype) -> tuple[Message, torch.Tensor]:
        """A new region as the child is told of it, and the judge's view of it."""
        count = torch.Size(shape).numel()
        offset = -(-self.cursor // ALIGNMENT) * ALIGNMENT
        self.cursor = offset + count * dtype.itemsize + GUARD_BYTES
        if self.cursor > len(self.memory):
            raise ValueError(f"the workload needs more than the {len(self.memory)} shared bytes")
        spec = {"offset": offset, "shape": list(shape), "dtype": str(dtype).removeprefix("torch.")}
        if count == 0:
            return spec, torch.empty(tuple(shape), dtype=dtype)
        region = self.memory[offset : offset + count * dtype.itemsize]
        return spec, region.view(dtype).reshape(tuple(shape))


def poison(view: torch.Tensor) -> None:
    """Fill a region with NaN (integers: -1)."""
    if view.numel():
        view.reshape(-1).view(torch.uint8).fill_(POISON)


@dataclass
class Conversation:
    """One candidate process and the memory it shares with the judge."""

    child: Child
    shared: SharedBytes
    call_limit_s: float
    _weights: dict[str, tuple[Message, torch.Tensor]] = field(default_factory=dict)
    _base: int = 0
    _regions: list[tuple[Message, torch.Tensor]] = field(default_factory=list)
    calls: int = 0

    def load(self, source: str) -> None:
        """Import the candidate."""
        answer, _, _ = self.ask({"do": "load"}, source.encode("utf-8", "surrogatepass"))
        if answer.get("has_model") is not True:
            raise CandidateFault("rejected", "the file defines no class ModelNew")

    def build(self, init_literal: str) -> list[tuple[str, tuple[int, ...], str, bool]]:
        """Construct ModelNew; returns its state as (name, shape, dtype, is a parameter)."""
        answer, _, _ = self.ask({"do": "build", "init": init_literal})
        self._weights, self._base, self.calls = {}, 0, 0
        return _state(answer.get("state"))

    def set_weights(self, weights: Mapping[str, torch.Tensor], *, how: str = "copy") -> None:
        """Give the candidate these weights, by name."""
        if not weights:
            return
        if not self._weights:
            arena = Arena(self.shared.flat)
            self._weights = {name: arena.place(v.shape, v.dtype) for name, v in weights.items()}
            self._base = arena.cursor
        for name, value in weights.items():
            self._weights[name][1].copy_(value)
        tensors = [{"name": name, **spec} for name, (spec, _) in self._weights.items()]
        self.ask({"do": "weights", "tensors": tensors, "how": how})

    def call(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[torch.Tensor],
        *,
        options: Message | None = None,
        sparse: Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]] | None = None,
    ) -> Answer:
        """Run forward once. `outputs` give shapes and dtypes; `sparse`: full shape and items of inputs held in part."""
        arena = self.arena()
        placed = [self.place_input(arena, v, (sparse or {}).get(i)) for i, v in enumerate(inputs)]
        self._regions = [] if sparse else [arena.place(o.shape, o.dtype) for o in outputs]
        request = {"do": "call", "inputs": [spec for spec, _ in placed], "options": options or {}}
        request["outputs"] = [spec for spec, _ in self._regions]
        answer, payload, seconds = self.ask(request)
        self.calls += 1
        given = zip(placed, inputs, strict=True)
        return Answer(
            described=[d for d in _listed(answer.get("outputs")) if isinstance(d, dict)],
            outputs=[view.clone().cpu() for _, view in self._regions],
            report=_report(answer),
            payload=payload,
            stopped=answer.get("stopped") is True,
            inputs_intact=answer.get("inputs") is not False
            and all(view is None or same_bytes(view, value) for (_, view), value in given),
            seconds=seconds,
        )

    def compiled_code(self) -> bytes:
        """What the process has compiled, as it packs it: opaque, for another process of the same candidate."""
        return self.ask({"do": "compiled"})[1]

    def reread(self, call: int) -> list[torch.Tensor]:
        """The outputs of an earlier call since `build`, as they are now; for the geometry of the last call."""
        for _, view in self._regions:
            poison(view)
        self.ask({"do": "reread", "call": call, "outputs": [spec for spec, _ in self._regions]})
        return [view.clone().cpu() for _, view in self._regions]

    def weights_changed(self, weights: Mapping[str, torch.Tensor]) -> set[str]:
        """Names of the candidate's parameters that no longer hold what the judge gave them."""
        if not self._weights:
            return set()
        for _, view in self._weights.values():
            poison(view)
        listed = [{"name": name, **self._weights[name][0]} for name in weights]
        self.ask({"do": "read_weights", "tensors": listed})
        return {name for name, value in weights.items() if not same_bytes(self._weights[name][1], value)}

    def arena(self) -> Arena:
        """The memory behind the weights, poisoned, for the regions of the next call."""
        poison(self.shared.flat[self._base :])
        return Arena(self.shared.flat, self._base)

    def place_input(
        self, arena: Arena, value: Any, sparse: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    ) -> tuple[Message, torch.Tensor | None]:
        """Lay an input into the memory; how the child is told of it, and the judge's view (None for a literal)."""
        if not isinstance(value, torch.Tensor):
            return {"literal": literal(value, "an input")}, None
        spec, view = arena.place(value.shape, value.dtype)
        view.copy_(value)
        if sparse is None:
            return spec, view
        shape, items = sparse
        stride = prod(value.shape[1:]) * value.element_size()  # there may be no item: inputs without secret values
        listed = [{"index": item, "offset": spec["offset"] + row * stride} for row, item in enumerate(items)]
        return {"shape": list(shape), "dtype": spec["dtype"], "items": listed}, view

    def ask(self, request: Message, payload: bytes = b"") -> tuple[Message, bytes, float]:
        """One request and its answer; raises CandidateFault on anything but a plain answer."""
        started = time.monotonic()
        deadline, beat = started + self.call_limit_s, ""
        self.shared.settle()
        try:
            self.child.send(request, payload)
            while "beat" in (answer := (received := self._received(deadline))[0]):
                beat = f"kernel {str(answer['beat'])[:80]}: {answer.get('programs')} of {answer.get('of')} programs"
        except ChildEnded as ended:
            raise self._ended(request["do"], ended.outcome, beat) from None
        if "fault" in answer:
            raise _raised(request["do"], answer)
        if answer.get("did") != request["do"]:
            raise CandidateFault("crashed", "the candidate's process answered out of turn")
        return answer, received[1], time.monotonic() - started

    def _received(self, deadline: float) -> tuple[Message, bytes]:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:  # heartbeats do not extend a call
            raise ChildEnded(self.child.kill("timeout"), "no answer in time")
        return self.child.receive(remaining_s)

    def _ended(self, doing: str, outcome: Outcome, beat: str) -> CandidateFault:
        what = {"load": "importing the file", "build": "ModelNew(...)"}.get(doing, "forward")
        if outcome.killed == "timeout":
            slow = (
                f"{what} was still running after {self.call_limit_s:.0f} s in the interpreter ({beat})" if beat else ""
            )
            message = f"{what} did not end within {self.call_limit_s:.0f} s; a direct kernel needs less than 1 s"
            return CandidateFault("timeout", message, unsupported=slow)
        if outcome.killed == "memory":
            return CandidateFault("out_of_memory", f"{what} used more memory than the sandbox allows")
        tail = outcome.output.strip()[-300:]
        return CandidateFault("crashed", f"the process ended during {what}: {outcome.describe()}. {tail}".strip())

    def __enter__(self) -> Self:
        """The conversation itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and give the memory back."""
        self.child.__exit__(kind, error, trace)
        self._weights, self._regions = {}, []
        self.shared.close()


def converse(
    zygote: Zygote,
    entry: str,
    arguments: Message,
    *,
    shared: SharedBytes,
    call_limit_s: float = 20.0,
    wall_s: float = 120.0,
    beside: tuple[int, ...] = (),
) -> Conversation:
    """Start a candidate process that serves `entry` on `shared`, which ends with it; `beside`: more descriptors."""
    limits = Limits(wall_s=wall_s, processes=MAX_PROCESSES)
    try:
        given = {**arguments, "shared_bytes": shared.flat.numel()}
        child = zygote.start(entry, given, limits, shared=(shared.descriptor, *beside))
        return Conversation(child, shared, call_limit_s)
    except BaseException:
        shared.close()
        raise


def shared_bytes_for(tensors: Sequence[torch.Tensor]) -> int:
    """Shared memory that holds these, each with its guard."""
    return sum(t.numel() * t.element_size() + ALIGNMENT + GUARD_BYTES for t in tensors)


def _raised(doing: str, answer: Message) -> CandidateFault:
    line = answer.get("line")
    where = f" (line {line})" if isinstance(line, int) else ""
    text = f"{str(answer['fault'])[:100]}: {str(answer.get('message', ''))[:1500]}{where}"
    unsupported = str(answer.get("unsupported") or "")[:500]
    kind: Kind = "compile_error" if doing == "load" and answer["fault"] == "SyntaxError" else "runtime_error"
    kind = _KINDS.get(str(answer["fault"]), kind)
    return CandidateFault(kind, text, unsupported=unsupported, report=_report(answer))


def _state(listed: Any) -> list[tuple[str, tuple[int, ...], str, bool]]:
    try:
        return [(str(n), tuple(int(d) for d in s), str(t), bool(p)) for n, s, t, p in listed]
    except (TypeError, ValueError):
        raise CandidateFault("crashed", "the candidate's process sent a malformed list of parameters") from None


def _report(answer: Message) -> Message:
    report = answer.get("report")
    return report if isinstance(report, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if type(value) is int else 0
