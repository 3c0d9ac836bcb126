"""Reads one chat completion to its end, streamed or whole, into text, reasoning, finish reason and usage.

Limits: knows the protocol's shapes, not its errors; what is wrong with an answer is decided in openai.py.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

WHOLE_ANSWER_BYTES = 16 << 20  # an answer that is not streamed may not be longer
TEXT_CHARACTERS = 8 << 20  # a stream that goes on beyond this is cut as at a token limit


class NotStreamed(Exception):
    """The server answered with something other than an event stream: its content type and text."""

    def __init__(self, content_type: str, text: str) -> None:
        super().__init__(content_type)
        self.content_type = content_type
        self.text = text


@dataclass
class Received:
    """What has arrived of a reply so far. `usage` is the latest usage object, in the provider's form."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Any = None
    model: str | None = None
    choices: int = 0

    @property
    def text(self) -> str:
        """The reply so far."""
        return _joined(self.texts)

    @property
    def reasoning(self) -> str:
        """The separate thinking text so far."""
        return _joined(self.thoughts)

    @property
    def has_begun(self) -> bool:
        """Whether the model has written anything, which is what providers charge for."""
        return bool(self.texts or self.thoughts)

    def take(self, chunks: Iterable[Any]) -> None:
        """Read chunks to their end or to the length limit."""
        length = 0
        for chunk in chunks:
            length += self._take_chunk(chunk)
            if length > TEXT_CHARACTERS:
                self.finish_reason = "length"
                return

    def _take_chunk(self, chunk: Any) -> int:
        self.usage = getattr(chunk, "usage", None) or self.usage
        self.model = getattr(chunk, "model", None) or self.model
        length = 0
        for choice in getattr(chunk, "choices", None) or ():
            self.choices += 1
            self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
            length += self._take_part(getattr(choice, "delta", None) or getattr(choice, "message", None))
        return length

    def _take_part(self, part: Any) -> int:
        text, thought = _text(part), _thought(part)
        self.texts += [text] if text else []
        self.thoughts += [thought] if thought else []
        return len(text) + len(thought)


def chunks_of(stream: Any) -> Iterator[Any]:
    """The chunks of an open SDK stream; one chunk for a server that ignored `stream`. Raises NotStreamed."""
    content_type = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if "html" in content_type:
        raise NotStreamed(content_type, _whole(stream.response))
    if "json" in content_type and "ndjson" not in content_type:
        yield _parsed(content_type, _whole(stream.response))
        return
    yield from stream


def _parsed(content_type: str, text: str) -> Any:
    try:
        answer = json.loads(text, object_hook=lambda record: SimpleNamespace(**record))
    except ValueError:
        raise NotStreamed(content_type, text) from None
    if not hasattr(answer, "choices"):
        raise NotStreamed(content_type, text)
    return answer


def _whole(response: Any) -> str:
    data = bytearray()
    for block in response.iter_bytes():
        data += block
        if len(data) > WHOLE_ANSWER_BYTES:
            break
    return data.decode("utf-8", "replace")


def _text(part: Any) -> str:
    """The text of a delta; a refusal is what the model wrote, too."""
    texts = (getattr(part, "content", None), getattr(part, "refusal", None))
    return "".join(text for text in texts if isinstance(text, str))


def _thought(part: Any) -> str:
    """The thinking text of a delta: reasoning_content (DeepSeek, older vLLM), reasoning, or OpenRouter's details."""
    for name in ("reasoning_content", "reasoning"):
        text = getattr(part, name, None)
        if isinstance(text, str) and text:
            return text
    details = getattr(part, "reasoning_details", None)
    return "".join(map(_detail_text, details)) if isinstance(details, list) else ""


def _detail_text(detail: Any) -> str:
    record = detail if isinstance(detail, dict) else getattr(detail, "__dict__", {})
    return str(record.get("text") or record.get("summary") or "")


def _joined(parts: list[str]) -> str:
    """The parts as valid text: halves of a surrogate pair sent in two chunks are joined, lone ones replaced."""
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
