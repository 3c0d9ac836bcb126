"""A scripted server for the whole folder, a fresh script per test, and no keys or proxies of the caller's environment."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

KEY_VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "DEEPSEEK_API_KEY",
    "OPENROUTER_API_KEY",
)
PROXY_VARIABLES = tuple(
    name for base in ("http", "https", "all", "no") for name in (f"{base}_proxy", f"{base}_PROXY".upper())
)


def _scripted_llm() -> ModuleType:
    """tests/scripted_llm.py as a module, whatever the import mode."""
    if "scripted_llm" not in sys.modules:
        path = Path(__file__).parents[2] / "scripted_llm.py"
        spec = importlib.util.spec_from_file_location("scripted_llm", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["scripted_llm"] = module
        spec.loader.exec_module(module)
    return sys.modules["scripted_llm"]


_scripted_llm()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEY_VARIABLES, *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def _server() -> Iterator[Any]:
    with _scripted_llm().serving() as server:
        yield server


@pytest.fixture
def server(_server: Any) -> Any:
    """The scripted server with an empty script; `server.play(Step(...), ...)` begins one."""
    _server.play()
    _server.models = []
    return _server
