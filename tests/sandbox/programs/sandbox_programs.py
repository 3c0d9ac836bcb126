"""Runs inside the sandbox: small honest and misbehaving programs for the contract tests."""

import json
import mmap
import os
import struct
import sys
import time
from pathlib import Path


def echo(channel, arguments, shared):
    channel.send({"arguments": arguments, "shared": list(shared)})
    while True:
        try:
            message, payload = channel.receive()
        except EOFError:
            return
        channel.send(message, payload[::-1])


def surroundings(channel, arguments, shared):
    channel.send(
        {
            "cwd": str(Path.cwd()),
            "files": [entry.name for entry in Path.cwd().iterdir()],
            "environment": dict(os.environ),
            "modules": sorted(sys.modules),
        }
    )


def increment_shared(channel, arguments, shared):
    with mmap.mmap(shared[0], arguments["size"]) as area:
        for index in range(arguments["size"]):
            area[index] = (area[index] + 1) % 256
    for change in (0, arguments["size"] * 2):
        try:
            os.ftruncate(shared[0], change)
        except OSError:
            continue
        channel.send({"resized": change})
    channel.send({"done": True})


def wait_for_message(channel, arguments, shared):
    try:
        channel.receive(timeout_s=0.05)
    except TimeoutError:
        channel.send({"timed out": True})


def sleep(channel, arguments, shared):
    time.sleep(arguments.get("s", 60))


def leave(channel, arguments, shared):
    print("some output")
    print("some complaint", file=sys.stderr)
    sys.exit(arguments["code"])


def fail(channel, arguments, shared):
    raise ValueError("a mistake in the program")


def write_raw(channel, arguments, shared):
    os.write(3, bytes.fromhex(arguments["hex"]))
    time.sleep(60)


def raw_frame(channel, arguments, shared):
    text = arguments["text"].encode()
    os.write(3, struct.pack("!IQ", len(text), 0) + text)
    time.sleep(60)


def large_payload(channel, arguments, shared):
    channel.send({}, bytes(arguments["size"]))
    channel.send({"after": True})
    time.sleep(60)


def close_channel(channel, arguments, shared):
    os.close(3)
    time.sleep(60)


def never_read(channel, arguments, shared):
    channel.send({})
    time.sleep(60)


def answer_then_end(channel, arguments, shared):
    channel.send({"last": json.dumps("word")}, b"payload")


def print_much(channel, arguments, shared):
    print("first")
    print("x" * (1 << 20))
    print("last")
