"""Triton's C module on a machine whose driver is a stub: compiled by the fork server, there for every program."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from triton.backends.nvidia import driver

from sandbox import Zygote

PROGRAM = """
import os

def main(channel, arguments, shared):
    from triton.backends.nvidia import driver

    os.environ["PATH"] = os.environ["CC"] = "/nowhere"  # no compiler any more
    utils = driver.CudaUtils()
    channel.send({"loads": callable(utils.load_binary), "described": driver.PyCUtensorMap is not None})
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A folder with a driver library that does nothing, found by Triton and by the loader."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    text = Path(driver.dirname, "driver.c").read_text()
    names = sorted(set(re.findall(r"\bcu[A-Z]\w*", text)))
    (tmp_path / "stub.c").write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in names))
    library = tmp_path / "libcuda.so.1"
    flags = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library)]
    subprocess.run(["gcc", *flags, str(tmp_path / "stub.c")], check=True)
    monkeypatch.setenv("TRITON_LIBCUDA_PATH", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "stub_program.py").write_text(PROGRAM)
    (tmp_path / "installed.py").write_text("from evaluators.inside import triton_driver\ntriton_driver.install()\n")
    return tmp_path


def test_programs_find_the_module_compiled(stub):
    with Zygote(preload=("installed",), search_path=(str(stub),)) as zygote, zygote.start("stub_program:main") as child:
        assert child.receive(30)[0] == {"loads": True, "described": True}


def test_a_machine_without_a_driver_is_no_error(stub):
    (stub / "libcuda.so.1").unlink()
    with Zygote(preload=("installed",), search_path=(str(stub),)) as zygote:
        assert zygote.tier.name
