"""What a candidate is asked on small geometries, in which order, and what each answer proves.

The problem made small comes first, then geometries that were never published, then the sequence of calls on one model
of evaluators/judge/sequence.py. Works for any process that speaks evaluators.inside.serving.
Limits: small sizes; the published size is evaluators/judge/sampling.py.
"""

import os
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from evaluators.evaluation import Check, NumericError, Status
from evaluators.judge.ablation import require_kernels_matter
from evaluators.judge.compare import Comparison, Expected, Precision, compare, numeric_error_of, worse_of
from evaluators.judge.conversation import Answer, CandidateFault, Conversation
from evaluators.judge.diagnosis import hint_for
from evaluators.judge.expectation import expect, fresh_weights, with_weights
from evaluators.judge.geometry import Geometries, Geometry, Sitting
from evaluators.judge.own_arithmetic import own_arithmetic_of, require_allowed_actions, require_own_arithmetic
from evaluators.judge.sequence import MOST_CONFIGURATIONS, OWN_STEPS, SLOW_CALL_S, Step, same_again, steps_of
from evaluators.judge.verdicts import (
    PRECISION_SAID,
    TF32_ADVICE,
    CannotCheck,
    Wrong,
    require_contract,
    require_in_bounds,
    require_kernels,
    require_same_parameters,
    require_same_work,
    wrong_values,
)
from evaluators.problem import Tolerance

TRUNCATED = ", with tl.dot truncating its operands to TF32 as on the card"
_FIRST = ", first of several calls"
BUDGET_S = 25.0  # for all small geometries together; an honest direct kernel needs about 1.5 s


class Examination:
    """One candidate, one conversation, and what has been established so far. `options` go with every call."""

    options: Mapping[str, Any] = {}

    def __init__(
        self, conversation: Conversation, key: str, tolerance: Tolerance, *, library_ops: tuple[str, ...] = ()
    ) -> None:
        self._talk = conversation
        self._key = key
        self._tolerance = tolerance
        self._library_ops = library_ops
        self._random = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
        self._deadline = time.monotonic() + BUDGET_S
        self.checks: dict[str, Check] = {}
        self.scope: list[str] = []
        self.worst: NumericError | None = None
        self.elements = 0
        self.launches = 0  # of one call with the problem's own hyperparameters
        self.tf32: bool | None = None  # the reference computes in TF32 at its settings on a GPU; known after one call
        self.precision: Precision = "fp32"  # the class that held so far
        self._light: Geometry | None = None  # the unpublished geometry that was answered fastest
        self._limits: list[str] = []  # why a geometry cannot be run here; the others still are
        self.direct = False  # the last kernel of a call writes the returned tensor itself

    def run_all(self, source: str, geometries: Geometries) -> None:
        """Import the candidate in its process and ask everything."""
        self._talk.load(source)
        self.run(geometries)

    def run(self, geometries: Geometries) -> None:
        """Ask everything; raises Wrong, CandidateFault or CannotCheck."""
        base = self._own_geometry(geometries)
        if base:
            self._reversed(base)
            self._autotune_configurations(base)
            self._tf32(base)
            self._ablation(base)
        self._general(geometries.general)
        self._sequence(*((geometries.smallest, base.geometry) if base else (self._light,)))
        if self._limits:
            raise CannotCheck(self._limits[0])
        self._conclude()

    def passed(self, name: str, detail: str = "", status: Status = "passed") -> None:
        """Record the answer to one question."""
        self.checks[name] = Check(name=name, status=status, detail=detail)

    def sit(self, geometry: Geometry) -> Sitting:
        """Build the model of a geometry on both sides with secret weights."""
        model = geometry.build(self._seed())
        weights = fresh_weights(model, self._seed())
        require_same_parameters(self._talk.build(geometry.init_literal), weights)
        self._talk.set_weights(weights)
        return Sitting(geometry, with_weights(model, weights), weights)

    def call(self, sitting: Sitting, inputs: list[Any], said: str, options: Mapping[str, Any] | None = None) -> Answer:
        """One call, held to everything a call must be."""
        expected = expect(sitting.model, inputs, self._key, self._tolerance)
        if self.tf32 is None:  # of the problem itself; geometries that were never published are held to it too
            self.tf32 = expected[0].tf32
        expected = [replace(e, tf32=self.tf32) for e in expected]
        answer = self._talk.call(inputs, [e.own for e in expected], options={**self.options, **(options or {})})
        where = f"{sitting.geometry.name} geometry ({sitting.geometry.description}){said}"
        self.require_lawful(answer, [e.own for e in expected], where)
        for got, want in zip(answer.outputs, expected, strict=True):
            self._require_exact(got, want, where, (sitting, inputs))
        return answer

    def require_lawful(self, answer: Answer, outputs: list[torch.Tensor], where: str) -> None:
        """Bounds, contract, launches and inputs of one call; its values are compared elsewhere. Raises Wrong."""
        require_in_bounds(answer.report, where)
        require_contract(answer.described, outputs, where)
        require_kernels(answer, where)
        require_own_arithmetic(answer.report, self._library_ops, where)
        if not answer.inputs_intact:
            raise Wrong("inputs_unchanged", "rejected", f"{where}: forward changed its input; inputs are read-only")

    def _require_exact(self, got: torch.Tensor, want: Expected, where: str, case: tuple[Sitting, list[Any]]) -> None:
        result = compare(got, want)
        self._note(result, case[0].geometry.name)
        if not result.passed:
            hint = hint_for(case[0].model, case[1], got, want.exact)
            raise Wrong(case[0].geometry.name, "incorrect_numerical", wrong_values(where, result, hint))

    def _note(self, c: Comparison, geometry: str) -> None:
        self.elements += c.elements
        self.precision = "tf32" if c.precision == "tf32" else self.precision
        if self.worst:
            self.worst = self.worst.model_copy(update={"precision": self.precision})
        self.worst = worse_of(self.worst, numeric_error_of(c, geometry, self.elements, self.precision))

    def _own_geometry(self, geometries: Geometries) -> Sitting | None:
        """The problem's own hyperparameters; with the published channels where the candidate refuses fewer.

        None where they cannot be run here.
        """
        for geometry in (geometries.reduced, geometries.unshrunk):
            met = self._meet(geometry, "") if geometry else None
            if met:
                sitting, _, self._last = met
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
            return sitting, inputs, self.call(sitting, inputs, said)
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
        try:
            self.call(base, base.geometry.draw(self._seed()), ", programs run in reverse order", {"reversed": True})
        except Wrong as wrong:
            raise Wrong("races", wrong.failure.kind, wrong.failure.message) from None
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
        if require_kernels_matter(self._talk, inputs, expect(base.model, inputs, self._key, self._tolerance)):
            self.passed("own_results", "without its kernels' stores forward does not return the result")

    def _general(self, geometries: tuple[Geometry, ...]) -> None:
        held, quickest_s, limits, refusals = 0, float("inf"), len(self._limits), len(self.scope)
        for done, geometry in enumerate(geometries):
            if time.monotonic() > self._deadline:
                left = len(geometries) - done
                self.passed("general", f"{left} geometries left out after {BUDGET_S:.0f} s", "not_checked")
                return
            begun = time.monotonic()
            if self._meet(geometry, "") is None:
                continue
            held += 1
            if time.monotonic() - begun < quickest_s:
                quickest_s, self._light = time.monotonic() - begun, geometry
        if geometries:
            refused, left = len(self.scope) - refusals, len(self._limits) - limits
            said = f", {refused} refused by raising" * bool(refused) + f", {left} cannot be run here" * bool(left)
            self.passed("general", f"{held} unpublished geometries right{said}", "not_checked" if left else "passed")

    def _sequence(self, *choice: Geometry | None) -> None:
        """Many calls on one model, of the first geometry that it serves: the smallest, or one already passed.

        Where a call is slow, a random part of them is made on the lightest unpublished geometry instead.
        """
        begun = time.monotonic()
        met = next((met for geometry in choice if geometry and (met := self._meet(geometry, _FIRST))), None)
        if met is None and self._limits:
            return
        if met is None:
            raise CandidateFault("runtime_error", self.scope[-1])
        steps = steps_of(self._tolerance, self._random)
        light = self._light if time.monotonic() - begun > SLOW_CALL_S else None
        self._walk(met, steps[:OWN_STEPS] if light else steps)
        if light and (elsewhere := self._meet(light, _FIRST)):
            self._walk(elsewhere, steps[OWN_STEPS:])

    def _walk(self, met: tuple[Sitting, list[Any], Answer], steps: list[Step]) -> None:
        """The calls of `steps` on one model, then what must not have changed meanwhile."""
        sitting, inputs, self._before = met
        history = [self._before.outputs]
        for step in steps:
            inputs = self._take(sitting, inputs, step, history)
        self._reread(sitting, history)
        if not self._talk.weights_intact(sitting.weights):
            raise Wrong("parameters_unchanged", "rejected", "forward changes parameters; they are read-only")

    def _take(self, sitting: Sitting, inputs: list[Any], step: Step, history: list[list[torch.Tensor]]) -> list[Any]:
        before = sitting.weights
        if step.weights:
            changed = step.reweigh(before, self._random) if step.reweigh else fresh_weights(sitting.model, self._seed())
            self._give(sitting, changed, step.weights)
        inputs = sitting.geometry.draw(self._seed()) if step.change is None else step.change(inputs, self._random)
        try:
            answer = self.call(sitting, inputs, f", call {len(history) + 1} on the same model: {step.said}")
            if step.change is same_again:
                require_same_work(self._before.report, answer.report)
        except Wrong as wrong:
            raise Wrong(step.check, wrong.failure.kind, wrong.failure.message) from None
        if step.reweigh:  # for this call only; back to weights that were used before, which a cache may take for these
            self._give(sitting, before, "copy")
        self._before = answer
        history.append(answer.outputs)
        self.passed(step.check, step.said)
        return inputs

    def _give(self, sitting: Sitting, weights: dict[str, torch.Tensor], how: str) -> None:
        sitting.weights = weights
        sitting.model = with_weights(sitting.model, weights)
        self._talk.set_weights(weights, how=how)

    def _reread(self, sitting: Sitting, history: list[list[torch.Tensor]]) -> None:
        for call in (0, self._random.randrange(len(history) - 1)):
            for then, now in zip(history[call], self._talk.reread(call), strict=True):
                if not torch.equal(then.reshape(-1).view(torch.uint8), now.reshape(-1).view(torch.uint8)):
                    said = f"the output of call {call + 1} changed during later calls; return fresh memory"
                    raise Wrong("earlier_outputs", "rejected", said)
        self.passed("earlier_outputs", "unchanged after later calls")

    def _conclude(self) -> None:
        self.passed("precision_class", f"{self.precision}: {PRECISION_SAID[self.precision]}")
        self.passed("contract", "plain contiguous tensors of the reference's shape and dtype in fresh memory")
        self.passed("inputs_unchanged")
        self.passed("parameters_unchanged")
        self.passed("bounds", "every active lane of every load, store and atomic lay inside a tensor of its launch")
        self.checks["own_arithmetic"] = own_arithmetic_of(self._last.report)

    def _seed(self) -> int:
        return self._random.getrandbits(62)
