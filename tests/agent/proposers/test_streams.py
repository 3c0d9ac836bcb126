"""Shapes of chunks that servers send and the SDK does not check."""

from types import SimpleNamespace as Record
from typing import Any

import pytest

from agent.proposers import streams
from agent.proposers.streams import Received


def chunk(finish: str | None = None, **delta: Any) -> Record:
    return Record(choices=[Record(delta=Record(**delta), finish_reason=finish)])


def received(*chunks: Any) -> Received:
    one = Received()
    one.take(chunks)
    return one


def test_reasoning_details_are_read_once_beside_reasoning() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.summary", "summary": "b"}, {"data": "x"}, 7]
    assert received(chunk(reasoning_details=details)).reasoning == "ab"
    assert received(chunk(reasoning="a", reasoning_details=details)).reasoning == "a"
    assert received(chunk(reasoning_details=[Record(text="c", summary=None)])).reasoning == "c"


def test_missing_parts_are_nothing() -> None:
    odd = [
        Record(),
        Record(choices=None),
        Record(choices=[Record(delta=None, finish_reason=None)]),
        chunk(content=["?"]),
    ]
    assert (received(*odd).text, received(*odd).choices, received(*odd).finish_reason) == ("", 2, None)


def test_a_refusal_is_what_the_model_said() -> None:
    assert received(chunk(refusal="I cannot."), chunk("stop")).text == "I cannot."


def test_a_stream_without_end_is_cut_as_at_a_token_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TEXT_CHARACTERS", 1000)
    thought, words = chunk(reasoning="t" * 900), [chunk(content="w") for _ in range(200)]
    cut = received(thought, *words)
    assert (cut.finish_reason, len(cut.text)) == ("length", 101)
    assert received(thought, *words[:99], chunk("stop")).finish_reason == "stop"
