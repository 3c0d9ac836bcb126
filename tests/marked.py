"""Processes below a judge that was given a token, whoever their parent is now."""

import os
import time
from pathlib import Path


def new_token():
    """A device for judges that names no GPU, and marks every process below them."""
    return f"GPU-{os.getpid()}-{time.monotonic_ns()}"


def marked(token):
    """Process ids of judges, fork servers and candidates whose environment holds the token."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if token.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def gone(token, seconds=5.0):
    """Whether none is left, within this time."""
    deadline = time.monotonic() + seconds
    while marked(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not marked(token)
