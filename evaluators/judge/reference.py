"""The reference of a problem, loaded in the judge: what it takes, what it gives, how it is built.

The source is the problem author's and trusted; it never leaves the judge. Shapes are read on meta tensors where the
reference runs there, on the CPU otherwise. Limits: facts about sizes and names; FLOP and bytes are counted elsewhere.
"""

import ast
import inspect
import itertools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch

from evaluators.errors import BadProblem
from evaluators.judge.constants import hoisted, sizes_in_model, with_constants
from evaluators.problem import Problem, TensorFact

REQUIRED_NAMES = ("Model", "get_inputs", "get_init_inputs")
_serial = itertools.count()
_generator = threading.RLock()


def load_module(source: str, key: str) -> ModuleType:
    """Execute a reference as a fresh, registered module, so that `inspect` finds its text. Raises BadProblem."""
    name = f"reference_{next(_serial)}"
    filename = f"<reference {key} {name}>"
    module = ModuleType(name)
    module.__file__ = filename
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    sys.modules[name] = module
    with blaming(f"{key}: the reference does not load"):
        exec(compile(source, filename, "exec"), module.__dict__)  # noqa: S102 - the reference is trusted by definition
    missing = [required for required in REQUIRED_NAMES if not callable(getattr(module, required, None))]
    if missing:
        raise BadProblem(f"{key}: the reference lacks {', '.join(missing)}; a KernelBench file defines all three")
    return module


def forget(module: ModuleType) -> None:
    """Drop the registration of a module that is not loaded once per problem; it goes with its last user."""
    sys.modules.pop(module.__name__, None)
    linecache.cache.pop(str(module.__file__), None)


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Whatever the reference's own code raises in here is the problem's fault: BadProblem."""
    try:
        yield
    except BadProblem:
        raise
    except Exception as error:  # the reference's code may raise anything - it becomes one clear line
        raise BadProblem(f"{what}: {describe(error)}") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers that depend on `seed` alone. The generator is the whole process's, so one thread at a time."""
    with _generator, torch.random.fork_rng(devices=[]):
        _seed(seed)
        yield


def _seed(seed: int) -> None:
    """Of every device there is: for each that is not, torch keeps a stack trace for later, 0.7 ms a call."""
    (torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed)(seed)


def describe(error: BaseException) -> str:
    """`ValueError: first line`, short enough for a one-line message."""
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(frozen=True)
class Workload:
    """One loaded reference module with its own init arguments and inputs."""

    key: str
    module: ModuleType

    @cached_property
    def init_args(self) -> tuple[Any, ...]:
        """Arguments of `Model` as `get_init_inputs` gives them."""
        with blaming(f"{self.key}: get_init_inputs() fails"):
            return tuple(self.module.get_init_inputs())

    def build(self, init: Sequence[Any] | None = None, *, seed: int = 0) -> torch.nn.Module:
        """A `Model` whose random initialisation depends on `seed` alone."""
        with seeded(seed):
            model = self.module.Model(*(self.init_args if init is None else init))
        if not isinstance(model, torch.nn.Module):
            raise BadProblem(f"{self.key}: Model is not a torch.nn.Module")
        return model

    def draw(self, seed: int) -> list[Any]:
        """The inputs `get_inputs` gives for this seed."""
        with seeded(seed):
            return list(self.module.get_inputs())


@dataclass(frozen=True)
class _Shapes:
    inputs: list[Any]
    outputs: list[torch.Tensor]
    model: torch.nn.Module


class Reference:
    """What the judge knows of one problem's reference. Everything is computed on first use and kept."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.published = Workload(problem.key, load_module(problem.source, problem.key))

    @cached_property
    def resizable_sources(self) -> tuple[str, ...]:
        """The source with the sizes of its input functions as module constants: first without those that stand in the
        Model itself, then all; equal sizes apart, then as one."""
        source = self.problem.source
        choice = [(apart, kept) for kept in (sizes_in_model(source), frozenset()) for apart in (True, False)]
        return tuple(dict.fromkeys(hoisted(source, apart=apart, kept=kept) for apart, kept in choice))

    def rewritten(self, source: str, constants: Mapping[str, int]) -> Workload:
        """One of the resizable sources with some of its constants replaced."""
        return Workload(self.problem.key, load_module(with_constants(source, constants), self.problem.key))

    @property
    def init_args(self) -> tuple[Any, ...]:
        """Published arguments of `Model`."""
        return self.published.init_args

    @cached_property
    def init_literal(self) -> str:
        """Python literal of the published init arguments; raises BadProblem where they have none."""
        return literal(self.init_args, f"{self.problem.key}: init arguments")

    @cached_property
    def input_facts(self) -> tuple[TensorFact, ...]:
        """Tensor inputs at published shapes, named as `forward` names them."""
        names = self._input_names(len(self._shapes.inputs))
        pairs = zip(names, self._shapes.inputs, strict=True)
        return tuple(_fact(name, value) for name, value in pairs if isinstance(value, torch.Tensor))

    @cached_property
    def input_literals(self) -> tuple[str | None, ...]:
        """For every input of `forward`: None for a tensor, otherwise its Python literal."""
        where = f"{self.problem.key}: a non-tensor input"
        return tuple(None if isinstance(v, torch.Tensor) else literal(v, where) for v in self._shapes.inputs)

    @cached_property
    def output_facts(self) -> tuple[TensorFact, ...]:
        """Outputs at published shapes."""
        return tuple(_fact(f"output{i or ''}", value) for i, value in enumerate(self._shapes.outputs))

    @cached_property
    def parameter_facts(self) -> tuple[TensorFact, ...]:
        """Parameters and buffers by their state_dict names."""
        return tuple(_fact(name, value) for name, value in self._shapes.model.state_dict().items())

    def _input_names(self, count: int) -> list[str]:
        try:
            signature = inspect.signature(self.published.module.Model.forward)
        except (TypeError, ValueError):
            return [f"input{i}" for i in range(count)]
        names = list(signature.parameters)[1 : count + 1]
        return names + [f"input{i}" for i in range(len(names), count)]

    @cached_property
    def _shapes(self) -> _Shapes:
        try:
            with torch.device("meta"):
                return self._run_shapes(lambda value: value.to("meta"))
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError):
            return self._shapes_on_cpu()

    def _shapes_on_cpu(self) -> _Shapes:
        with blaming(f"{self.problem.key}: reference not runnable on CPU"):
            return self._run_shapes(lambda value: value)

    def _run_shapes(self, place: Callable[[torch.Tensor], torch.Tensor]) -> _Shapes:
        model = self.published.build()
        inputs = [place(v) if isinstance(v, torch.Tensor) else v for v in self.published.draw(0)]
        with torch.no_grad():
            return _Shapes(inputs, flatten_outputs(model(*inputs), self.problem.key), model)


def flatten_outputs(value: Any, key: str) -> list[torch.Tensor]:
    """The tensors a reference returned: one, or a tuple or list of them."""
    outputs = list(value) if isinstance(value, (tuple, list)) else [value]
    if not outputs or not all(isinstance(output, torch.Tensor) for output in outputs):
        raise BadProblem(f"{key}: Model.forward must return a tensor or a tuple of tensors")
    return outputs


def literal(value: Any, where: str) -> str:
    """`repr` of a value that a plain Python literal can carry to another process."""
    text = repr(value)
    try:
        if ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError, TypeError):
        pass
    raise BadProblem(f"{where} must be plain literals (numbers, strings, tuples, lists), got {text[:120]}")


def _fact(name: str, tensor: torch.Tensor) -> TensorFact:
    return TensorFact(name=name, shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))
