"""What a candidate is asked on small geometries, in which order, and what each answer proves.

The problem made small comes first, then geometries that were never published, then the sequence of calls on one model
of evaluators/judge/sequence.py. Works for any process that speaks evaluators.inside.serving.
Limits: small sizes; the published size is evaluators/judge/sampling.py.
"""

import copy
import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch

from evaluators.evaluation import Check
from evaluators.judge.ablation import require_kernels_matter
from evaluators.judge.conversation import Answer, CandidateFault, Conversation
from evaluators.judge.expectation import fresh_weights
from evaluators.judge.full_size import ROUNDING_OF_BOTH
from evaluators.judge.geometry import Geometries, Geometry, Sitting
from evaluators.judge.larger import Larger
from evaluators.judge.own_arithmetic import own_arithmetic_of, require_allowed_actions
from evaluators.judge.sequence import MOST_CONFIGURATIONS, one_value_changed, steps_of
from evaluators.judge.tally import Tally
from evaluators.judge.verdicts import (
    PRECISION_SAID,
    TF32_ADVICE,
    CannotCheck,
    Wrong,
    failing,
    require_in_bounds,
)
from evaluators.judge.walks import Walks
from evaluators.problem import Tolerance

LARGER = "larger_sizes"
TRUNCATED = ", with tl.dot truncating its operands to TF32 as on the card"
_FIRST = ", first of several calls"
LARGER_S = 0.3  # to begin with another axis; one took 0.2 to 0.8 s on problem 68 with a direct kernel
BUDGET_S = 25.0  # for all small geometries together; an honest direct kernel needs about 1.5 s
Light = Callable[[], Geometry | None]


class Examination(Walks):
    """One candidate, one conversation, and what has been established so far. `way`: how its kernels are run."""

    way = "interpreted"

    def __init__(
        self, conversation: Conversation, key: str, tolerance: Tolerance, *, library_ops: tuple[str, ...] = ()
    ) -> None:
        super().__init__(conversation, key, tolerance, library_ops=library_ops)
        self._deadline = time.monotonic() + BUDGET_S
        self.checks: dict[str, Check] = {}
        self.scope: list[str] = []
        self.launches = 0  # of one call with the problem's own hyperparameters
        self._reweighed: set[str] = set()  # parameters whose change was followed, or will be in the sequence
        self.base: Sitting | None = None  # the problem's own hyperparameters
        self.light: Geometry | None = None  # the unpublished geometry that was answered fastest
        self._limits: list[str] = []  # why a geometry cannot be run here; the others still are
        self.direct = False  # the last kernel of a call writes the returned tensor itself

    def run_all(self, source: str, geometries: Geometries, larger: Larger) -> None:
        """Ask everything, one after another; raises Wrong, CandidateFault or CannotCheck."""
        self.begin(source, geometries)
        self.single_calls(geometries.general)
        self.sequence(geometries, lambda: self.light)
        self.require_all_ran()
        self.larger(larger)
        self.conclude()

    def begin(self, source: str, geometries: Geometries) -> None:
        """Import the candidate in its process and make the first call, with which most wrong ones end."""
        self._talk.load(source)
        self.base = self._own_geometry(geometries)

    def beside(self, conversation: Conversation) -> Self:
        """Another process of the same candidate, with what has been learnt of it so far."""
        other = copy.copy(self)
        other._talk, other._random = conversation, random.Random(os.urandom(16))  # noqa: S311 - as in Calls
        other.checks, other.scope, other._limits, other.tally = {}, [], [], Tally()
        return other

    def take(self, other: Self) -> None:
        """What was established in another process."""
        self.checks |= other.checks
        self.scope += other.scope
        self._limits += other._limits
        self.tally.add(other.tally)

    def single_calls(self, general: tuple[Geometry, ...]) -> None:
        """What a call must not depend on, then geometries that were never published."""
        if self.base:
            self._reversed(self.base)
            self._autotune_configurations(self.base)
            self._tf32(self.base)
            self._ablation(self.base)
            for late in (False, True):
                changed = one_value_changed(self.base.weights, self._random, late=late)
                self._reweigh(self.base, changed, "one value of each changed")
        self._general(general)

    def sequence(self, geometries: Geometries, light: Light) -> None:
        """Many calls on one model, of the first geometry that it serves: the smallest, or one already passed.

        Where they are slow, a random part of them is made on the lightest unpublished geometry instead.
        """
        choice = (geometries.smallest, self.base.geometry) if self.base else (self.light,)
        self._sequence(choice, light if geometries.general else None)

    def require_all_ran(self) -> None:
        """Raise CannotCheck where a geometry could not be run here."""
        if self._limits:
            raise CannotCheck(self._limits[0])

    def larger(self, larger: Larger) -> None:
        """Sizes beyond the published ones; last, because a process that took too long over one is gone."""
        floor = ROUNDING_OF_BOTH * self._tolerance.floor  # sums are longer than published
        self._tolerance = self._tolerance.model_copy(update={"floor": floor})
        if larger.whole is not None:
            open_ = self._open_beyond(larger.whole)
            said = open_ or f"right on {larger.whole.description}"
            self.passed(LARGER, f"{self.way}: {said}", "not_checked" if open_ else "passed")
            return
        held: list[str] = []
        left: list[str] = []
        until = time.monotonic() + LARGER_S
        for axis in larger.axes:
            geometry = larger.in_one(axis) if time.monotonic() < until else None
            open_ = "" if geometry is None else self._open_beyond(geometry)
            (left if geometry is None or open_ else held).append(axis + f" ({open_})" * bool(open_))
        said = f"; larger one at a time, the others small, and right: {', '.join(held)}" * bool(held)
        said += f"; not tried larger: {', '.join(left)}" * bool(left)
        self.passed(LARGER, f"{self.way}: {larger.why}{said}", "not_checked")

    def _open_beyond(self, geometry: Geometry) -> str:
        """Why nothing is known of this geometry; empty where the answer is right. Raises Wrong, CandidateFault."""
        refusals = len(self.scope)
        try:
            with failing(LARGER):
                if self._meet(geometry, ""):
                    return ""
        except CannotCheck as limit:
            return f"on this machine: {limit}"
        except CandidateFault as fault:
            if fault.kind not in ("timeout", "out_of_memory"):
                raise
            return f"on this machine: {fault}"
        return "refused by raising" if len(self.scope) > refusals else f"on this machine: {self._limits.pop()}"

    def _own_geometry(self, geometries: Geometries) -> Sitting | None:
        """The problem's own hyperparameters; with the published channels, or aligned, where it refuses others.

        None where they cannot be run here.
        """
        for geometry in geometries.own:
            if met := self._meet(geometry, ""):
                sitting, _, self._last = met
                self._reweighed |= set(sitting.weights)
                self.launches, self.direct = self._last.launched, self._last.report.get("direct") is True
                self.passed("weights", f"{len(sitting.weights)} tensors copied by name and shape")
                self.passed(sitting.geometry.name, sitting.geometry.description)
                return sitting
        if self._limits:
            return None
        refusal, self.scope = self.scope[0], []
        raise CandidateFault("runtime_error", refusal)

    def _meet(self, geometry: Geometry, said: str) -> tuple[Sitting, list[Any], Answer] | None:
        """A model of this geometry and its first call; None where the candidate refuses it or it cannot run here."""
        inputs = geometry.draw(self._seed())
        try:
            sitting = self.sit(geometry)
            met = sitting, inputs, self.call(sitting, inputs, said)
            self._require_weights_intact(sitting, inputs)
            return met
        except CandidateFault as fault:
            if fault.unsupported:
                if fault.kind == "timeout":  # the process is gone
                    raise CannotCheck(fault.unsupported) from None
                self._limits.append(fault.unsupported)
                return None
            where = f"{geometry.name} geometry ({geometry.description})"
            require_in_bounds(fault.report, where)
            require_allowed_actions(fault.report, where)
            if fault.kind != "runtime_error":
                raise fault.at(where) from None
            self.scope.append(f"{where}: {fault}"[:600])
            return None

    def _reversed(self, base: Sitting) -> None:
        """Programs of a grid may run in any order; the reverse is the one most unlike the usual."""
        with failing("races"):
            self.call(base, base.geometry.draw(self._seed()), ", programs run in reverse order", {"reversed": True})
        why = "the interpreter runs programs one after another; both orders gave the right result"
        self.passed("races", why, "not_checked")

    def _autotune_configurations(self, base: Sitting) -> None:
        """Every distinct set of meta-parameters must compute the same result; timing picks one of them on the card."""
        total, done = self._last.report.get("configs", 1), 1
        if type(total) is not int or total <= 1:
            return
        begun = time.monotonic()
        for index in self._random.sample(range(1, total), min(total - 1, MOST_CONFIGURATIONS)):
            if time.monotonic() - begun > BUDGET_S / 5:
                break
            said = f", autotune configuration {index + 1} of {total}"
            self.call(base, base.geometry.draw(self._seed()), said, {"config": index})
            done += 1
        detail = f"{done} of {total} distinct configurations give the right result"
        self.passed("autotune_configurations", detail, "passed" if done == total else "not_checked")

    def _tf32(self, base: Sitting) -> None:
        if not self._last.report.get("tf32_dots"):
            return
        try:
            self.call(base, base.geometry.draw(self._seed()), TRUNCATED, {"tf32": True})
        except Wrong as wrong:
            raise Wrong("tf32_rounding", wrong.failure.kind, wrong.failure.message + TF32_ADVICE) from None
        self.passed("tf32_rounding", "products of truncated TF32 operands stay within the bound")

    def _ablation(self, base: Sitting) -> None:
        inputs = base.geometry.draw(self._seed())
        if require_kernels_matter(self._talk, inputs, self._expected(base, inputs)):
            self.passed("own_results", "without its kernels' stores forward does not return the result")

    def _reweigh(self, sitting: Sitting, weights: dict[str, torch.Tensor], said: str) -> None:
        self._give(sitting, weights, "copy")
        with failing("changed_weights"):
            self.call(sitting, sitting.geometry.draw(self._seed()), f", called again with other weights: {said}")

    def _general(self, geometries: tuple[Geometry, ...]) -> None:
        held, quickest_s, limits, refusals = 0, float("inf"), len(self._limits), len(self.scope)
        for done, geometry in enumerate(geometries):
            if time.monotonic() > self._deadline:
                left = len(geometries) - done
                self.passed("general", f"{left} geometries left out after {BUDGET_S:.0f} s", "not_checked")
                return
            begun = time.monotonic()
            met = self._meet(geometry, "")
            if met is None:
                continue
            held += 1
            if extra := set(met[0].weights) - self._reweighed:  # what the problem's own geometry lacks, a bias
                self._reweighed |= extra
                self._reweigh(met[0], fresh_weights(met[0].model, self._seed()), f"{', '.join(sorted(extra))} too")
            if time.monotonic() - begun < quickest_s:
                quickest_s, self.light = time.monotonic() - begun, geometry
        if geometries:
            refused, left = len(self.scope) - refusals, len(self._limits) - limits
            said = f", {refused} refused by raising" * bool(refused) + f", {left} cannot be run here" * bool(left)
            self.passed("general", f"{held} unpublished geometries right{said}", "not_checked" if left else "passed")

    def _sequence(self, choice: Iterable[Geometry | None], light: Light | None) -> None:
        met = next((met for geometry in choice if geometry and (met := self._meet(geometry, _FIRST))), None)
        if met is None and self._limits:
            return
        if met is None:
            raise CandidateFault("runtime_error", self.scope[-1])
        left = self.walk(met, steps_of(self._tolerance, self._random, met[1]), leaves=light is not None)
        if light and left and (elsewhere := self._meet(light() or met[0].geometry, _FIRST)):
            met = elsewhere
            self.walk(met, left, leaves=False)
        if met[0].weights:
            self._second_model(met[0].geometry)

    def _second_model(self, geometry: Geometry) -> None:
        """One more of the same class: what is kept for all models must not be taken for its own."""
        with failing("second_model"):
            self.call(self.sit(geometry), geometry.draw(self._seed()), ", a second model, with weights of its own")
        self.passed("second_model", "another model in the same process computes with its own weights")

    def conclude(self) -> None:
        self.passed("precision_class", f"{self.tally.precision}: {PRECISION_SAID[self.tally.precision]}")
        self.passed("contract", "plain contiguous tensors of the reference's shape and dtype in fresh memory")
        self.passed("inputs_unchanged")
        self.passed("parameters_unchanged")
        self.passed("bounds", "every active lane of every load, store and atomic lay inside a tensor of its launch")
        self.checks["own_arithmetic"] = own_arithmetic_of(self._last.report)
