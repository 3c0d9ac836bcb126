"""`load_inline` in the sandbox: the texts go to the judge, a module comes back, for the CPU or for the card.

Limits: the module is loaded from the scratch directory; `load` reads the files that the
candidate wrote there; options that name files or link libraries are not passed on.
"""

import ctypes
import functools
import importlib.machinery
import importlib.util
import inspect
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch.utils import cpp_extension

from evaluators.cuda.extension import Extension
from sandbox import frames

Message = dict[str, Any]
# Name, symbol, grid, block, dynamic shared bytes, equal launches, only some blocks ran.
Launch = tuple[str, str, list[int], list[int], int, int, bool]


Ask = Callable[[Message], tuple[Message, bytes]]


def builder_at(descriptor: int) -> Ask:
    """The judge's builder at the other end of a socket."""
    channel = frames.Channel(socket.socket(fileno=descriptor))

    def ask(request: Message) -> tuple[Message, bytes]:
        channel.send(request)
        return channel.receive()

    return ask


def kept(modules: dict[str, bytes]) -> Ask:
    """Modules that were built before, by name."""

    def ask(request: Message) -> tuple[Message, bytes]:
        name = Extension.model_validate(request).module_name
        if name not in modules:
            return {"status": "unavailable", "message": "this text was not built before"}, b""
        return {"status": "built", "module": name}, modules[name]

    return ask


class NotBuilt(Exception):
    """The extension cannot be built here; says nothing about the candidate."""


class Extensions:
    """The extensions of this process: built by the judge, loaded once per text."""

    def __init__(self, ask: Ask, announce: Callable[[str], None] = lambda event: None) -> None:
        """`ask` has a text built; `announce` is told when that begins and ends."""
        self._announce = announce
        self._ask = ask
        self.modules: dict[str, ModuleType] = {}
        self.unavailable = ""

    def build(self, request: Message) -> ModuleType:
        """Have the judge build what was asked for and load it."""
        self._announce("building")
        answer, binary = self._ask(request)
        self._announce("built")
        if answer["status"] == "failed":
            raise RuntimeError(f"Error building extension '{request['name']}': {answer['message']}")
        if answer["status"] != "built":
            self.unavailable = answer["message"]
            raise NotBuilt(answer["message"])
        name = answer["module"]
        if name not in self.modules:
            self.modules[name] = _loaded(name, binary)
            self.prepare(self.modules[name])
        return self.modules[name]

    def prepare(self, module: ModuleType) -> None:
        """A module was loaded."""


class EmulatedExtensions(Extensions):
    """Their kernels run on the CPU."""

    _only_notes = False
    _settings: tuple[bool, tuple[int, int, int]] = (False, (0, 0, 1))

    def only_note(self) -> None:
        """Launches are noted, not run."""
        self._only_notes = True

    def take_launches(self) -> list[Launch]:
        """What was launched since the last time."""
        return [tuple(launch) for module in self.modules.values() for launch in module.__take_launches__()]

    def settle(self, *, is_reversed: bool, sampled: tuple[int, int, int] = (0, 0, 1)) -> None:
        """How later launches run: from the last block to the first; only some blocks (how many, seed, parts)."""
        self._settings = (is_reversed, sampled)
        for module in self.modules.values():
            self._apply(module)

    def prepare(self, module: ModuleType) -> None:
        """As the ones before it."""
        if self._only_notes:
            module.__only_note__()
        self._apply(module)

    def _apply(self, module: ModuleType) -> None:
        is_reversed, sampled = self._settings
        module.__reverse_blocks__(is_reversed)
        module.__sample_blocks__(*sampled)


class CardExtensions(Extensions):
    """Their kernels run on the card."""

    def take_launched(self) -> int:
        """How many kernels they launched since the last time."""
        return sum(_library(module).take_launched() for module in self.modules.values())


def _library(module: ModuleType) -> Any:
    library = ctypes.CDLL(module.__file__)
    library.take_launched.restype = ctypes.c_ulonglong
    return library


def _loaded(name: str, binary: bytes) -> ModuleType:
    path = Path(f"{name}.so").resolve()  # in the scratch directory
    path.write_bytes(binary)
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)  # pybind11 of PyTorch 2.11 binds its functions here
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
        raise NotBuilt("only Python modules are built (is_python_module=True)")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value]
