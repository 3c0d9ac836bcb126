"""A bench per test: a scripted server, a folder for runs, a table of verdicts."""

import pytest
from scripted_llm import serving
from search_bench import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    with serving() as server:
        yield Bench(server, tmp_path)
