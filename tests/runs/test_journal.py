"""The journal survives torn writes and full disks, and refuses to guess about damage."""

import json
import subprocess
import sys

import pytest

from runs.errors import DamagedJournal, NewerRun, RecordNotWritten, RunBusy
from runs.journal import Journal, read_events
from runs.nouns import SCHEMA, Finished
from runs.state import fold


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def event(n):
    return Finished(reason=f"reason {n} “ünïcode” \u2028 line", at="2026-01-01T00:00:00.000+00:00")


def write(path, count):
    with Journal(path) as journal:
        for n in range(count):
            journal.append(event(n))


def test_a_journal_that_cannot_be_opened_says_what_to_do(path):
    path.mkdir()
    with pytest.raises(RecordNotWritten, match=r"Is a directory; make it writable, or .* --runs-dir$"):
        Journal(path)


def test_events_come_back_as_they_were_written(path):
    write(path, 3)
    assert list(read_events(path)) == [event(0), event(1), event(2)]


def test_a_line_torn_at_any_byte_loses_only_itself(path, tmp_path):
    write(path, 2)
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(first, len(data) + 1):
        torn = tmp_path / f"{cut}.jsonl"
        torn.write_bytes(data[:cut])
        complete = cut >= len(data) - 1
        assert list(read_events(torn)) == [event(0), event(1)][: 2 if complete else 1]
        with Journal(torn) as journal:
            journal.append(event(9))
        assert list(read_events(torn))[-1] == event(9)
        assert len(list(read_events(torn))) == (3 if complete else 2)


def test_damage_in_the_middle_names_the_line(path):
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"event": "fin\x00' + lines[1][15:] + lines[2])
    with pytest.raises(DamagedJournal, match="line 2 is damaged"):
        list(read_events(path))


def test_an_unknown_field_is_damage(path):
    path.write_text(json.dumps({"schema": SCHEMA, "event": "finished", "reason": "x", "at": "y", "extra": 1}) + "\n")
    with pytest.raises(DamagedJournal, match=r"line 1.*extra"):
        list(read_events(path))


def test_a_newer_schema_is_refused(path):
    path.write_text(json.dumps({"schema": SCHEMA + 1, "event": "telepathy"}) + "\n")
    with pytest.raises(NewerRun, match="upgrade"):
        list(read_events(path))


def test_a_second_writer_is_refused_also_from_another_process(path):
    write(path, 1)
    program = f"import pathlib, runs.journal\nruns.journal.Journal(pathlib.Path({str(path)!r}))"
    with Journal(path):
        with pytest.raises(RunBusy):
            Journal(path)
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "RunBusy" in other.stderr


def test_a_full_disk_leaves_the_journal_whole(path):
    """A real ENOSPC: the file size limit of the process is reached in the middle of a line."""
    program = f"""
import pathlib, resource, signal
from runs.journal import Journal
from runs.nouns import Finished
from runs.errors import RecordNotWritten
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with Journal(pathlib.Path({str(path)!r})) as journal:
    for n in range(1000):
        try:
            journal.append(Finished(reason="x" * 100, at=str(n)))
        except RecordNotWritten as error:
            print(n, error)
            break
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    written, message = done.stdout.split(" ", 1)
    assert "cannot write" in message
    assert len(list(read_events(path))) == int(written) > 5
    assert path.read_bytes().endswith(b"\n")
    write(path, 1)
    assert fold(read_events(path)).finished == event(0).reason


def test_an_unwritable_directory_is_one_clear_line(tmp_path):
    with pytest.raises(RecordNotWritten, match="cannot open"):
        Journal(tmp_path / "missing" / "journal.jsonl")
