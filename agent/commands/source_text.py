"""The text of a file that a user named as a kernel.

Limits: reads it; whether it is a kernel is found out by the judge.
"""

from pathlib import Path

from evaluators.errors import UsageError


def source_text(file: Path) -> str:
    """The text; letters that are no UTF-8 are replaced. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if "\0" in text and "ModelNew" not in text:
        raise UsageError(f"{file} is a binary file; name a Python file that defines ModelNew")
    return text
