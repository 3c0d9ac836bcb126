"""What a host can count on when it talks to a program, whatever the program does."""

import os
import struct
import time
from pathlib import Path
from threading import Timer

import pytest

from sandbox import ChildEnded, Limits, Zygote, map_shared, shared_memory

PROGRAMS = str(Path(__file__).parent / "programs")


def ended(child, timeout_s=10.0, **more):
    with child, pytest.raises(ChildEnded) as caught:
        child.receive(timeout_s, **more)
    return caught.value


def test_messages_and_payloads_go_both_ways(start):
    with start("echo", {"a": [1, "ü"]}) as child:
        assert child.receive(10) == ({"arguments": {"a": [1, "ü"]}, "shared": []}, b"")
        payload = os.urandom(3 << 20)
        child.send({"n": 2}, payload)
        assert child.receive(10) == ({"n": 2}, payload[::-1])
        outcome = child.finish()
    assert (outcome.exit_code, outcome.signal, outcome.killed) == (0, None, None)
    assert outcome.tier in ("T1", "T2", "T3", "T4")


def test_arguments_larger_than_a_socket_buffer(start):
    with start("echo", {"text": "x" * (2 << 20)}) as child:
        assert len(child.receive(10)[0]["arguments"]["text"]) == 2 << 20


def test_the_last_message_of_an_ended_program_is_delivered(start):
    with start("answer_then_end") as child:
        time.sleep(0.3)
        assert child.receive(10) == ({"last": '"word"'}, b"payload")
        with pytest.raises(ChildEnded):
            child.receive(10)


def test_a_program_sees_its_scratch_and_nothing_of_the_host(start, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with start("surroundings") as child:
        seen, _ = child.receive(10)
    assert [name for name in seen["files"] if not name.startswith(".")] == []
    assert seen["environment"]["GIVEN"] == "1"
    assert seen["environment"]["TMPDIR"] == seen["environment"]["HOME"] == seen["cwd"]
    assert "sk-secret" not in str(seen["environment"])
    assert "decimal" in seen["modules"]
    assert not os.path.exists(seen["cwd"])  # noqa: PTH110 - also false for what we may not see


def test_a_program_sees_the_devices_that_its_owner_was_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with Zygote(search_path=(PROGRAMS,)) as zygote, zygote.start("sandbox_programs:surroundings") as child:
        assert child.receive(30)[0]["environment"]["CUDA_VISIBLE_DEVICES"] == "1"


def test_shared_memory_is_seen_by_both_and_cannot_be_resized(start):
    descriptor = shared_memory(8192)
    with map_shared(descriptor) as area:
        area[:3] = b"\x01\x02\xff"
        with start("increment_shared", {"size": 8192}, shared=(descriptor,)) as child:
            assert child.receive(10)[0] == {"done": True}
        assert area[:4] == b"\x02\x03\x00\x01"
    os.close(descriptor)


def test_a_program_can_wait_with_a_deadline(start):
    with start("wait_for_message") as child:
        assert child.receive(10)[0] == {"timed out": True}


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (7, 7), ("a reason", 1), (None, 0)])
def test_exit_codes_and_output(start, code, expected):
    error = ended(start("leave", {"code": code}))
    assert error.outcome.exit_code == expected
    assert "some output" in error.outcome.output
    assert "some complaint" in error.outcome.output
    assert code != "a reason" or "a reason" in error.outcome.output


def test_an_exception_is_output_and_exit_code_1(start):
    error = ended(start("fail"))
    assert error.outcome.exit_code == 1
    assert "ValueError: a mistake in the program" in error.outcome.output


def test_an_entry_that_does_not_exist(zygote):
    assert "ModuleNotFoundError" in ended(zygote.start("no_such_module:main")).outcome.output


def test_output_keeps_head_and_tail(start):
    with start("print_much", {}, Limits(output_kb=8)) as child:
        output = child.finish().output
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert "bytes not kept" in output
    assert len(output) < 9 << 10


def test_the_wall_clock_of_the_supervisor(start):
    error = ended(start("sleep", {}, Limits(wall_s=0.3)))
    assert error.outcome.killed == "timeout"
    assert 0.3 <= error.outcome.wall_s < 5


def test_the_deadline_of_a_message(start):
    error = ended(start("sleep"), timeout_s=0.2)
    assert error.outcome.killed == "timeout"
    assert "no message within 0.2 s" in str(error)


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage that is no frame at all, long enough for a prefix",
        struct.pack("!IQ", 5, 0) + b"{'a':",
        struct.pack("!IQ", 2, 1 << 50) + b"{}",
        struct.pack("!IQ", 1 << 31, 0),
    ],
    ids=["garbage", "not json", "endless payload", "endless message"],
)
def test_malformed_frames_end_the_program(start, raw):
    assert ended(start("write_raw", {"hex": raw.hex()})).outcome.killed == "protocol"


@pytest.mark.parametrize("text", ["[1]", "3", '"x"', "[" * 100_000, "1" * 10_000, "\udcff"[:0] + "{"])
def test_messages_that_are_no_objects_end_the_program(start, text):
    assert ended(start("raw_frame", {"text": text})).outcome.killed == "protocol"


def test_a_payload_is_bounded_by_the_receiver(start):
    assert ended(start("large_payload", {"size": 4097}), max_payload_bytes=4096).outcome.killed == "protocol"
    with start("large_payload", {"size": 4096}) as child:
        assert child.receive(10, max_payload_bytes=4096) == ({}, bytes(4096))


def test_a_half_frame_and_then_silence(start):
    half = struct.pack("!IQ", 100, 0) + b'{"a":'
    assert ended(start("write_raw", {"hex": half.hex()}), timeout_s=0.3).outcome.killed == "timeout"


def test_a_program_that_closes_its_channel_and_stays(start):
    assert ended(start("close_channel")).outcome.killed == "protocol"


def test_a_program_that_never_reads(start):
    with start("never_read", {}, Limits(wall_s=0.5)) as child:
        child.receive(10)
        with pytest.raises(ChildEnded) as caught:
            child.send({}, bytes(8 << 20))
    assert caught.value.outcome.killed == "timeout"


def test_another_thread_may_end_what_is_waited_for(start):
    with start("sleep") as child:
        Timer(0.3, child.cancel).start()
        began = time.monotonic()
        with pytest.raises(ChildEnded) as caught:
            child.receive(20)
        child.cancel()
    assert caught.value.outcome.killed == "cancelled"
    assert time.monotonic() - began < 5


def test_wishes_to_end_that_come_together_are_one(start):
    with start("sleep") as child:
        for _ in range(3):
            child.cancel()
        assert child.kill("timeout").killed == "cancelled"


def test_killing_is_idempotent_and_leaving_kills(start):
    with start("sleep") as child:
        assert child.kill().killed == "cancelled"
        assert child.kill() == child.finish()
        with pytest.raises(ChildEnded):
            child.send({})
    with start("sleep") as child:
        pass
    assert child.kill().killed == "cancelled"
