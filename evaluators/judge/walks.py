"""Many calls on one model: what differs from call to call, and what must not have changed at their end.

Which calls these are is evaluators/judge/sequence.py. Limits: one model in one process.
"""

import time
from typing import Any

import torch

from evaluators.errors import BadProblem
from evaluators.evaluation import Check, Status
from evaluators.judge.ablation import require_kernels_matter
from evaluators.judge.calls import Calls
from evaluators.judge.conversation import Answer
from evaluators.judge.expectation import fresh_weights
from evaluators.judge.geometry import Sitting
from evaluators.judge.sequence import OWN_STEPS, SLOW_CALL_S, Step, same_again
from evaluators.judge.verdicts import Wrong, failing, require_same_work

Met = tuple[Sitting, list[Any], Answer]  # a model, the inputs of its first call and the answer


class Walks(Calls):
    """Calls one after another, and the checks that have passed."""

    checks: dict[str, Check]
    _before: Answer

    def passed(self, name: str, detail: str = "", status: Status = "passed") -> None:
        """Record the answer to one question."""
        self.checks[name] = Check(name=name, status=status, detail=detail)

    def walk(self, met: Met, steps: list[Step], *, leaves: bool) -> list[Step]:
        """The calls of `steps` on one model; those left after the first ones where it `leaves` slow calls."""
        sitting, inputs, self._before = met
        history, begun, made = [self._before.outputs], time.monotonic(), 0
        for step in steps:
            if leaves and made == OWN_STEPS and time.monotonic() - begun > OWN_STEPS * SLOW_CALL_S:
                break
            inputs, made = self._take(sitting, inputs, step, history), made + 1
        self._reread(sitting, history)
        self._require_weights_intact(sitting, inputs)
        if any(step.change is same_again for step in steps[:made]):
            self._require_nothing_stored(sitting, inputs)
        return steps[made:]

    def _require_nothing_stored(self, sitting: Sitting, inputs: list[Any]) -> None:
        """The last input once more, its kernels storing nothing: what is right then was kept from the call before."""
        try:
            require_kernels_matter(self._talk, inputs, self._expected(sitting, inputs))
        except Wrong:
            said = "the last input again is answered right although the kernels store nothing: results are kept"
            raise Wrong("repeated_call", "rejected", f"{said} between calls; every call must do its own work") from None

    def _take(self, sitting: Sitting, last: list[Any], step: Step, history: list[list[torch.Tensor]]) -> list[Any]:
        before = sitting.weights
        if step.weights:
            changed = step.reweigh(before, self._random) if step.reweigh else fresh_weights(sitting.model, self._seed())
            self._give(sitting, changed, step.weights)
        inputs = sitting.geometry.draw(self._seed()) if step.change is None else step.change(last, self._random)
        if step.is_aside and (inputs is last or not self._gives_numbers(sitting, inputs)):
            return last
        with failing(step.check):
            answer = self.call(sitting, inputs, f", call {len(history) + 1} on the same model: {step.said}")
            if step.change is same_again:
                require_same_work(self._before.report, answer.report)
        if step.reweigh:  # for this call only; back to weights that were used before, which a cache may take for these
            self._give(sitting, before, "copy")
        self._before = answer
        history.append(answer.outputs)
        self.passed(step.check, step.said)
        return last if step.is_aside else inputs

    def _gives_numbers(self, sitting: Sitting, inputs: list[Any]) -> bool:
        """Whether the reference takes inputs that were never published."""
        try:
            return all(bool(torch.isfinite(e.exact).all()) for e in self._expected(sitting, inputs))
        except BadProblem:
            return False

    def _reread(self, sitting: Sitting, history: list[list[torch.Tensor]]) -> None:
        for call in (0, self._random.randrange(len(history) - 1)):
            for then, now in zip(history[call], self._talk.reread(call), strict=True):
                if not torch.equal(then.reshape(-1).view(torch.uint8), now.reshape(-1).view(torch.uint8)):
                    said = f"the output of call {call + 1} changed during later calls; return fresh memory"
                    raise Wrong("earlier_outputs", "rejected", said)
        self.passed("earlier_outputs", "unchanged after later calls")
