"""Runs inside the sandbox: takes more than it may, or refuses to go away."""

import ctypes
import mmap
import os
import signal
import sys
import time
from pathlib import Path


def spin(channel, arguments, shared):
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def stop_itself(channel, arguments, shared):
    os.kill(os.getpid(), signal.SIGSTOP)


def fork_bomb(channel, arguments, shared):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


def many_processes(channel, arguments, shared):
    for _ in range(arguments["count"]):
        if os.fork() == 0:
            time.sleep(60)
    time.sleep(60)


def grow(channel, arguments, shared):
    held = []
    while True:
        held.append(bytearray(os.urandom(1)) * (16 << 20))


def grow_in_children(channel, arguments, shared):
    for _ in range(4):
        if os.fork() == 0:
            block = bytearray(b"x") * (arguments["each_mb"] << 20)
            time.sleep(60 + len(block) * 0)
    time.sleep(60)


def grow_memfds(channel, arguments, shared):
    block = b"x" * (16 << 20)
    while True:
        descriptor = os.memfd_create("hog")
        os.write(descriptor, block)


def grow_shared(channel, arguments, shared):
    held = []
    while True:
        area = mmap.mmap(-1, 32 << 20)
        area.write(b"x" * (32 << 20))
        held.append(area)


def fill_disk(channel, arguments, shared):
    block = b"x" * (4 << 20)
    try:
        for number in range(1000):
            Path(f"file{number}").write_bytes(block)
            time.sleep(0.005)
    except OSError as error:
        sys.exit(f"errno {error.errno}")


def fill_inodes(channel, arguments, shared):
    try:
        for number in range(80000):
            os.close(os.open(f"{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        sys.exit(f"errno {error.errno}")


def flood(channel, arguments, shared):
    block = b"x" * (1 << 20)
    os.write(1, b"the first line\n")
    while True:
        os.write(1, block)


def crash(channel, arguments, shared):
    if arguments["how"] == "segfault":
        ctypes.string_at(0)
    if arguments["how"] == "recursion":
        libc = ctypes.CDLL(None)
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        sys.setrecursionlimit(1 << 30)

        def deeper(*_):
            libc.qsort(bytes(16), 2, 8, again)
            return 0

        again = compare(deeper)
        deeper()
    if arguments["how"] == "abort":
        os.abort()
    os._exit(0)


def leave_daemons(channel, arguments, shared):
    """Double-forked, in sessions of their own, deaf to polite signals, with the death signal of the kernel cleared."""
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                time.sleep(300)
            os._exit(0)
    time.sleep(0.2)
    channel.send({"left": 5})
    if arguments.get("stay"):
        time.sleep(300)


def run_away(channel, arguments, shared):
    """A chain that moves on by forking and setsid, faster than a polite look at the process list."""
    channel.send({})
    while True:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
