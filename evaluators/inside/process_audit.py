"""What a candidate may not do to its process: start threads or processes, search the heap, load native code.

Threads and processes would compute where the operator record does not look, or after forward has returned. A Python
audit hook cannot be removed and refuses such an event while the candidate's own code runs; what was refused is noted,
so that a candidate that goes on in spite of it is found as well. Starting a thread is announced from Python 3.12 on
only, so the function itself is replaced too.
Limits: what CPython announces; code that already is native announces nothing.
"""

import _thread
import os
import shutil
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


# What Triton starts when it compiles for the device: its assembler, and a C compiler for the launcher.
COMPILERS = frozenset({"ptxas", "ptxas-blackwell", "gcc", "cc", "clang", "x86_64-linux-gnu-gcc"})


class ProcessAudit:
    """`watching` is entered around the candidate's code; `actions` is what it tried.

    compilers: programs that may be started, by name; only those that are installed, none from the scratch directory.
    """

    def __init__(self, compilers: frozenset[str] = frozenset()) -> None:
        self.actions: dict[str, int] = {}
        self._compilers = compilers
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

    def _is_compiler(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event != "subprocess.Popen" or not self._compilers:
            return False
        program = shutil.which(os.fsdecode(arguments[0] or arguments[1][0]))
        if program is None or Path(program).name not in self._compilers:
            return False
        return not os.path.realpath(program).startswith(os.path.realpath(os.environ.get("HOME", "/")))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._depth and event in _REFUSED and not self._is_compiler(event, arguments):
            self.actions[event] = self.actions.get(event, 0) + 1
            raise ForbiddenAction(
                f"a candidate that {_REFUSED[event]} ({event}) is rejected: forward does its own work"
            )
