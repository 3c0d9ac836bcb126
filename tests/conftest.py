"""What all tests share: which run only when asked for, the order of files, and fork servers for all that judge.

Long forms and tests that need a cluster run only when their marker is asked for: `make slow`, `make soak`, `make ray`.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluators.judge.zygotes import Zygotes

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that put us in the background; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ASKED_FOR = ("soak", "ray", "slow")
# These take 10 to 35 s each; begun last, one of them would leave the other workers idle at the end.
FIRST = (
    "agent/test_review_verbs.py",
    "e2e/test_bench.py",
    "e2e/test_ask_tell.py",
    "evaluators/correctness/test_mutants.py",
    "exploits/test_exploits.py",
    "evaluators/cuda/test_build.py",
    "evaluators/correctness/test_honest.py",
    "faults/test_kills.py",
    "e2e/test_scripted_model.py",
    "evaluators/build/test_build.py",
    "faults/test_resources.py",
    "evaluators/cuda/test_emulate.py",
    "agent/playbook/test_formulas.py",
    "agent/playbook/test_numbers.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for, and begin with the longest files."""
    unwanted = [name for name in ASKED_FOR if name not in config.option.markexpr]
    left_out = {item for item in items if any(item.get_closest_marker(name) for name in unwanted)}
    config.hook.pytest_deselected(items=list(left_out))
    places = {Path(__file__).parent / name: place for place, name in enumerate(FIRST)}
    kept = [item for item in items if item not in left_out]
    items[:] = sorted(kept, key=lambda item: places.get(item.path, len(FIRST)))


@pytest.fixture(scope="session")
def zygotes() -> Iterator[Zygotes]:
    """Those of a judge, started on first use, once for all files: a pair of them costs two seconds of a core."""
    with Zygotes() as started:
        yield started
