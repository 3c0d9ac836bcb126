"""What of the file system a program may see: the system's tools, the interpreter, the importable packages, the devices.

An import directory that is a project checkout is opened package by package: run records, keys and notes that lie beside
the packages stay invisible, only their directory's listing is granted.

Limits: whatever lies inside an importable package or the interpreter's prefix is readable.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = ("/usr", "/opt", "/sys", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_ETC = (
    "alternatives",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "nvidia",
    "OpenCL",
    "passwd",
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kfd", "dri", "infiniband")
_TOOL_VARIABLES = ("CUDA_HOME", "CUDA_PATH", "TRITON_PTXAS_PATH", "TRITON_LIBCUDA_PATH")


@dataclass(frozen=True)
class View:
    """Absolute paths by what they are good for."""

    readable: tuple[tuple[str, str], ...]  # name and resolved name; with everything below, executable too
    listable: tuple[str, ...]  # names only
    devices: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]  # top-level symbolic links and their targets


def compute_view(import_path: tuple[str, ...]) -> View:
    """The view for programs that import from these directories."""
    tools = [os.environ[name] for name in _TOOL_VARIABLES if name in os.environ]
    tools += [entry for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry.startswith("/")]
    wanted = [*_SYSTEM, *(f"/etc/{name}" for name in _ETC), sys.prefix, sys.base_prefix, *tools]
    listable: list[str] = []
    for entry in import_path:
        if _is_installation(entry):
            wanted.append(entry)
        elif Path(entry).is_dir():
            listable.append(entry)
            wanted += _importable(entry)
        else:
            wanted.append(entry)  # a zip file, or a name that does not exist yet
    return View(_without_nested(_with_real_names(wanted)), tuple(listable), _devices(), _links())


def _is_installation(entry: str) -> bool:
    roots = (sys.prefix, sys.base_prefix)
    return Path(entry).name in ("site-packages", "dist-packages") or any(Path(entry).is_relative_to(r) for r in roots)


def _importable(folder: str) -> list[str]:
    """The packages and modules directly below an import directory."""
    found: list[str] = []
    for entry in sorted(Path(folder).iterdir()):
        is_package = entry.is_dir() and (entry / "__init__.py").is_file()
        if is_package or entry.suffix in (".py", ".so"):
            found.append(str(entry))
    return found


def _with_real_names(paths: list[str]) -> list[str]:
    """Existing paths under their own and their resolved names; top-level links are made as links instead."""
    names: list[str] = []
    links = dict(_links())
    for path in paths:
        if path in links or not Path(path).exists():
            continue
        names += [path, os.path.realpath(path)]
    return names


def _without_nested(paths: list[str]) -> tuple[tuple[str, str], ...]:
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda p: (p.count("/"), p)):
        if path != "/" and not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple((path, os.path.realpath(path)) for path in kept)


def _devices() -> tuple[tuple[str, str], ...]:
    nvidia = [entry.name for entry in Path("/dev").iterdir() if entry.name.startswith("nvidia")]
    paths = [f"/dev/{name}" for name in (*_DEVICES, *nvidia)]
    return tuple((path, os.path.realpath(path)) for path in paths if Path(path).exists())


def _links() -> tuple[tuple[str, str], ...]:
    return tuple((path, str(Path(path).readlink())) for path in _SYSTEM if Path(path).is_symlink())
