"""Presets of providers: one TOML file per provider beside this one; its stem is what `--provider` takes.

Limits: where to ask and what is known of it. The key's variable follows from the host (endpoints.py); how an endpoint
wants a request is learned from its refusals (dialect.py).
"""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from evaluators.errors import UsageError
from evaluators.frozen import Frozen

_DIRECTORY = Path(__file__).parent


class Provider(Frozen):
    """One provider or local server."""

    title: str
    base_url: str
    key: str  # the variable that holds the key, or "none needed"
    example_model: str
    notes: tuple[str, ...] = ()


def provider(name: str) -> Provider:
    """The preset of this name. Raises UsageError naming those there are."""
    path = _DIRECTORY / f"{name}.toml"
    if name not in provider_names():
        raise UsageError(f"unknown provider {name!r}; known: {', '.join(provider_names())}; or give --base-url")
    try:
        return Provider.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"provider file {path}: {str(error).splitlines()[0]}") from None


def provider_names() -> list[str]:
    """Every preset."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.toml"))


def base_url_of(name: str | None, given: str | None) -> str | None:
    """The base URL to ask: the given one wins over the preset's."""
    preset = provider(name) if name else None
    return given or (preset.base_url if preset else None)
