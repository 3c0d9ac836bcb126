"""What one candidate has open on the device: its process at the published size, and others for small geometries.

Limits: one evaluation; what is asked is examination.py and sampling.py. Memory is sized once, at the start.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import torch

from evaluators.candidate import Candidate
from evaluators.errors import MachineError
from evaluators.judge.batch import Fired, fire, inputs_intact, stage
from evaluators.judge.conversation import CandidateFault, Conversation, converse, shared_bytes_for
from evaluators.judge.device.card import Card
from evaluators.judge.device.published import Published, published_of
from evaluators.judge.reference import Reference
from evaluators.judge.shared_bytes import SharedBytes, on_device
from evaluators.judge.verdicts import Wrong, require_contract, require_same_parameters
from evaluators.judge.zygotes import Zygotes
from sandbox.device_memory import DriverError

ENTRY = "evaluators.inside.on_device:main"
CALL_LIMIT_S = 60.0  # one call or batch, compilation and autotuning of a first call included
WALL_LIMIT_S = 300.0
MOST_SETS = 16
_SETS_BYTES = 8 << 30  # input sets for batches of short kernels
_SETS_SHARE = 0.2  # of the free memory: the judge's copies and the candidate's own tensors need the rest


class Bench:
    """The device, the problem at its published size, and the processes of one evaluation."""

    def __init__(self, card: Card, zygotes: Zygotes, reference: Reference) -> None:
        self.card = card
        self._zygotes = zygotes
        self._reference = reference
        self._open = ExitStack()
        self._seats: dict[str, Seat] = {}

    @property
    def published(self) -> Published:
        """The published workload."""
        return published_of(self._reference)

    @property
    def reference_source(self) -> str:
        """The text of the reference; for trusted processes only."""
        return self._reference.problem.source

    @cached_property
    def most_sets(self) -> int:
        """Sets of inputs and outputs that the device holds beside everything else."""
        room = min(_SETS_BYTES, int(_SETS_SHARE * self.card.free_bytes))
        return max(1, min(MOST_SETS, room // max(1, self.published.set_bytes)))

    def seat(self, candidate: Candidate) -> "Seat":
        """The candidate's process at the published size; started and loaded on first use."""
        if candidate.id not in self._seats:
            talk = self._open.enter_context(self.process(candidate, self._published_bytes))
            self._seats[candidate.id] = Seat(talk, self.published, self.card)
            talk.load(candidate.source)
        return self._seats[candidate.id]

    def code_of(self, candidate: Candidate) -> bytes:
        """What its process at the published size has compiled, packed by that process; empty where there is none."""
        if candidate.id not in self._seats:
            return b""
        try:
            return self._seats[candidate.id].talk.compiled_code()
        except CandidateFault:
            return b""

    @contextmanager
    def process(self, candidate: Candidate, shared_bytes: int) -> Iterator[Conversation]:
        """A process of its own for the candidate, ended with the block; nothing is loaded yet."""
        arguments = {"library_ops": list(self._reference.problem.library_ops)}
        with ExitStack() as open_:
            beside = self._builder(candidate, open_) if candidate.language == "cuda" else ()
            yield open_.enter_context(self._conversation(arguments, shared_bytes, beside))

    def _builder(self, candidate: Candidate, open_: ExitStack) -> tuple[int, ...]:
        """The child's end of a service that builds its extensions for this card."""
        from evaluators.cuda.on_card import builder_for
        from evaluators.cuda.service import BuildService

        service = open_.enter_context(BuildService(candidate.source, build=builder_for(self.card.capability)))
        return (service.endpoint,)

    @contextmanager
    def trusted(self, source: str) -> Iterator["Seat"]:
        """A process for code that is no candidate's, ended with the block."""
        with self._conversation({"is_trusted": True}, self._published_bytes) as talk:
            talk.load(source)
            yield Seat(talk, self.published, self.card)

    @property
    def _published_bytes(self) -> int:
        weights = shared_bytes_for(list(self.published.weights.values()))
        return weights + self.most_sets * (self.published.set_bytes + (1 << 16))

    def _conversation(self, arguments: dict[str, Any], shared_bytes: int, beside: tuple[int, ...] = ()) -> Conversation:
        return converse(
            self._zygotes.device,
            ENTRY,
            arguments,
            shared=self._share(shared_bytes),
            call_limit_s=CALL_LIMIT_S,
            wall_s=WALL_LIMIT_S,
            beside=beside,
        )

    def _share(self, size_bytes: int) -> SharedBytes:
        torch.cuda.empty_cache()  # what torch holds back here is of use to the candidate
        try:
            return on_device(size_bytes)
        except DriverError as error:
            free, total = torch.cuda.mem_get_info()
            users = f"; also on it: {', '.join(self.card.others())}" if self.card.others() else ""
            raise MachineError(
                f"{self.card.name}: {size_bytes / 2**30:.1f} GiB of device memory are needed for one set of inputs and "
                f"outputs, {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free{users} ({error})"
            ) from None

    def __enter__(self) -> Self:
        """The bench itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes and give their memory back."""
        self._seats = {}
        self._open.close()


class Seat:
    """One process seated at the published workload."""

    def __init__(self, talk: Conversation, published: Published, card: Card) -> None:
        self.talk = talk
        self._published = published
        self._card = card

    def sit(self, *, is_null: bool = False) -> None:
        """Build the model at its published size with the judge's weights. Raises Wrong, CandidateFault."""
        state = self.talk.build(self._published.init_literal)
        if not is_null:
            require_same_parameters(state, self._published.weights)
            self.talk.set_weights(self._published.weights)

    def run(self, sets: Sequence[Sequence[Any]], *, options: dict[str, Any]) -> Fired:
        """One batch, held to the contract of outputs and inputs. Raises Wrong, CandidateFault."""
        staged = stage(self.talk, sets, self._published.outputs)
        fired = fire(self.talk, staged, torch.cuda.synchronize, options=options)
        for described in fired.described:
            require_contract(described, self._published.outputs, self._published.where)
        if not inputs_intact(staged):
            said = f"{self._published.where}: forward changed its input; inputs are read-only"
            raise Wrong("inputs_unchanged", "rejected", said)
        return fired

    def timed(self, sets: Sequence[Sequence[Any]]) -> Fired:
        """One batch whose time counts."""
        return self.run(sets, options={"clock": True, "flush_mb": self._card.flush_mb})
