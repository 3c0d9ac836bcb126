"""Error texts of the build: the candidate's own file and line, Triton's own words, a bounded length.

Limits: wording only; which kind a failure is was decided where it was caught.
"""

import linecache
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from evaluators.inside.capture_tape import Refusal

CANDIDATE_FILE = "candidate.py"
MAX_TEXT = 3000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # differs from run to run and says nothing


def config_text(config: Mapping[str, str] | None) -> str:
    """` (BLOCK=128, num_warps=4)`, or nothing without a configuration."""
    return f" ({', '.join(f'{name}={value}' for name, value in config.items())})" if config else ""


def exception_text(error: BaseException) -> str:
    """`Type: message` and the last lines of the candidate's own file that led there."""
    lines = [f"{type(error).__name__}: {error}".strip()]
    lines += [
        f"  {CANDIDATE_FILE}:{frame.lineno} in {frame.name}: {(frame.line or '').strip()}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(CANDIDATE_FILE)
    ][-4:]
    return "\n".join(lines)[:MAX_TEXT]


def refusal_text(refusal: Refusal) -> str:
    """What was refused and why."""
    config = config_text(dict(refusal.config))
    verb = "does not compile" if refusal.kind == "compile_error" else "cannot be launched"
    return f"kernel {refusal.kernel}{config} {verb}: {refusal.message}"


def compile_text(error: BaseException, kernel: Any) -> str:
    """Triton's text with the line of the candidate's file that it is about, callees of the kernel included."""
    parts: list[str] = []
    for step in _causes(error):
        text = _own_text(step, kernel)
        if text and text not in parts:
            parts.append(text)
    return "\n".join(parts)[:MAX_TEXT]


def _own_text(error: BaseException, kernel: Any) -> str:
    text = str(error).strip()
    line = getattr(getattr(error, "node", None), "lineno", None)
    source = getattr(error, "src", None)
    if line is None or source is None:
        return _ADDRESS.sub("", f"{type(error).__name__}: {text}")
    start = _first_line(kernel, source)
    where = f"{CANDIDATE_FILE}:{start + line - 1}: " if start else ""
    return f"{where}{type(error).__name__} {text}"


def _first_line(kernel: Any, source: str) -> int | None:
    """Line of the candidate's file at which the function begins whose text is `source`."""
    head = next((line for line in source.splitlines() if line.startswith(("def ", "async def "))), None)
    path = kernel.fn.__code__.co_filename
    numbers = [at for at, line in enumerate(linecache.getlines(path), 1) if head and line.strip() == head.strip()]
    offset = source.splitlines().index(head) if head else 0
    return numbers[0] - offset if numbers else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
