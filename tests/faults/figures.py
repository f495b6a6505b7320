"""The figures that the tests of faults find, printed as a table at the end of `make test-faults`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest

PROPERTY = "figures"
_SECONDS = 0.01


class Figures:
    """What one test has counted and measured.

    Args:
        node: The test; its report carries the figures, also from another process.
    """

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def note(self, what: str, figures: str) -> None:
        """Note a line of the table."""
        self._node.user_properties.append((PROPERTY, f"{what:<62} {figures}"))


def table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the lines that some tests have noted."""
    return sorted({str(line) for report in reports for name, line in report.user_properties if name == PROPERTY})


class Stalls:
    """Measures how long an event loop, or anything else that should keep beating, stood still.

    Args:
        clock: By which clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.longest = 0.0
        self.beats = 0
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Note that it still moves."""
        now = self._clock()
        self.longest = max(self.longest, now - self._last)
        self.beats += 1
        self._last = now
