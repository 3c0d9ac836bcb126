"""What all tests share: which run only when asked for, and fork servers for every file that judges candidates itself.

Long forms and tests that need a cluster run only when their marker is asked for: `make slow`, `make soak`, `make ray`.
"""

from collections.abc import Iterator

import pytest

from evaluators.judge.zygotes import Zygotes

ASKED_FOR = ("soak", "ray", "slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for."""
    unwanted = [name for name in ASKED_FOR if name not in config.option.markexpr]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def zygotes() -> Iterator[Zygotes]:
    """Those of a judge, started on first use, once for all files: a pair of them costs two seconds of a core."""
    with Zygotes() as started:
        yield started
