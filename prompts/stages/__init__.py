"""Load the stages of optimization: the TOML files beside this one, in the order of their `order` field.

A folder named by AGENT_PROMPTS_DIR may hold a `stages` folder, and `--stages` names one; their files add stages or
replace those of the same name.

Limits: data only; which stage comes next is the agent's policy.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evaluators.errors import UsageError
from evaluators.frozen import Frozen
from prompts.stage import Stage

BUILT_IN_DIR = Path(__file__).parent
USER_DIR_VARIABLE = "AGENT_PROMPTS_DIR"
Noun = TypeVar("Noun", bound=Frozen)


def all_stages(own: Path | None = None) -> tuple[Stage, ...]:
    """Every stage, first to last; those in the folder `own` win. A damaged file is an error that names it."""
    if own is not None and not own.is_dir():
        raise UsageError(f"--stages {own} is not a folder; point it at a folder of stage files (*.toml)")
    folders = [*_folders(), *([own] if own else [])]
    paths = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    stages = [read_toml(path, Stage, "stage") for path in paths.values()]
    return tuple(sorted(stages, key=lambda stage: (stage.order, stage.key)))


def load_stage(key: str) -> Stage:
    """The stage called `key`. Raises UsageError naming the nearest."""
    stages = {stage.key: stage for stage in all_stages()}
    if key in stages:
        return stages[key]
    near = difflib.get_close_matches(key, stages, n=1, cutoff=0.4)
    nearest = f"did you mean '{near[0]}'? " if near else ""
    raise UsageError(f"unknown stage '{key}'; {nearest}known: {', '.join(stages)}")


def missing_metrics(
    stage: Stage, metrics: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Measured metrics the stage looks at and no kernel's profile delivers, with what is known of the reason.

    None and NaN are not delivered. `reasons`: what the profiler said, by metric.
    """
    delivered = {name for profile in metrics.values() for name, value in profile.items() if _is_delivered(value)}
    wanted = [metric.name for metric in stage.metrics if metric.origin == "measured"]
    return {name: (reasons or {}).get(name, "") for name in wanted if name not in delivered}


def user_directory() -> Path | None:
    """The folder of AGENT_PROMPTS_DIR; None when unset, UsageError when it is no folder."""
    named = os.environ.get(USER_DIR_VARIABLE)
    if not named:
        return None
    if not Path(named).is_dir():
        raise UsageError(f"{USER_DIR_VARIABLE}={named} is not a folder; point it at a folder of templates or unset it")
    return Path(named)


def _is_delivered(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))  # some devices report NaN


def _folders() -> list[Path]:
    user = user_directory()
    return [BUILT_IN_DIR] if user is None else [BUILT_IN_DIR, user / "stages"]


def read_toml(path: Path, noun: type[Noun], what: str) -> Noun:
    """The noun a TOML file holds, its key the file's stem. A damaged file is a UsageError that names file and field."""
    try:
        fields: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{what} file {path}: {error}") from None
    try:
        return noun(**{**fields, "key": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{what} file {path}: field {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
