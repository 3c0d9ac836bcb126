"""Builds what a candidate's process asks for while it runs, in the judge.

The child's load_inline sends its texts over a socket of its own and waits; compilers run here, outside the sandbox, on
bounded text without absolute includes. What was asked and how it went is kept for the verdict.
Limits: one candidate process per service; at most MAX_BUILDS different texts.
"""

import contextlib
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from evaluators.cuda.device import DeviceBuild, compile_for
from evaluators.cuda.extension import Extension
from evaluators.cuda.host import emulated
from evaluators.cuda.linking import Build, Loadable
from evaluators.cuda.text import forbidden_include, reason_against
from evaluators.errors import AgentError, MachineError
from evaluators.rungs import Failure
from sandbox import frames

MAX_BUILDS = 32


@dataclass(frozen=True)
class Built:
    """One text and what became of it."""

    extension: Extension
    device: DeviceBuild
    loadable: Loadable

    @property
    def failure(self) -> Failure | None:
        """Why the candidate is wrong; nvcc's word comes first."""
        return self.device.failure or self.loadable.failure


class BuildService:
    """Answers one child's requests in a thread; `endpoint` is the child's end of the socket."""

    def __init__(self, source: str, *, arch: str = "", build: Build | None = None) -> None:
        """`source`: the candidate's file, to name its lines. With `arch` a cubin is made too; its word comes first.

        Modules are for the emulation unless `build` makes others.
        """
        self._source = source
        self._arch = arch
        self._build = build or emulated
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="cuda-builds", daemon=True)
        self._trouble: Exception | None = None
        self.built: dict[str, Built] = {}

    @property
    def endpoint(self) -> int:
        """Descriptor of the child's end."""
        return self._theirs.fileno()

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both ends; a compiler that still runs ends by its own limit. Trouble of this machine is raised here."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._theirs.close()
        self._thread.join(timeout=5.0)
        self._ours.close()
        if self._trouble is not None and error is None:
            raise MachineError(f"CUDA text cannot be built on this machine: {self._trouble}") from self._trouble

    def _serve(self) -> None:
        channel = frames.Channel(self._ours)
        while True:
            try:
                request, _ = frames.read_frame(self._exactly, max_payload_bytes=0)
            except (EOFError, OSError, frames.MalformedFrame):
                return
            try:
                answer, binary = self._answer(request)
            except (AgentError, OSError) as error:  # a full disk, a compiler too old: ours, and the child must not wait
                self._trouble = error
                answer, binary = {"status": "unavailable", "message": str(error)}, b""
            with contextlib.suppress(OSError):
                channel.send(answer, binary)

    def _exactly(self, size_bytes: int) -> bytes:
        piece = self._ours.recv(size_bytes, socket.MSG_WAITALL) if size_bytes else b""
        if len(piece) < size_bytes:
            raise EOFError
        return piece

    def _answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        try:
            extension = Extension.model_validate(request)
        except ValidationError as error:
            return {"status": "failed", "message": f"load_inline: {error.errors()[0]['msg']}"}, b""
        if extension.id not in self.built and len(self.built) >= MAX_BUILDS:
            return {"status": "failed", "message": f"more than {MAX_BUILDS} different extensions"}, b""
        built = self.built.get(extension.id) or self._compiled(extension)
        self.built[extension.id] = built
        if built.failure:
            return {"status": "failed", "message": built.failure.message}, b""
        if built.loadable.unverified:
            return {"status": "unavailable", "message": built.loadable.unverified}, b""
        return {"status": "built", "module": extension.module_name}, built.loadable.module

    def _compiled(self, extension: Extension) -> Built:
        reason = forbidden_include(extension.sections) or reason_against(extension)
        if reason:
            return Built(extension, DeviceBuild(failure=Failure("rejected", reason)), Loadable())
        device = compile_for(self._arch, extension, self._source) if self._arch else DeviceBuild()
        if device.failure:
            return Built(extension, device, Loadable())
        return Built(extension, device, self._build(extension, self._source))
