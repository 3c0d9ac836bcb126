"""The text of a file that a user named as a kernel or as a reply.

Limits: reads it; whether it is a kernel is found out by the judge, what a reply holds by agent/reply.py.
"""

import sys
from pathlib import Path

from evaluators.errors import UsageError


def source_text(file: Path) -> str:
    """The text of a kernel file; letters that are no UTF-8 are replaced. Raises UsageError."""
    text = _read(file)
    if "\0" in text and "ModelNew" not in text:
        raise UsageError(f"{file} is a binary file; name a Python file that defines ModelNew")
    return text


def reply_text(file: Path) -> str:
    """The text of a reply; - reads standard input. Raises UsageError."""
    return sys.stdin.read() if str(file) == "-" else _read(file)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
