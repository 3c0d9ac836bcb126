"""What a profiler needs and a candidate is refused, tried from inside."""

import os
import subprocess
import sys
from pathlib import Path

# A child names a thread of its own, as CUDA does when a context is made.
_NAMING = "from pathlib import Path; Path('/proc/self/task').iterdir().__next__().joinpath('comm').write_text('named')"


def tried(channel, arguments, shared):
    """Each by name: "done", or the error."""
    actions = {
        "named pipe": lambda: os.mkfifo("pipe"),
        "child names a thread": lambda: subprocess.run(
            [sys.executable, "-c", _NAMING], check=True, capture_output=True
        ),
        "own /tmp": lambda: Path("/tmp/mine").write_text(""),
        "device node": lambda: os.mknod("node", 0o600 | 0o020000, os.makedev(1, 3)),
        "write of the kernel's settings": lambda: Path("/proc/sys/kernel/core_pattern").write_text("x"),
        "file outside": lambda: Path("/usr/mine").write_text(""),
    }
    said = {}
    for name, action in actions.items():
        try:
            action()
            said[name] = "done"
        except (OSError, subprocess.CalledProcessError) as error:
            said[name] = type(error).__name__
    channel.send(said)
