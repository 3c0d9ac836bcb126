"""Long forms and tests that need a cluster run only when their marker is asked for: `make slow`, `make soak`, `make ray`."""

import pytest

ASKED_FOR = ("soak", "ray", "slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for."""
    unwanted = [name for name in ASKED_FOR if name not in config.option.markexpr]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
