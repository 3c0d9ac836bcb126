"""What a candidate may not do to its process: start threads or processes, search the heap, load native code.

Threads and processes would compute where the operator record does not look, or after forward has returned. A Python
audit hook cannot be removed and refuses such an event while the candidate's own code runs; what was refused is noted,
so that a candidate that goes on in spite of it is found as well. Starting a thread is announced from Python 3.12 on
only, so the function itself is replaced too.
Limits: what CPython announces; code that already is native announces nothing.
"""

import _thread
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_REFUSED = {
    "_thread.start_new_thread": "starts a thread",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.exec": "starts a program",
    "os.system": "starts a program",
    "subprocess.Popen": "starts a program",
    "gc.get_objects": "searches the heap",
    "gc.get_referrers": "searches the heap",
    "gc.get_referents": "searches the heap",
    "ctypes.dlopen": "loads native code",
    "socket.connect": "opens a connection",
    "socket.bind": "opens a connection",
}


class ForbiddenAction(RuntimeError):
    """Raised into the candidate's code."""


# What Triton and torch do by themselves when they compile for a device and find their way around its driver.
_OF_TOOLCHAIN = frozenset({"subprocess.Popen", "os.posix_spawn", "ctypes.dlopen"})
_STANDARD_LIBRARY = str(Path(os.__file__).parent)


class ProcessAudit:
    """`watching` is entered around the candidate's code; `actions` is what it tried.

    toolchain: directories of packages that may start programs and load libraries on their own account, because they
    compile; whoever calls through the standard library alone is not one of them.
    """

    def __init__(self, toolchain: tuple[str, ...] = ()) -> None:
        self._toolchain = toolchain
        self.actions: dict[str, int] = {}
        self._depth = 0
        sys.addaudithook(self._hook)
        start = _thread.start_new_thread

        def start_new_thread(*arguments: Any) -> int:
            self._hook("_thread.start_new_thread", arguments)
            return start(*arguments)

        for module, name in ((_thread, "start_new_thread"), (_thread, "start_new"), (threading, "_start_new_thread")):
            setattr(module, name, start_new_thread)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Refuse what the candidate must not do."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _is_of_toolchain(self, event: str) -> bool:
        """Whether the code that called into the standard library belongs to the toolchain."""
        frame = sys._getframe(1) if self._toolchain and event in _OF_TOOLCHAIN else None
        while frame is not None:
            name = frame.f_code.co_filename
            is_passed_on = name == __file__ or name.startswith("<frozen") or _is_standard(name)
            if not is_passed_on:
                return name.startswith(self._toolchain)
            frame = frame.f_back
        return False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._depth and event in _REFUSED and not self._is_of_toolchain(event):
            self.actions[event] = self.actions.get(event, 0) + 1
            what = f"{event} {str(arguments[:1])[:100]}"
            raise ForbiddenAction(f"a candidate that {_REFUSED[event]} ({what}) is rejected: forward does its own work")


def _is_standard(filename: str) -> bool:
    return filename.startswith(_STANDARD_LIBRARY) and "-packages" not in filename
