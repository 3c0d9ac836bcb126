"""One fork server for all tests here."""

from pathlib import Path

import pytest

from sandbox import Zygote

PROGRAMS = str(Path(__file__).parent / "programs")


@pytest.fixture(scope="session")
def zygote():
    with Zygote(preload=("decimal",), env={"GIVEN": "1"}, search_path=(PROGRAMS,)) as running:
        yield running


@pytest.fixture
def start(zygote):
    """Start a program of sandbox_programs by its name."""
    return lambda name, arguments=None, *rest, **more: zygote.start(
        f"sandbox_programs:{name}", arguments, *rest, **more
    )
