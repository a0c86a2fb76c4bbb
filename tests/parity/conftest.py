"""Says at the end of a parity run how near each system came to its tolerance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parity.golden import WORST, say


@pytest.fixture(scope="session", autouse=True)
def worst_of_each_system() -> Iterator[None]:
    yield
    for system, (share, tensor) in sorted(WORST.items()):
        say(f"\n{system}: nearest to its tolerance is {tensor}, with {share:.0%} of it")
