"""The problem linter: what is odd about a reference, found before anything is spent on it.

Each rule is a function from the problem and its run on meta tensors to warnings; `RULES` holds them in printing order.

Limits: warnings, never refusals. Values are looked at only where the reference is small enough to run here in a moment
(`_SMALL_FLOP`, `_SMALL_BYTES`); for larger ones near-zero outputs are not looked for.
"""

import ast
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from evaluators.judge.meta_run import MetaRun, OperatorCall, init_arguments, load_module, one_line, tensors_in
from evaluators.judge.operators import convolution_hyperparameters, flop_of, operator_name, transposed_convolution
from evaluators.problem import Problem

_SMALL_FLOP = 500_000_000  # about 0.1 s on one core
_SMALL_BYTES = 64 << 20
_ABSOLUTE_TOLERANCE = 1e-2  # the customary one; outputs all below it are accepted as zeros by such a checker

DOES_NOT_RUN = "the reference does not run: "  # begins a warning that leaves nothing to optimize

Rule = Callable[[Problem, MetaRun], Iterator[str]]


def warnings_about(problem: Problem, run: MetaRun) -> tuple[str, ...]:
    """Every warning of every rule."""
    return tuple(dict.fromkeys(warning for rule in RULES for warning in rule(problem, run)))


def does_not_run(problem: Problem, run: MetaRun) -> Iterator[str]:
    """The forward pass failed, or meta tensors accept what real ones do not."""
    if run.failure:
        values_needed = "meta" in run.failure.lower() or _runs_where_small(problem, run)
        what = "the reference needs real values, so shapes and FLOP are unknown: " if values_needed else DOES_NOT_RUN
        yield f"{what}{run.failure}"
    for call in run.calls:
        yield from _impossible_output_padding(call)


def ignored_arguments(problem: Problem, run: MetaRun) -> Iterator[str]:
    """Arguments the workload passes and Model.__init__ never reads."""
    constructor = _constructor(problem)
    if constructor is None:
        return
    read = {node.id for node in ast.walk(constructor) if isinstance(node, ast.Name)}
    for name, value in run.init_arguments.items():
        if name not in read and name != (constructor.args.vararg.arg if constructor.args.vararg else ""):
            yield f"the workload passes {name}={value!r}, which Model.__init__ never uses"


def misplaced_arguments(problem: Problem, run: MetaRun) -> Iterator[str]:
    """A variable named like one parameter is passed in the place of another."""
    constructor = _constructor(problem)
    if constructor is None:
        return
    parameters = [argument.arg for argument in constructor.args.args[1:]]
    for parameter, variable in zip(parameters, _returned_names(problem), strict=False):
        if variable != parameter and variable in parameters:
            yield f"get_init_inputs passes `{variable}` in the place of `{parameter}`"


def constants_not_in_force(problem: Problem, run: MetaRun) -> Iterator[str]:
    """The file defines groups = 4, the operator runs with groups = 1."""
    for call in run.calls:
        for name, text in convolution_hyperparameters(call).items():
            effective, stated = ast.literal_eval(text), getattr(run.namespace, name, None)
            if _is_sizes(stated) and _per_axis(stated, effective) != effective:
                yield f"the file defines {name}={stated!r}, but {operator_name(call)} runs with {name}={text}"


def structural_zeros(problem: Problem, run: MetaRun) -> Iterator[str]:
    """Output positions of a transposed convolution that no product reaches."""
    for call in run.calls:
        convolution = transposed_convolution(call)
        if convolution and convolution.zero_fraction > 0.01:
            constant = "0" if convolution_hyperparameters(call)["bias"] == "False" else "the bias"
            share = f"{convolution.zero_fraction:.1%}"
            yield f"{share} of the output of {operator_name(call)} is always {constant}: no tap reaches it"


def random_forward(problem: Problem, run: MetaRun) -> Iterator[str]:
    """Dropout in training mode, noise: two calls on the same input differ."""
    for call in run.calls:
        if torch.Tag.nondeterministic_seeded in call.operator.tags:
            yield f"the forward pass draws random numbers ({call.name}): answers cannot be compared with it"


def changed_state(problem: Problem, run: MetaRun) -> Iterator[str]:
    """The forward pass writes its inputs, parameters or buffers (batch norm in training mode does)."""
    names = {id(tensor): name for name, tensor in (*run.model.named_parameters(), *run.model.named_buffers())}
    names |= {id(value): f"input{number}" for number, value in enumerate(run.inputs) if isinstance(value, torch.Tensor)}
    for call in run.calls:
        schema = call.operator._schema.arguments
        for argument, value in zip(schema, call.arguments, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and id(value) in names:
                yield f"the forward pass changes {names[id(value)]} ({call.name}): call 2 starts from another state"


def uninformative_output(problem: Problem, run: MetaRun) -> Iterator[str]:
    """Outputs that zeros, a constant or anything would match. Runs the reference, where small."""
    if run.failure or not _is_small(run):
        return
    try:
        outputs = _run_for_real(problem)
    except Exception as error:  # noqa: BLE001 - the reference is the user's code and may raise anything
        yield f"the reference does not run on this machine's CPU: {one_line(error, problem.path or problem.key)}"
        return
    blank = [output.numel() > 0 and bool(output.isnan().all()) for output in outputs]
    for number, output in enumerate(outputs):
        values = output.double().flatten()
        if blank[number]:
            what = DOES_NOT_RUN if all(blank) else ""
            yield f"{what}every element of output{number} is NaN, so nothing can be compared: change get_inputs"
        elif values.numel() and values.abs().max() < _ABSOLUTE_TOLERANCE:
            yield f"every element of output{number} is below {_ABSOLUTE_TOLERANCE:g}: an absolute tolerance takes zeros"
        elif values.numel() > 1 and (values.max() - values.min()) == 0:
            yield f"output{number} is the constant {values[0].item():g}: a kernel that only writes it passes"


RULES: tuple[Rule, ...] = (
    does_not_run,
    misplaced_arguments,
    ignored_arguments,
    constants_not_in_force,
    structural_zeros,
    random_forward,
    changed_state,
    uninformative_output,
)


def _impossible_output_padding(call: OperatorCall) -> Iterator[str]:
    if transposed_convolution(call) is None:
        return
    sizes = {name: ast.literal_eval(text) for name, text in convolution_hyperparameters(call).items()}
    for extra, stride, dilation in zip(sizes["output_padding"], sizes["stride"], sizes["dilation"], strict=True):
        if extra >= stride and extra >= dilation:
            yield (
                f"{DOES_NOT_RUN}output_padding={extra} must be smaller than stride={stride} or "
                f"dilation={dilation} (meta tensors accept it, real ones raise)"
            )
            return


def _constructor(problem: Problem) -> ast.FunctionDef | None:
    for node in ast.parse(problem.source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            found = (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")
            return next(found, None)
    return None


def _returned_names(problem: Problem) -> list[str | None]:
    """The elements of the list get_init_inputs returns, where they are plain variables."""
    for node in ast.walk(ast.parse(problem.source)):
        if isinstance(node, ast.FunctionDef) and node.name == "get_init_inputs":
            returned = next((item.value for item in ast.walk(node) if isinstance(item, ast.Return)), None)
            if isinstance(returned, ast.List | ast.Tuple):
                return [item.id if isinstance(item, ast.Name) else None for item in returned.elts]
    return []


def _is_sizes(value: Any) -> bool:
    return isinstance(value, int | tuple | list)


def _per_axis(stated: Any, effective: Any) -> Any:
    if isinstance(effective, tuple) and isinstance(stated, int):
        return (stated,) * len(effective)
    return tuple(stated) if isinstance(stated, list) else stated


def _is_small(run: MetaRun) -> bool:
    tensors = (*tensors_in(run.inputs), *run.model.state_dict().values(), *run.outputs)
    flop = sum(flop_of(call) or 0 for call in run.calls)
    return flop <= _SMALL_FLOP and sum(math.prod(t.shape) * t.element_size() for t in tensors) <= _SMALL_BYTES


def _runs_where_small(problem: Problem, run: MetaRun) -> bool:
    """Whether a reference that failed on meta tensors runs here on real ones; False where it is too large to try."""
    if not _is_small(run):
        return False
    try:
        _run_for_real(problem)
    except Exception:  # noqa: BLE001 - the reference is the user's code and may raise anything
        return False
    return True


def _run_for_real(problem: Problem) -> tuple[torch.Tensor, ...]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        namespace = load_module(problem)
        model = namespace.Model(**init_arguments(namespace, namespace.get_init_inputs()))
        return tensors_in(model(*namespace.get_inputs()))
