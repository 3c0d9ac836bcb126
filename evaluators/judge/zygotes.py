"""The fork servers of a judge: one that compiles, one that interprets, and where there is a GPU one that runs on it.

They are apart because Triton reads TRITON_INTERPRET when its own library is imported, once per process. All of them are
branches of one server that has imported torch only, so that this is paid once.
Limits: starting and ending them; what a candidate process does is evaluators/inside/.
"""

import threading
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Self

from evaluators.profiling.place import Profiler
from sandbox import SandboxUnavailable, Zygote
from sandbox.tiers import Strictness

# Nothing that only compiles or interprets may reach a GPU, nor start the driver's threads before it forks.
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
_SHARED = ("torch", "torch.overrides", "numpy", "evaluators.inside.uncompiled")  # nothing that imports Triton
_PRELOAD = ("triton", "triton.language")


class Zygotes:
    """Fork servers with torch and triton loaded, started on first use and ended together.

    `strictness`: which sandbox tiers are accepted, see sandbox/tiers.py.
    """

    def __init__(self, strictness: Strictness = "auto") -> None:
        self._strictness = strictness
        self._trunk = Zygote(preload=_SHARED, strictness=strictness)

    @cached_property
    def compile(self) -> Zygote:
        """Forks processes in which Triton compiles (no GPU is touched)."""
        return self._zygote(
            ("evaluators.inside.capture", "evaluators.inside.cuda_run"), {"TRITON_CACHE_DIR": "triton-cache", **_NO_GPU}
        )

    @cached_property
    def interpret(self) -> Zygote:
        """Forks processes in which Triton kernels run in the interpreter on CPU tensors."""
        return self._zygote(("evaluators.inside.interpret",), {"TRITON_INTERPRET": "1", **_NO_GPU})

    @cached_property
    def device(self) -> Zygote:
        """Forks processes that use the GPU. The server never does: a CUDA context does not survive a fork."""
        return self._zygote(("evaluators.inside.on_device",), {})

    @cached_property
    def profiler(self) -> Profiler:
        """Forks processes that may run Nsight Compute."""
        return Profiler(self._strictness)

    def _zygote(self, preload: tuple[str, ...], env: dict[str, str]) -> Zygote:
        return self._trunk.branch(preload=(*_PRELOAD, *preload), env=env)

    @property
    def tier(self) -> str:
        """Name of the sandbox tier this machine gives (T1 is the strongest)."""
        return self.compile.tier.name

    def begin(self) -> None:
        """Start what all of them branch off in the background."""
        _start(self._trunk)

    def warm(self, *, has_gpu: bool) -> None:
        """Start them in the background; what keeps them from starting is said by the first request."""
        for zygote in (self.compile, self.interpret, *((self.device,) if has_gpu else ())):
            _start(zygote)

    def close(self) -> None:
        """End both servers and everything they forked."""
        for name in ("compile", "interpret", "device", "profiler"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()
        self._trunk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start(zygote: Zygote) -> None:
    threading.Thread(target=_started, args=(zygote,), daemon=True).start()


def _started(zygote: Zygote) -> None:
    with suppress(SandboxUnavailable):
        assert zygote.tier
