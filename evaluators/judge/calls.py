"""How a candidate is called and what every answer is held to: contract, operators, bounds, values, parameters.

Limits: single calls; which are made in which order, and what that proves, is examination.py.
"""

import os
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from evaluators.judge.compare import Expected, compare
from evaluators.judge.conversation import Answer, Conversation
from evaluators.judge.diagnosis import hint_for
from evaluators.judge.expectation import buffers_changed, expect, fresh_weights, in_tf32, run, with_weights
from evaluators.judge.geometry import Geometry, Sitting
from evaluators.judge.own_arithmetic import require_lawful
from evaluators.judge.tally import Tally
from evaluators.judge.verdicts import Wrong, require_same_parameters, wrong_values
from evaluators.problem import Tolerance

WEIGHTS_OF_INIT = (
    "this is the result of the weights that __init__ made, not of those loaded since: rearrange weights in forward, "
    "when `weight._version` or `data_ptr()` has changed"
)


class Calls:
    """One conversation with a candidate. `options` go with every call."""

    options: Mapping[str, Any] = {}

    def __init__(
        self, conversation: Conversation, key: str, tolerance: Tolerance, *, library_ops: tuple[str, ...] = ()
    ) -> None:
        self._talk = conversation
        self._key = key
        self._tolerance = tolerance
        self.library_ops = library_ops
        self._random = random.Random(os.urandom(16))  # noqa: S311 - seeded from the system, unknown to the candidate
        self.tally = Tally()
        self.tf32: bool | None = None  # the reference computes in TF32 at its settings on a GPU; known after one call

    def sit(self, geometry: Geometry) -> Sitting:
        """Build the model of a geometry on both sides with secret weights."""
        model = geometry.build(self._seed())
        weights = fresh_weights(model, self._seed())
        require_same_parameters(self._talk.build(geometry.init_literal), weights)
        self._talk.set_weights(weights)
        return Sitting(geometry, with_weights(model, weights), weights)

    def call(self, sitting: Sitting, inputs: list[Any], said: str, options: Mapping[str, Any] | None = None) -> Answer:
        """One call, held to everything a call must be."""
        expected = self._expected(sitting, inputs)
        answer = self._talk.call(inputs, [e.own for e in expected], options={**self.options, **(options or {})})
        where = f"{sitting.geometry.name} geometry ({sitting.geometry.description}){said}"
        require_lawful(answer, [e.own for e in expected], self.library_ops, where)
        for index, (got, want) in enumerate(zip(answer.outputs, expected, strict=True)):
            self._require_exact(got, want, where, (sitting, inputs, index))
        return answer

    def _expected(self, sitting: Sitting, inputs: list[Any]) -> list[Expected]:
        expected = expect(sitting.model, inputs, self._key, self._tolerance)
        if self.tf32 is None:  # of the problem itself; geometries that were never published are held to it too
            self.tf32 = expected[0].tf32
        return [replace(e, tf32=self.tf32) for e in expected]

    def _require_exact(
        self, got: torch.Tensor, want: Expected, where: str, case: tuple[Sitting, list[Any], int]
    ) -> None:
        sitting, inputs, index = case
        result = compare(got, want)
        if not result.passed and got.is_floating_point():  # sums that cancel keep the rounding of their terms
            coarse = in_tf32(sitting.model, inputs, self._key)[index]
            result = compare(got, replace(want, coarse=coarse))
        self.tally.note(result, sitting.geometry.name)
        if not result.passed:
            hint = hint_for(sitting.model, inputs, got, want.exact) or self._hint_of_weights(got, want, case)
            raise Wrong(sitting.geometry.name, "incorrect_numerical", wrong_values(where, result, hint))

    def _hint_of_weights(self, got: torch.Tensor, want: Expected, case: tuple[Sitting, list[Any], int]) -> str:
        """Whether this is what a module gives that rearranges its weights when built: all of them, or matrices."""
        sitting, inputs, index = case
        first = sitting.geometry.build(0).state_dict()
        for kept in (0, 1):
            mixed = {name: first[name] if value.dim() > kept else value for name, value in sitting.weights.items()}
            then = run(with_weights(sitting.model, mixed), inputs, self._key)[index]
            if mixed and compare(got, replace(want, exact=then.double(), own=then)).passed:
                return WEIGHTS_OF_INIT
        return ""

    def _require_weights_intact(self, sitting: Sitting, inputs: list[Any]) -> None:
        """What the reference itself keeps, as running statistics, a candidate may keep too."""
        changed = self._talk.weights_changed(sitting.weights)
        if changed and (wrong := changed - buffers_changed(sitting.model, inputs, self._key)):
            said = f"forward changes {', '.join(sorted(wrong)[:5])}; parameters are read-only"
            raise Wrong("parameters_unchanged", "rejected", said)

    def _give(self, sitting: Sitting, weights: dict[str, torch.Tensor], how: str) -> None:
        sitting.weights = weights
        sitting.model = with_weights(sitting.model, weights)
        self._talk.set_weights(weights, how=how)

    def _seed(self) -> int:
        return self._random.getrandbits(62)
