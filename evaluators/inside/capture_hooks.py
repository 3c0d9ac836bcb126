"""Hooks into Triton's JIT and autotuner that put every compiled kernel and every configuration on the tape.

Limits: for the process that calls `install`, once, before the candidate is imported; nothing is undone.
"""

import functools
from typing import Any

import triton
import triton.testing
from triton.compiler.compiler import CompiledKernel
from triton.compiler.errors import CompilationError
from triton.runtime.autotuner import Autotuner
from triton.runtime.errors import OutOfResources, PTXASError
from triton.runtime.jit import JITFunction

from evaluators.inside.capture_driver import once
from evaluators.inside.capture_report import compile_text, config_text
from evaluators.inside.capture_tape import Tape

COMPILE_ERRORS = (CompilationError, OutOfResources, PTXASError)


def install(tape: Tape) -> None:
    """Hook the JIT, the autotuner, the compiled kernels and Triton's own benchmarks."""
    _hook_compiled_kernels(tape)
    _hook_jit(tape)
    _hook_autotuner(tape)
    triton.testing.do_bench = once
    triton.testing.do_bench_cudagraph = once


def _hook_compiled_kernels(tape: Tape) -> None:
    original = CompiledKernel.__init__

    @functools.wraps(original)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        tape.compiled(self)

    CompiledKernel.__init__ = remember


def _hook_jit(tape: Tape) -> None:
    compile_original, run_original = JITFunction._do_compile, JITFunction.run
    compiling: list[str] = []

    @functools.wraps(compile_original)
    def announced(self: Any, *args: Any, **kwargs: Any) -> Any:
        tape.announce(f"compiling {self.fn.__name__}{config_text(tape.config)}")
        compiling.append(self.fn.__name__)
        kernel = compile_original(self, *args, **kwargs)
        compiling.pop()
        tape.announce("")
        return kernel

    @functools.wraps(run_original)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        compiling.clear()
        try:
            return run_original(self, *args, **kwargs)
        except Exception as error:  # the candidate's own error - it is labelled here and goes on
            kind = "compile_error" if compiling or isinstance(error, COMPILE_ERRORS) else "runtime_error"
            error.__dict__["refusal"] = tape.refused(self.fn.__name__, kind, compile_text(error, self))
            raise

    JITFunction._do_compile = announced
    JITFunction.run = recorded


def _hook_autotuner(tape: Tape) -> None:
    run_original, bench_original = Autotuner.run, Autotuner._bench

    @functools.wraps(run_original)
    def tuned(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.cache.clear()  # every call tries every configuration again: the kernels are compiled only once
        self.cache_results = False
        self.__dict__["do_bench"] = once
        with tape.tuning():
            tape.config = _config(self.configs[0]) if len(self.configs) == 1 else None
            try:
                return run_original(self, *args, **kwargs)
            finally:
                tape.config = None

    @functools.wraps(bench_original)
    def benched(self: Any, *args: Any, config: Any, **meta: Any) -> Any:
        tape.config = _config(config)
        try:
            return bench_original(self, *args, config=config, **meta)
        finally:
            tape.config = None

    Autotuner.run = tuned
    Autotuner._bench = benched


def _config(config: Any) -> dict[str, str]:
    """What was tuned: meta-parameters, warps, stages, and the other options where they are not at their default."""
    options = {"num_ctas": config.num_ctas if config.num_ctas != 1 else None, "maxnreg": config.maxnreg}
    named = {**config.kwargs, "num_warps": config.num_warps, "num_stages": config.num_stages, **options}
    return {name: str(value) for name, value in named.items() if value is not None}
