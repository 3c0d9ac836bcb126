"""The text of a file that a user named as a kernel or as a reply.

Limits: reads it; whether it is a kernel is found out by the judge, what a reply holds by agent/reply.py.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

from evaluators.errors import UsageError


def source_text(file: Path) -> str:
    """The text of a kernel file. Raises UsageError."""
    text = _text(file, file.read_bytes)
    if "\0" in text and "ModelNew" not in text:
        raise UsageError(f"{file} is a binary file; name a Python file that defines ModelNew")
    return text


def reply_text(file: Path) -> str:
    """The text of a reply; - reads standard input. Raises UsageError."""
    return _text(file, sys.stdin.buffer.read if str(file) == "-" else file.read_bytes)


def _text(file: Path, read: Callable[[], bytes]) -> str:
    try:
        return io.StringIO(read().decode("utf-8"), newline=None).getvalue()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        fault = f"is no UTF-8 text (byte {error.start})"
        raise UsageError(f"{file} {fault}: a binary file, or to be saved as UTF-8 first") from None
