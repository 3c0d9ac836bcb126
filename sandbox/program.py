"""The two innermost processes: init (trusted, reaps and reports) and the program itself behind every layer.

Limits: the program's exit status is all that leaves here besides its output and its channel.
"""

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import NoReturn

from sandbox.contract import Limits
from sandbox.environment import program_environment
from sandbox.frames import Channel
from sandbox.layers.kernel import PR_SET_PDEATHSIG, prctl
from sandbox.tiers import Plan

_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True)
class Placement:
    """Where and how one program runs."""

    plan: Plan
    limits: Limits
    entry: str
    scratch: str
    env: dict[str, str]


def run_init(placement: Placement, pipes: tuple[int, int], given: tuple[int, ...]) -> NoReturn:
    """Fork the program, wait for it, report its wait status. `given`: the channel, then the shared descriptors."""
    output_write, news_write = pipes
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            _run_program(placement, output_write, news_write, given)
        for descriptor in (output_write, *given):
            os.close(descriptor)
        while (waited := os.wait())[0] != pid:
            pass
        news: dict[str, object] = {"wait_status": waited[1]}
    except BaseException as error:  # noqa: BLE001 - trusted code; its failure is the machine's and must be reported
        news = {"failure": f"the sandbox's init failed: {type(error).__name__}: {error}"}
    os.write(news_write, json.dumps(news).encode())
    os._exit(0)


def _run_program(placement: Placement, output_write: int, news_write: int, given: tuple[int, ...]) -> NoReturn:
    """Put on the layers, then run the entry; a layer that does not take hold ends the program before it began."""
    try:
        channel, shared, news = _arrange_descriptors(output_write, news_write, given)
        _confine(placement)
    except BaseException as error:  # noqa: BLE001 - trusted code; no program may run behind half of the layers
        failure = {"failure": f"a layer of the sandbox failed: {type(error).__name__}: {error}"}
        os.write(news_write, json.dumps(failure).encode())
        os._exit(1)
    os.close(news)
    _call_entry(placement.entry, channel, shared)


def _arrange_descriptors(
    output_write: int, news_write: int, given: tuple[int, ...]
) -> tuple[int, tuple[int, ...], int]:
    """Standard streams, then the channel, the shared descriptors and (until the layers are on) the news pipe."""
    wanted = [os.open(os.devnull, os.O_RDONLY), output_write, output_write, *given, news_write]
    high = 1 << 9  # above every number in use, so that no source is overwritten before it is moved
    for offset, descriptor in enumerate(wanted):
        os.dup2(descriptor, high + offset, inheritable=False)
    for target in range(len(wanted)):
        os.dup2(high + target, target, inheritable=True)
    os.closerange(len(wanted), 1 << 16)
    channel, *shared = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + len(given))
    os.set_inheritable(channel, False)
    return channel, tuple(shared), len(wanted) - 1


def _confine(placement: Placement) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.chdir(placement.scratch)
    os.environ.clear()
    os.environ.update(program_environment(placement.scratch, placement.env))


def _call_entry(entry: str, channel: int, shared: tuple[int, ...]) -> NoReturn:
    code = 1
    sys.argv = [entry]
    sys.stdout = open(1, "w", closefd=False)  # noqa: PTH123, SIM115 - the descriptor outlives the object
    sys.stderr = open(2, "w", closefd=False)  # noqa: PTH123, SIM115 - the descriptor outlives the object
    try:
        link = Channel(socket.socket(fileno=channel))
        arguments, _ = link.receive()
        module, function = entry.split(":")
        getattr(importlib.import_module(module), function)(link, arguments, shared)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - untrusted code runs here; its traceback is its output
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code & 255)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - untrusted code may have replaced the stream with anything
            continue
