"""Find a GPU by the name people use for it, list all, or ask the machine for its own.

    load_gpu("4090"), load_gpu("geforce rtx 4090"), load_gpu("auto")

GPUs are the TOML files in evaluators/gpus/; a folder named by AGENT_GPUS_DIR is read after them and wins where keys
agree.

Limits: descriptions only. `detect_gpu` asks nvidia-smi for a name; it neither opens the device nor measures it.
"""

import difflib
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluators.errors import MachineError, UnknownGpu, UsageError
from evaluators.gpu import GpuSpec

BUILT_IN_DIR = Path(__file__).parent / "gpus"
USER_DIR_VARIABLE = "AGENT_GPUS_DIR"
_NVIDIA_SMI_WALL_S = 20.0  # a first call without persistence mode initialises the driver: seconds on an 8-GPU host
_NOISE = re.compile(r"nvidia|geforce|tesla|rtx|generation|[^a-z0-9]")


def all_gpus() -> tuple[GpuSpec, ...]:
    """Every known GPU by key. A damaged file is an error that names the file and the field; so are two of one name."""
    paths = {path.stem: path for folder in _folders() for path in sorted(folder.glob("*.toml"))}
    specs = tuple(_read(paths[key]) for key in sorted(paths))
    _require_own_names(specs, paths)
    return specs


def load_gpu(name: str) -> GpuSpec:
    """The GPU people call `name`: key, alias, vendor name; case, spaces, dashes and brand words do not count.

    A name several parts share ("A100", "H100") yields its documented default and `choice` says so. "auto" asks the
    machine.
    """
    if name.strip().lower() == "auto":
        return detect_gpu()
    wanted, specs = _normal(name), all_gpus()
    for spec in specs:
        if wanted in map(_normal, (spec.key, spec.name, *spec.aliases)):
            return spec
    for spec in specs:
        if wanted in map(_normal, spec.default_for):
            return _as_default(spec, name, specs)
    raise UnknownGpu(_unknown(name, specs))


def detect_gpu() -> GpuSpec:
    """The first GPU of this machine, by the name nvidia-smi gives it."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    advice = "name the target instead, e.g. --gpu 4090"
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_WALL_S, check=False)
    except FileNotFoundError:
        raise MachineError(
            f"--gpu auto: this machine has no nvidia-smi, so no NVIDIA GPU was found; {advice}"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"--gpu auto: nvidia-smi did not answer ({error}); {advice}") from None
    names = answer.stdout.strip().splitlines()
    if answer.returncode != 0 or not names:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        raise MachineError(f"--gpu auto: nvidia-smi found no GPU ({said[0] if said else 'it said nothing'}); {advice}")
    return load_gpu(names[0].strip())


def _folders() -> list[Path]:
    user = os.environ.get(USER_DIR_VARIABLE)
    if not user:
        return [BUILT_IN_DIR]
    if not Path(user).is_dir():
        raise UsageError(
            f"{USER_DIR_VARIABLE}={user} is not a folder; point it at a folder of GPU .toml files or unset it"
        )
    return [BUILT_IN_DIR, Path(user)]


def _read(path: Path) -> GpuSpec:
    try:
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"GPU file {path}: {error}") from None
    try:
        return GpuSpec(key=path.stem, **fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(f"GPU file {path}: field {field}: {first['msg']}") from None
    except TypeError:
        raise UsageError(f"GPU file {path}: field key: the file's name is its key; remove the field") from None


def _require_own_names(specs: tuple[GpuSpec, ...], paths: dict[str, Path]) -> None:
    """A name that two files claim would mean whichever is read first. Raises UsageError naming both files."""
    owners: dict[str, str] = {}
    for spec in specs:
        for name in (spec.key, spec.name, *spec.aliases, *spec.default_for):
            owner = owners.setdefault(_normal(name), spec.key)
            if owner != spec.key:
                raise UsageError(
                    f"GPU name '{name}' stands in {paths[owner]} and in {paths[spec.key]}: take it out of one of them"
                )


def _normal(name: str) -> str:
    """What of a name counts: 'NVIDIA GeForce RTX 4090' -> '4090'."""
    return _NOISE.sub("", name.lower())


def _as_default(spec: GpuSpec, name: str, specs: tuple[GpuSpec, ...]) -> GpuSpec:
    family = _normal(name)
    others = [other.key for other in specs if other.key != spec.key and family in _normal(other.key)]
    choice = f"'{name}' names several parts; taken as {spec.name} ({spec.key})"
    return spec.model_copy(update={"choice": f"{choice}; others: {', '.join(others)}" if others else choice})


def _unknown(name: str, specs: tuple[GpuSpec, ...]) -> str:
    spellings = {_normal(text): spec.key for spec in specs for text in (spec.key, *spec.aliases, *spec.default_for)}
    near = difflib.get_close_matches(_normal(name), spellings, n=3, cutoff=0.5)
    keys = list(dict.fromkeys(spellings[spelling] for spelling in near))
    nearest = f"nearest: {', '.join(keys)}" if keys else "nothing is near it"
    return f"unknown GPU '{name}'; {nearest}. `agent gpus` lists all; a .toml file in {USER_DIR_VARIABLE} adds one"
