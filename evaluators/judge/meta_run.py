"""Run a reference on meta tensors and record every operator it executes: full shapes, no memory, no arithmetic.

Limits: a reference whose control flow depends on values cannot run here; `MetaRun.failure` then says so. The module is
the user's own and is executed in this process: the judge trusts references, never candidates.
"""

import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evaluators.errors import BadProblem
from evaluators.problem import Problem


@dataclass(frozen=True)
class OperatorCall:
    """One executed ATen operator with its arguments and result (meta tensors)."""

    operator: torch._ops.OpOverload
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """ATen's name without the overload: `convolution`, `native_dropout`."""
        return str(self.operator.overloadpacket.__name__)

    @property
    def is_view(self) -> bool:
        """Whether the result is its argument seen otherwise: no work."""
        returns = self.operator._schema.returns
        aliased = any(item.alias_info is not None and not item.alias_info.is_write for item in returns)
        return aliased or self.name.startswith("_unsafe_")


@dataclass(frozen=True)
class MetaRun:
    """A reference built and run once on meta tensors. `failure` is why the forward pass did not run, or empty."""

    namespace: ModuleType
    model: torch.nn.Module
    init_arguments: dict[str, Any]
    inputs: tuple[Any, ...]
    outputs: tuple[torch.Tensor, ...]
    calls: tuple[OperatorCall, ...]
    failure: str = ""


class Recorder(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]  # torch's class is untyped
    """The operators executed under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[OperatorCall] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; True imports torch._dynamo on the first call (1.5 s, 800 modules)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append(OperatorCall(func, tuple(args), kwargs or {}, result))
        return result


def run_on_meta(problem: Problem) -> MetaRun:
    """Load, build and run the reference. Raises BadProblem where it does not load or cannot be built."""
    where = problem.path or problem.key
    with torch.device("meta"), torch.no_grad():
        namespace = load_module(problem)
        init = _called(namespace, "get_init_inputs", where)
        model = _built(namespace, init, where)
        given = _called(namespace, "get_inputs", where)
        if isinstance(given, torch.Tensor):  # forward(*given) would take it apart
            raise BadProblem(f"{where}: get_inputs() returns a tensor; return the list of forward's arguments")
        inputs = tuple(_to_meta(value) for value in _sequence(given))
        recorder, failure = Recorder(), ""
        outputs: tuple[torch.Tensor, ...] = ()
        try:
            with recorder:
                outputs = tensors_in(model(*inputs))
        except Exception as error:  # noqa: BLE001 - the reference is the user's code and may raise anything
            failure = one_line(error, where)
    bound = init_arguments(namespace, init)
    return MetaRun(namespace, model, bound, inputs, outputs, tuple(recorder.calls), failure)


def load_module(problem: Problem) -> ModuleType:
    """Execute the reference's source as a module of its own."""
    where = problem.path or problem.key
    namespace = ModuleType(f"problem_{problem.id}")
    sys.modules[namespace.__name__] = namespace  # dataclasses look their module up by name
    try:
        exec(compile(problem.source, where, "exec"), namespace.__dict__)  # noqa: S102 - a reference is trusted
    except Exception as error:  # noqa: BLE001 - the reference is the user's code and may raise anything
        raise BadProblem(f"{where}: does not load: {one_line(error, where)}") from None
    return namespace


def init_arguments(namespace: ModuleType, init: Any) -> dict[str, Any]:
    """The arguments of Model.__init__ by name, as get_init_inputs passes them."""
    signature = inspect.signature(namespace.Model)
    bound = signature.bind(**init) if isinstance(init, Mapping) else signature.bind(*_sequence(init))
    return dict(bound.arguments)


def tensors_in(value: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of a module's output, in order."""
    if isinstance(value, torch.Tensor):
        return (value,)
    if isinstance(value, Mapping):
        value = tuple(value.values())
    return tuple(t for item in value for t in tensors_in(item)) if isinstance(value, Sequence) else ()


def one_line(error: BaseException, file: str) -> str:
    """Type and first line of an error, and the last line of `file` that it came through."""
    text = str(error).strip().partition("\n")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{type(error).__name__}: {text}" + (f" (line {lines[-1]})" if lines else "")


def _called(namespace: ModuleType, name: str, where: str) -> Any:
    try:
        return getattr(namespace, name)()
    except Exception as error:  # noqa: BLE001 - the reference is the user's code and may raise anything
        raise BadProblem(f"{where}: {name}() failed: {one_line(error, where)}") from None


def _built(namespace: ModuleType, init: Any, where: str) -> torch.nn.Module:
    try:
        model = namespace.Model(**init) if isinstance(init, Mapping) else namespace.Model(*_sequence(init))
    except Exception as error:  # noqa: BLE001 - the reference is the user's code and may raise anything
        raise BadProblem(f"{where}: Model(*get_init_inputs()) failed: {one_line(error, where)}") from None
    if not isinstance(model, torch.nn.Module):
        raise BadProblem(f"{where}: Model is not a torch.nn.Module")
    return model.to("meta")


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value
