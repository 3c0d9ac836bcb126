"""The candidate under a profiler: loaded, built and called as the judge would, with one warm call marked.

`python -P -m evaluators.inside.profiled REQUESTS INPUTS SOURCE CODE` serves the requests in the file one after another.
CODE is what another process of the candidate has compiled. The call with the option `profile` lies between
cudaProfilerStart and cudaProfilerStop, and nothing else does. It prints what the last request was answered, as JSON.

Limits: runs beside untrusted code; that the output is right has been judged elsewhere, with other inputs.
"""

import json
import mmap
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from evaluators.inside import version_key
from evaluators.inside.extension import CardExtensions, install, kept
from evaluators.inside.kept_code import modules, unpack
from evaluators.inside.serving import Message, serve

version_key.install()  # CODE was compiled under this key


class Script:
    """A channel that holds all its requests already; it ends at the first one that fails."""

    def __init__(self, requests: list[Message], source: bytes) -> None:
        self._requests = list(requests)
        self._source = source
        self.answers: list[Message] = []

    def receive(self, timeout_s: float | None = None) -> tuple[Message, bytes]:
        """The next request."""
        if not self._requests or (self.answers and "fault" in self.answers[-1]):
            raise EOFError
        request = self._requests.pop(0)
        return request, self._source if request["do"] == "load" else b""

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Keep an answer."""
        self.answers.append(message)


class CopiedMemory:
    """The judge's bytes; every region is a copy on the device."""

    device_type = "cuda"

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE)

    def region(self, offset: int, dtype: torch.dtype, count: int) -> torch.Tensor:
        """`count` elements from a byte offset on, one dimension."""
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=offset).cuda()

    def settle(self) -> None:
        """Copies by `cuda()` are done when it returns."""


class MarkingHarness:
    """Runs `forward` as it is; the call to be profiled is marked for the profiler."""

    def __init__(self) -> None:
        self._is_marked = False
        self._profiler = torch.cuda.cudart()  # type: ignore[no-untyped-call]

    @contextmanager
    def running(self) -> Iterator[None]:
        """What the candidate's own code runs under."""
        if not self._is_marked:
            yield
            return
        torch.cuda.synchronize()
        self._profiler.cudaProfilerStart()
        yield
        torch.cuda.synchronize()
        self._profiler.cudaProfilerStop()

    def begin(self, options: Message) -> None:
        """A call follows."""
        self._is_marked = options.get("profile") is True

    def report(self, outputs: list[torch.Tensor]) -> tuple[Message, bytes]:
        """Nothing but that the device is done."""
        torch.cuda.synchronize()
        return {}, b""

    def unsupported(self, error: BaseException) -> str:
        """Everything can run here."""
        return ""


def main(arguments: list[str]) -> None:
    """Serve what the files say."""
    requests, inputs, source, kept_files = (Path(name) for name in arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    unpack(kept_files)
    if built := modules():
        install(CardExtensions(kept(built)))
    script = Script(json.loads(requests.read_text()), source.read_bytes())
    serve(script, CopiedMemory(inputs), MarkingHarness())
    answer: dict[str, Any] = script.answers[-1] if script.answers else {}
    print(json.dumps({key: answer.get(key) for key in ("did", "fault", "message", "line") if key in answer}))


if __name__ == "__main__":
    main(sys.argv[1:])
