"""The two fork servers of a judge: one that compiles, one that interprets.

They are apart because Triton reads TRITON_INTERPRET when its own library is imported, once per process.
Limits: starting and ending them; what a candidate process does is evaluators/inside/.
"""

from functools import cached_property
from types import TracebackType
from typing import Self

from sandbox import Zygote

_PRELOAD = ("torch", "triton", "triton.language", "torch.overrides", "numpy")


class Zygotes:
    """Fork servers with torch and triton loaded, started on first use and ended together."""

    @cached_property
    def compile(self) -> Zygote:
        """Forks processes in which Triton compiles (no GPU is touched)."""
        return Zygote(preload=(*_PRELOAD, "evaluators.inside.capture"), env={"TRITON_CACHE_DIR": "triton-cache"})

    @cached_property
    def interpret(self) -> Zygote:
        """Forks processes in which Triton kernels run in the interpreter on CPU tensors."""
        return Zygote(preload=(*_PRELOAD, "evaluators.inside.interpret"), env={"TRITON_INTERPRET": "1"})

    def close(self) -> None:
        """End both servers and everything they forked."""
        for name in ("compile", "interpret"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
