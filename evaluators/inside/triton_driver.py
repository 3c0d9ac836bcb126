"""Triton's own C module, compiled once by the fork server: each process would do so before its first kernel (0.2 s).

Up to Triton 3.6 every kernel also has a launcher in C, for which each process starts a compiler: it does not optimize
them here (0.1 instead of 0.2 s).

Limits: loads the driver's library, which a fork survives, and makes no context. Where there is no compiler or no driver
nothing is done here, and each process meets that itself.
"""

import tempfile
from contextlib import suppress
from functools import partial

from triton import knobs
from triton.backends.nvidia import driver


def install() -> None:
    """From here on this process and those it forks have the module."""
    # Whatever is missing here, each process meets and tells itself.
    with suppress(Exception), tempfile.TemporaryDirectory() as folder, knobs.cache.scope():
        knobs.cache.dir = folder
        driver.CudaUtils()
        driver.CudaUtils.__init__ = lambda self: None  # it is one object, made just now
    driver.compile_module_from_src = partial(driver.compile_module_from_src, ccflags=["-O0"])
