"""What one process of a candidate compiled, laid down for another: Triton finds it there."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from evaluators.inside.kept_code import MODULES, archived, modules, packed, unpack
from evaluators.profiling.box import Job, run
from sandbox import Zygote


def test_tritons_own_cache_finds_what_was_packed_elsewhere(tmp_path, monkeypatch):
    from triton.runtime.cache import FileCacheManager

    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        (place / "triton").mkdir(parents=True)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(first / "triton"))
    kept = FileCacheManager("a key")
    kept.put_group("kernel.json", {"kernel.cubin": kept.put(b"\x7fELF", "kernel.cubin")})

    archive = tmp_path / "code.tar"
    archive.write_bytes(packed(first / "triton"))
    monkeypatch.chdir(second)
    unpack(archive)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(second / "triton"))
    found = FileCacheManager("a key").get_group("kernel.json")
    assert found is not None
    assert Path(found["kernel.cubin"]).read_bytes() == b"\x7fELF"
    assert Path(found["kernel.cubin"]).is_relative_to(second)


def test_modules_come_back_by_name_and_nothing_lies_outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = tmp_path / "code.tar"
    archive.write_bytes(archived({f"{MODULES}/extension_1.so": b"one"}))
    unpack(archive)
    assert modules() == {"extension_1": b"one"}
    archive.write_bytes(archived({"../outside.txt": b"no"}))
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(archive)
    assert not (tmp_path.parent / "outside.txt").exists()


def test_nothing_is_packed_where_nothing_or_too_much_was_compiled(tmp_path, monkeypatch):
    assert packed(tmp_path / "triton") == b""
    assert archived({"triton/a": bytes(49 << 20)}) == b""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.tar").touch()
    unpack(tmp_path / "empty.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.tar"]
    assert modules() == {}


def test_a_memory_file_is_laid_down_whole_for_every_program():
    descriptor = os.memfd_create("inputs")
    os.write(descriptor, b"four")
    line = ["/bin/sh", "-c", "cp inputs.bin report.csv"]
    with Zygote(("evaluators.inside.command",)) as server:
        jobs = [run(server, Job(line, 10.0, laid=("inputs.bin",), shared=(descriptor,))) for _ in range(2)]
    os.close(descriptor)
    assert [job.report for job in jobs] == ["four", "four"]


def test_the_profiled_process_asks_for_code_by_the_key_it_was_compiled_under():
    keys = {_key_in("evaluators.inside.on_device"), _key_in("evaluators.inside.profiled")}
    assert len(keys) == 1, keys


def _key_in(module):
    text = f"import {module}; from triton.runtime import cache; print(cache.triton_key())"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]
