"""Built files under the user's cache directory, by the hash of everything that went into them.

Written by the judge only; a candidate's process is handed bytes, never a path into it. Limits: the oldest entries are
dropped beyond a count; a directory that cannot be written makes every build a fresh one, no error.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

from evaluators.cuda.toolchain import INCLUDE

_MAX_ENTRIES = 512


def directory() -> Path:
    """`$XDG_CACHE_HOME/kernel-agent/cuda`, by default under ~/.cache."""
    home = Path(os.environ.get("HOME") or tempfile.gettempdir())
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "kernel-agent" / "cuda"


def key_of(*parts: str) -> str:
    """Hash of the parts and of our own headers."""
    return hashlib.sha256("\0".join((*parts, headers_hash())).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@functools.cache
def headers_hash() -> str:
    """Hash of every header and source of ours that a build reads."""
    files = sorted(path for path in INCLUDE.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(INCLUDE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def load(key: str) -> bytes | None:
    """The file kept under `key`, if any."""
    with contextlib.suppress(OSError):
        return (directory() / key).read_bytes()
    return None


def store(key: str, content: bytes) -> None:
    """Keep a file; it appears whole or not at all."""
    with contextlib.suppress(OSError):
        directory().mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(dir=directory(), prefix="new-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(path).replace(directory() / key)
        _drop_oldest()


def _drop_oldest() -> None:
    entries = sorted(directory().iterdir(), key=lambda path: path.stat().st_mtime)
    for path in entries[: max(0, len(entries) - _MAX_ENTRIES)]:
        path.unlink(missing_ok=True)
