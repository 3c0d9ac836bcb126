"""Facts of a problem at its published shapes: tensors, FLOP, bytes, operator, hyperparameters, warnings.

    python -m evaluators.judge.facts convt3d-68      prints them as JSON

Nothing is measured. FLOP of transposed convolutions are exact (evaluators/judge/transposed.py); those of other
matrix-like operators are torch's own formulas. An operator without a formula (elementwise, reductions) adds none, and
a problem of only such operators has None.

Limits: one forward pass on meta tensors; a reference that needs real values has no FLOP and a warning that says so.
"""

import math
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch

from evaluators.errors import BadProblem
from evaluators.judge.lint import DOES_NOT_RUN, warnings_about
from evaluators.judge.meta_run import OperatorCall, run_on_meta, tensors_in
from evaluators.judge.operators import convolution_hyperparameters, flop_of, operator_name
from evaluators.problem import Problem, ProblemFacts, TensorFact


@lru_cache(maxsize=8)
def facts_of(problem: Problem) -> ProblemFacts:
    """What can be known about a problem without a GPU. Raises BadProblem where it does not load or does not run."""
    run = run_on_meta(problem)
    warnings = warnings_about(problem, run)
    if any(warning.startswith(DOES_NOT_RUN) for warning in warnings):
        raise BadProblem(f"{problem.path or problem.key}: {'; '.join(warnings)}")
    working = [call for call in run.calls if not call.is_view]
    heaviest = max(working, key=_cost, default=None)
    inputs, outputs = _facts_by_position("input", run.inputs), _facts_by_position("output", run.outputs)
    parameters = tuple(_tensor_fact(name, value) for name, value in run.model.state_dict().items())
    flops = [flop for flop in map(flop_of, run.calls) if flop is not None]
    return ProblemFacts(
        inputs=inputs,
        parameters=parameters,
        outputs=outputs,
        init_args=", ".join(f"{name}={value!r}" for name, value in run.init_arguments.items()),
        operator=_operator(heaviest),
        operators=tuple(dict.fromkeys(map(operator_name, working))),
        hyperparameters=convolution_hyperparameters(heaviest) if heaviest else {},
        flop=sum(flops) if flops and not run.failure else None,
        bytes_moved=_bytes((*run.inputs, *run.model.state_dict().values(), *run.outputs)),
        warnings=warnings,
    )


def _operator(heaviest: OperatorCall | None) -> str:
    return operator_name(heaviest) if heaviest else "unknown"


def _cost(call: OperatorCall) -> tuple[int, int]:
    """What orders operators by work: FLOP, then elements written."""
    return flop_of(call) or 0, sum(tensor.numel() for tensor in tensors_in(call.result))


def _facts_by_position(role: str, values: Iterable[Any]) -> tuple[TensorFact, ...]:
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return tuple(_tensor_fact(f"{role}{number}", value) for number, value in enumerate(tensors))


def _tensor_fact(name: str, value: torch.Tensor) -> TensorFact:
    return TensorFact(name=name, shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."))


def _bytes(values: Iterable[Any]) -> int:
    tensors = (value for value in values if isinstance(value, torch.Tensor))
    return sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors)


def main() -> None:
    """Print the facts of the problem named on the command line."""
    from evaluators.errors import AgentError
    from evaluators.problem_catalog import load_problem

    if len(sys.argv) != 2:
        sys.exit("usage: python -m evaluators.judge.facts PROBLEM")
    try:
        print(facts_of(load_problem(sys.argv[1])).model_dump_json(indent=2))
    except AgentError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
