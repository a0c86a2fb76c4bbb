"""Says which comparisons there is nothing for, and at the end how near each system came to its tolerance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parity.golden import WORST, golden_root, say


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take out, with a line, what has no fixture to run on, which pytest would skip."""
    lacking = [
        item
        for item in items
        if any("empty parameter set" in str(mark.kwargs.get("reason")) for mark in item.iter_markers("skip"))
        and __file__.startswith(str(item.path.parent))
    ]
    for item in lacking:
        say(
            f"{item.path.name} {getattr(item, 'originalname', item.name)}: left out, no fixture in {golden_root()}"
        )
    items[:] = [item for item in items if item not in lacking]


@pytest.fixture(scope="session", autouse=True)
def worst_of_each_system() -> Iterator[None]:
    yield
    for system, (share, tensor) in sorted(WORST.items()):
        say(f"\n{system}: nearest to its tolerance is {tensor}, with {share:.0%} of it")
