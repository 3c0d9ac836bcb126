"""What a candidate is asked on small geometries, in which order, and what each answer proves.

The problem made small comes first, then geometries that were never published, then the sequence of calls on one model
of evaluators/judge/sequence.py. Works for any process that speaks evaluators.inside.serving.
Limits: small sizes; the published size is evaluators/judge/sampling.py.
"""

import time
from typing import Any

import torch

from evaluators.evaluation import Check, Status
from evaluators.judge.ablation import require_kernels_matter
from evaluators.judge.calls import Calls
from evaluators.judge.conversation import Answer, CandidateFault, Conversation
from evaluators.judge.expectation import fresh_weights
from evaluators.judge.full_size import ROUNDING_OF_BOTH
from evaluators.judge.geometry import Geometries, Geometry, Sitting
from evaluators.judge.larger import Larger
from evaluators.judge.own_arithmetic import own_arithmetic_of, require_allowed_actions
from evaluators.judge.sequence import (
    MOST_CONFIGURATIONS,
    OWN_STEPS,
    SLOW_CALL_S,
    Step,
    one_value_changed,
    same_again,
    steps_of,
)
from evaluators.judge.verdicts import (
    PRECISION_SAID,
    TF32_ADVICE,
    CannotCheck,
    Wrong,
    failing,
    require_in_bounds,
    require_same_work,
)
from evaluators.problem import Tolerance

LARGER = "larger_sizes"
TRUNCATED = ", with tl.dot truncating its operands to TF32 as on the card"
_FIRST = ", first of several calls"
LARGER_S = 0.3  # to begin with another axis; one took 0.2 to 0.8 s on problem 68 with a direct kernel
BUDGET_S = 25.0  # for all small geometries together; an honest direct kernel needs about 1.5 s


class Examination(Calls):
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
        self._light: Geometry | None = None  # the unpublished geometry that was answered fastest
        self._limits: list[str] = []  # why a geometry cannot be run here; the others still are
        self.direct = False  # the last kernel of a call writes the returned tensor itself

    def run_all(self, source: str, geometries: Geometries, larger: Larger) -> None:
        """Import the candidate in its process and ask everything."""
        self._talk.load(source)
        self.run(geometries, larger)

    def run(self, geometries: Geometries, larger: Larger) -> None:
        """Ask everything; raises Wrong, CandidateFault or CannotCheck."""
        base = self._own_geometry(geometries)
        if base:
            self._reversed(base)
            self._autotune_configurations(base)
            self._tf32(base)
            self._ablation(base)
            for late in (False, True):
                changed = one_value_changed(base.weights, self._random, late=late)
                self._reweigh(base, changed, "one value of each changed")
        self._general(geometries.general)
        self._sequence(*((geometries.smallest, base.geometry) if base else (self._light,)))
        if self._limits:
            raise CannotCheck(self._limits[0])
        self.larger(larger)
        self._conclude()

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

    def passed(self, name: str, detail: str = "", status: Status = "passed") -> None:
        """Record the answer to one question."""
        self.checks[name] = Check(name=name, status=status, detail=detail)

    def _own_geometry(self, geometries: Geometries) -> Sitting | None:
        """The problem's own hyperparameters; with the published channels where the candidate refuses fewer.

        None where they cannot be run here.
        """
        for geometry in (geometries.reduced, geometries.unshrunk):
            met = self._meet(geometry, "") if geometry else None
            if met:
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
            self._require_weights_intact(sitting)
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
        self._require_weights_intact(sitting)
        if any(step.change is same_again for step in steps):
            self._require_nothing_stored(sitting, inputs)

    def _require_nothing_stored(self, sitting: Sitting, inputs: list[Any]) -> None:
        """The last input once more, its kernels storing nothing: what is right then was kept from the call before."""
        try:
            require_kernels_matter(self._talk, inputs, self._expected(sitting, inputs))
        except Wrong:
            said = "the last input again is answered right although the kernels store nothing: results are kept"
            raise Wrong("repeated_call", "rejected", f"{said} between calls; every call must do its own work") from None

    def _take(self, sitting: Sitting, inputs: list[Any], step: Step, history: list[list[torch.Tensor]]) -> list[Any]:
        before = sitting.weights
        if step.weights:
            changed = step.reweigh(before, self._random) if step.reweigh else fresh_weights(sitting.model, self._seed())
            self._give(sitting, changed, step.weights)
        inputs = sitting.geometry.draw(self._seed()) if step.change is None else step.change(inputs, self._random)
        with failing(step.check):
            answer = self.call(sitting, inputs, f", call {len(history) + 1} on the same model: {step.said}")
            if step.change is same_again:
                require_same_work(self._before.report, answer.report)
        if step.reweigh:  # for this call only; back to weights that were used before, which a cache may take for these
            self._give(sitting, before, "copy")
        self._before = answer
        history.append(answer.outputs)
        self.passed(step.check, step.said)
        return inputs

    def _reread(self, sitting: Sitting, history: list[list[torch.Tensor]]) -> None:
        for call in (0, self._random.randrange(len(history) - 1)):
            for then, now in zip(history[call], self._talk.reread(call), strict=True):
                if not torch.equal(then.reshape(-1).view(torch.uint8), now.reshape(-1).view(torch.uint8)):
                    said = f"the output of call {call + 1} changed during later calls; return fresh memory"
                    raise Wrong("earlier_outputs", "rejected", said)
        self.passed("earlier_outputs", "unchanged after later calls")

    def _conclude(self) -> None:
        self.passed("precision_class", f"{self.tally.precision}: {PRECISION_SAID[self.tally.precision]}")
        self.passed("contract", "plain contiguous tensors of the reference's shape and dtype in fresh memory")
        self.passed("inputs_unchanged")
        self.passed("parameters_unchanged")
        self.passed("bounds", "every active lane of every load, store and atomic lay inside a tensor of its launch")
        self.checks["own_arithmetic"] = own_arithmetic_of(self._last.report)
