"""How an endpoint wants the optional parts of a request: their names, and how long a reply it can give.

Nothing of this can be asked for; it is learned from the refusal (status 400 or 422) of a request and kept.

Limits: the wordings below are those of OpenAI, Anthropic, DeepSeek, vLLM and pydantic servers; another wording ends
as a plain refusal that is shown to the user.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

SHORTEST_USEFUL_REPLY_TOKENS = 1024  # a kernel file does not fit into less
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra (inputs|fields)",
    re.IGNORECASE,
)
_OUTPUT_LIMIT = re.compile(
    r"at most (\d+) (?:completion|output) tokens|range of max_tokens is \[1, ?(\d+)\]|"
    r"> (\d+), which is the maximum allowed number of output tokens",
    re.IGNORECASE,
)
_ROOM = (  # what the context leaves beside this prompt: named groups `context` and `prompt`
    re.compile(r"\(\d+ > (?P<context>\d+) - (?P<prompt>\d+)\)"),
    re.compile(r"passed (?P<prompt>\d+) input tokens.*context length is only (?P<context>\d+)", re.DOTALL),
    re.compile(r"maximum context length is (?P<context>\d+) tokens.*\((?P<prompt>\d+) in the messages", re.DOTALL),
    re.compile(r"(?P<prompt>\d+) \+ \d+ > (?P<context>\d+)"),
)


@dataclass(frozen=True)
class Dialect:
    """What to send. Starts with the usual names and the wanted limit; `after_refusal` gives the next one to try."""

    limit_name: str
    max_output_tokens: int
    sends_stream_options: bool = True
    is_renamed: bool = False

    def arguments(self) -> dict[str, Any]:
        """The optional parts of a request."""
        options = {"stream_options": {"include_usage": True}} if self.sends_stream_options else {}
        return {self.limit_name: self.max_output_tokens, **options}

    def after_refusal(self, message: str, code: str | None) -> "Dialect | None":
        """The dialect to try after this refusal, each change once; None where it is about something else."""
        if code == "unsupported_parameter" or _UNSUPPORTED.search(message):
            if re.search(rf"\b{self.limit_name}\b", message) and not self.is_renamed:
                other = "max_tokens" if self.limit_name == "max_completion_tokens" else "max_completion_tokens"
                return replace(self, limit_name=other, is_renamed=True)
            if "stream_options" in message and self.sends_stream_options:
                return replace(self, sends_stream_options=False)
        room = _room(message)
        if room is not None and SHORTEST_USEFUL_REPLY_TOKENS <= room < self.max_output_tokens:
            return replace(self, max_output_tokens=room)
        return None


def _room(message: str) -> int | None:
    """The longest reply this refusal leaves room for, if it says so."""
    found = _OUTPUT_LIMIT.search(message)
    if found:
        return next(int(group) for group in found.groups() if group)
    for pattern in _ROOM:
        match = pattern.search(message)
        if match:
            return int(match["context"]) - int(match["prompt"])
    return None
