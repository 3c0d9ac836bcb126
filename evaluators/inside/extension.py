"""`load_inline` without a GPU: the texts go to the judge, a module whose kernels run on the CPU comes back.

Two entries of the sandboxed process: `record` runs a candidate once at full size on meta tensors and only notes its
launches; `emulate` answers the judge's calls with the kernels executed on CPU tensors. The last shared descriptor is
the socket to the judge's builder.

Limits: launches are counted next to untrusted code, so a count can only explain or worsen a verdict. In `record` the
wrapper's host code sees tensors without memory, so code that reads values there cannot be recorded.
"""

import ast
import functools
import importlib.machinery
import importlib.util
import inspect
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.utils import cpp_extension

from evaluators.gpu import GpuSpec
from evaluators.inside.capture_report import CANDIDATE_FILE, exception_text
from evaluators.inside.operator_record import OperatorRecord
from evaluators.inside.resident import fresh_pages, written_elements
from evaluators.inside.serving import Channel, serve
from evaluators.inside.spoof import cuda_device
from sandbox import frames

Message = dict[str, Any]
Launch = tuple[
    str, str, list[int], list[int], int, int, bool
]  # name, symbol, grid, block, shared bytes, count, partial
SAMPLED_BLOCKS = 48
SAMPLED_ELEMENTS = 200_000


class NotEmulated(Exception):
    """The extension cannot be executed here; says nothing about the candidate."""


class Extensions:
    """The extensions of this process: built by the judge, loaded once per text."""

    def __init__(self, descriptor: int, announce: Callable[[str], None] = lambda event: None) -> None:
        """`descriptor`: the socket to the judge's builder; `announce` is told when a build begins and ends."""
        self._announce = announce
        self._builder = frames.Channel(socket.socket(fileno=descriptor))
        self._modules: dict[str, ModuleType] = {}
        self._only_notes = False
        self._settings: tuple[bool, tuple[int, int, int]] = (False, (0, 0, 1))
        self.unavailable = ""

    def only_note(self) -> None:
        """Launches are noted, not run."""
        self._only_notes = True

    def build(self, request: Message) -> ModuleType:
        """Have the judge build what was asked for and load it."""
        self._announce("building")
        self._builder.send(request)
        answer, binary = self._builder.receive()
        self._announce("built")
        if answer["status"] == "failed":
            raise RuntimeError(f"Error building extension '{request['name']}': {answer['message']}")
        if answer["status"] != "built":
            self.unavailable = answer["message"]
            raise NotEmulated(answer["message"])
        name = answer["module"]
        if name not in self._modules:
            self._modules[name] = _loaded(name, binary)
            if self._only_notes:
                self._modules[name].__only_note__()
            self._apply(self._modules[name])
        return self._modules[name]

    def take_launches(self) -> list[Launch]:
        """What was launched since the last time."""
        return [tuple(launch) for module in self._modules.values() for launch in module.__take_launches__()]

    def settle(self, *, is_reversed: bool, sampled: tuple[int, int, int] = (0, 0, 1)) -> None:
        """How later launches run: from the last block to the first; only some blocks (how many, seed, parts)."""
        self._settings = (is_reversed, sampled)
        for module in self._modules.values():
            self._apply(module)

    def _apply(self, module: ModuleType) -> None:
        is_reversed, sampled = self._settings
        module.__reverse_blocks__(is_reversed)
        module.__sample_blocks__(*sampled)


def _loaded(name: str, binary: bytes) -> ModuleType:
    path = Path(f"{name}.so").resolve()  # in the scratch directory
    path.write_bytes(binary)
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


def install(extensions: Extensions) -> None:
    """Replace `load_inline` and `load`; the replacements take exactly the parameters of the originals."""
    cpp_extension.load_inline = _with_signature_of(
        cpp_extension.load_inline, functools.partial(_load_inline, extensions)
    )
    cpp_extension.load = _with_signature_of(cpp_extension.load, functools.partial(_load, extensions))


def _with_signature_of(original: Any, replacement: Callable[[Message], ModuleType]) -> Any:
    """Bind the arguments as the original would, so that a missing one raises the original's own TypeError text."""
    signature = inspect.signature(original)
    name = original.__name__

    def call(*args: Any, **kwargs: Any) -> ModuleType:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            _raise_as_called(name, signature, args, kwargs)
            raise
        bound.apply_defaults()
        return replacement(bound.arguments)

    return functools.wraps(original)(call)


def _raise_as_called(name: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Message) -> None:
    required = [n for n, p in signature.parameters.items() if p.default is inspect.Parameter.empty]
    missing = [f"'{n}'" for n in required[len(args) :] if n not in kwargs]
    if missing:
        plural = "s" * (len(missing) > 1)
        raise TypeError(
            f"{name}() missing {len(missing)} required positional argument{plural}: {' and '.join(missing)}"
        ) from None


def _load_inline(extensions: Extensions, given: Message) -> ModuleType:
    _require_python_module(given)
    functions = given["functions"]
    if functions is not None and not isinstance(functions, str | list | dict):
        raise ValueError(f"Expected 'functions' to be a list or dict, but was {type(functions)}")
    return extensions.build(
        {
            "name": str(given["name"]),
            "cpp_sources": _texts(given["cpp_sources"]),
            "cuda_sources": _texts(given["cuda_sources"] or []),
            "functions": None if functions is None else _texts(functions),
            "cuda_flags": [str(flag) for flag in given.get("extra_cuda_cflags") or []],
            "has_implicit_headers": not given.get("no_implicit_headers", False),
        }
    )


def _load(extensions: Extensions, given: Message) -> ModuleType:
    """`load` of files that the candidate wrote into its scratch directory: the texts are what counts."""
    _require_python_module(given)
    paths = [Path(path) for path in _texts(given["sources"])]
    cuda = [path.read_text() for path in paths if path.suffix in (".cu", ".cuh")]
    plain = [path.read_text() for path in paths if path.suffix not in (".cu", ".cuh")]
    return extensions.build(
        {
            "name": str(given["name"]),
            "cpp_sources": plain,
            "cuda_sources": cuda,
            "functions": None,
            "cuda_flags": [str(flag) for flag in given.get("extra_cuda_cflags") or []],
            "has_implicit_headers": False,
        }
    )


def _require_python_module(given: Message) -> None:
    if not given.get("is_python_module", True):
        raise NotEmulated("the CPU emulation builds Python modules only (is_python_module=True)")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value]


class EmulationHarness:
    """Runs `forward` with CUDA spoofed on CPU tensors and the extension's kernels executed on the CPU."""

    def __init__(self, extensions: Extensions, gpu: GpuSpec) -> None:
        self._extensions = extensions
        self._gpu = gpu
        self._samples = False
        self._operators = OperatorRecord()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The candidate sees its tensors on a CUDA device."""
        with cuda_device(self._gpu, "cpu"), self._operators:
            yield

    def begin(self, options: Message) -> None:
        """Forget the last call. Uninitialised memory reads as NaN unless pages must stay untouched (full size)."""
        self._extensions.take_launches()
        sample = options.get("sample")
        sampled = (SAMPLED_BLOCKS, sample["seed"], max(1, sample["batch"])) if sample else (0, 0, 1)
        self._extensions.settle(is_reversed=options.get("reversed") is True, sampled=sampled)
        self._samples = bool(sample)
        self._operators.forget()
        torch._C._set_deterministic_algorithms(not sample, warn_only=True)  # the public setter imports torch._inductor

    def report(self, outputs: list[torch.Tensor]) -> tuple[Message, bytes]:
        """The launches of the call; of a sampled one also the elements written (offsets, then values)."""
        launches = self._extensions.take_launches()
        message: Message = {
            "launches": launches[:50],
            "launched": sum(launch[5] for launch in launches),
            "operators": self._operators.names,
        }
        if not self._samples or len(outputs) != 1:
            return message, b""
        offsets, values = written_elements(outputs[0], SAMPLED_ELEMENTS)
        return message | {"elements": len(offsets)}, offsets.numpy().tobytes() + values.numpy().tobytes()

    def unsupported(self, error: BaseException) -> str:
        """An extension that could not be built here is no fault of the candidate, wherever the error surfaced."""
        return self._extensions.unavailable or (str(error) if isinstance(error, NotEmulated) else "")


def emulate(channel: Channel, arguments: Message, shared: Sequence[int]) -> None:
    """Serve one candidate. `arguments`: {"gpu": the target}; shared: the memory, the builder's socket."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fresh_pages()
    extensions = Extensions(shared[-1])
    install(extensions)
    serve(channel, tuple(shared[:-1]), EmulationHarness(extensions, GpuSpec.model_validate(arguments["gpu"])))


def record(channel: Channel, arguments: Message, shared: Sequence[int]) -> None:
    """Run one candidate at full size.

    Receives {gpu, init, inputs} with the source; sends `stage`, `building`, `built`, at last `finished` or `failed`.
    """
    request, source = channel.receive()
    warnings.simplefilter("ignore")
    extensions = Extensions(shared[-1], lambda event: channel.send({"event": event}))
    extensions.only_note()
    install(extensions)
    steps = _Steps(request, source)
    with cuda_device(GpuSpec.model_validate(request["gpu"])):
        for stage, step in (("import", steps.load), ("__init__", steps.build), ("forward", steps.forward)):
            channel.send({"event": "stage", "stage": stage})
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - the candidate's own code: whatever it raises is a finding
                channel.send({"event": "failed", "stage": stage, "message": exception_text(error)})
                return
    channel.send(
        {
            "event": "finished",
            "outputs": steps.outputs,
            "launches": [launch[:6] for launch in extensions.take_launches()[:500]],
        }
    )


class _Steps:
    """Import, construct, call: what one run of a candidate consists of."""

    def __init__(self, request: Message, source: bytes) -> None:
        self._request = request
        self._source = source
        self._model: Any = None
        self._module = ModuleType("candidate")
        self.outputs: list[Message] = []

    def load(self) -> None:
        """Import the file."""
        Path(CANDIDATE_FILE).write_bytes(self._source)
        self._module.__file__ = CANDIDATE_FILE
        sys.modules["candidate"] = self._module
        exec(compile(self._source, str(Path(CANDIDATE_FILE).resolve()), "exec"), self._module.__dict__)  # noqa: S102

    def build(self) -> None:
        """Construct ModelNew with the published arguments."""
        if not callable(getattr(self._module, "ModelNew", None)):
            raise TypeError("the file defines no class ModelNew, which is what is built and called")
        self._model = self._module.ModelNew(*ast.literal_eval(self._request["init"]))

    def forward(self) -> None:
        """Call it on tensors that have a shape and no memory."""
        result = self._model(*(_input(fact) for fact in self._request["inputs"]))
        values = result if isinstance(result, tuple | list) else (result,)
        self.outputs = [
            {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
            if isinstance(value, torch.Tensor)
            else {"type": type(value).__name__}
            for value in values[:16]
        ]


def _input(fact: Message) -> Any:
    if fact.get("literal") is not None:
        return ast.literal_eval(fact["literal"])
    return torch.empty(fact["shape"], dtype=getattr(torch, fact["dtype"]), device="meta")
