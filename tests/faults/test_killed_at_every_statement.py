"""A process that is killed before any statement of any revision leaves a database at a revision, with all its rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ENGINES
from tests.faults.commands import Done, Forge
from tests.faults.figures import Figures
from tests.faults.places import CHAIN, Place, Places, count, place

STRIDE = 1 if os.environ.get("TBCV_FAULTS") == "all" else 61
SESSIONS = 0
SIGTERMS = 5 if STRIDE == 1 else 3

pytestmark = pytest.mark.timeout(5400 if STRIDE == 1 else 300)


class Journeys:
    """The way up and the way down of one engine, made when they are asked for."""

    def __init__(self, places: Places) -> None:
        self.places = places

    @cached_property
    def up(self) -> list[Place]:
        """Every revision on the way up, from 001."""
        return self.places.upwards()

    @cached_property
    def down(self) -> list[Place]:
        """Every revision on the way down."""
        return self.places.downwards(self.up[-1])


@pytest.fixture(scope="module", params=ENGINES)
def journeys(
    request: pytest.FixtureRequest, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Journeys]:
    """Return the undisturbed journeys of an engine."""
    admin = "" if request.param == "sqlite" else request.getfixturevalue("postgres_admin_url")
    places = Places(forge, tmp_path_factory.mktemp("places"), admin)
    yield Journeys(places)
    places.clear()


def test_killed_on_the_way_up(journeys: Journeys, figures: Figures) -> None:
    """Kill -9 before any statement of an upgrade leaves a revision and its rows; the next upgrade goes on."""
    _kill_everywhere(journeys, figures, "upgrade", list(pairwise(journeys.up)))


def test_killed_on_the_way_down(journeys: Journeys, figures: Figures) -> None:
    """Kill -9 before any statement of a downgrade leaves a revision and its rows; the next downgrade goes on."""
    _kill_everywhere(journeys, figures, "downgrade", list(pairwise(journeys.down)))


def test_killed_while_the_schema_is_made(journeys: Journeys, figures: Figures) -> None:
    """Kill -9 before any statement of the first revision leaves an empty database or the whole revision."""
    places = journeys.places
    first = places.empty()
    places.forge.run("migrate", "--database-url", first, "upgrade", "-r", "001")
    _kill_everywhere(journeys, figures, "creation", [(Place(places.empty(), "base", {}), place(first))])


@pytest.mark.parametrize("what", ["upgrade", "downgrade"])
def test_sessions_ended_at_every_statement(what: str, journeys: Journeys, figures: Figures) -> None:
    """An administrator who ends the sessions of a migration at any statement leaves a revision and its rows."""
    if journeys.places.dialect == "sqlite":
        # There is no session that anybody else could end.
        return
    places = journeys.up if what == "upgrade" else journeys.down
    _kill_everywhere(journeys, figures, what, list(pairwise(places)), SESSIONS)


def test_terminated_on_the_way_up(journeys: Journeys, tmp_path: Path, figures: Figures) -> None:
    """SIGTERM at any statement rolls its revision back, says so, exits 143, and leaves a revision and its rows."""
    start, expected = journeys.up[0], {one.revision: one.rows for one in journeys.up}
    places, trace = journeys.places, tmp_path / "trace"
    whole = places.copy(start.url)
    places.forge.start("migrate", "--database-url", whole, "upgrade", trace=trace).finish()
    total = len(trace.read_text().splitlines())
    for number in range(total // (2 * SIGTERMS), total - 2, total // SIGTERMS):
        url = places.copy(start.url)
        done = places.forge.start(
            "migrate", "--database-url", url, "upgrade", kill_at=number, number=signal.SIGTERM
        ).finish()
        assert (done.code, done.line) == (143, "tbcv: ended by SIGTERM"), done
        left = place(url)
        assert left.rows == expected[left.revision]
        assert "was rolled back" in done.err
        assert f"the database is at {left.revision}" in done.err
        places.forge.run("migrate", "--database-url", url, "upgrade")
        assert place(url).rows == journeys.up[-1].rows
    figures.note(f"SIGTERM, {places.dialect}, the whole chain", f"{SIGTERMS} of {SIGTERMS} rolled back and resumed")


def _kill_everywhere(
    journeys: Journeys, figures: Figures, what: str, steps: list[tuple[Place, Place]], number: int = signal.SIGKILL
) -> None:
    places = journeys.places
    kills = boundaries = resumed = 0
    found: dict[bool, int] = {False: 0, True: 0}
    for before, after in steps:
        total = _boundaries(places, what, before, after)
        # Another first one for every step, so that the sample does not favour what all steps begin with.
        for boundary in range(1 + kills % STRIDE, total + 1, STRIDE):
            url = places.copy(before.url)
            done = _step(places, what, url, after.revision, kill_at=boundary, number=number)
            left = place(url)
            # What ends a session after the last commit hits the journal, whose lack is told and fails nothing.
            over = not number and left.revision == after.revision
            assert done.code == (-number if number else 0 if over else 3), done
            expected = before if left.revision == before.revision else after
            assert (left.revision, left.rows) == (expected.revision, expected.rows), f"{what}, statement {boundary}"
            done = _step(places, what, url, after.revision)
            assert done.code == 0, done
            left_over = place(url)
            assert (left_over.revision, left_over.rows) == (after.revision, after.rows)
            found[expected is after] += 1
            kills, resumed = kills + 1, resumed + 1
            places.drop(url)
        boundaries += total
    assert kills
    how = "kill -9" if number else "sessions ended"
    figures.note(
        f"{how}, {places.dialect}, {what} {steps[0][0].revision} to {steps[-1][1].revision}",
        f"{kills} kills at {boundaries} boundaries: {found[False]} before, {found[True]} after, 0 between; "
        f"{resumed} resumed; rows {count(steps[0][0].rows)} -> {count(steps[-1][1].rows)}, none lost",
    )


def _boundaries(places: Places, what: str, before: Place, after: Place) -> int:
    trace = places.directory / f"trace-{what}-{after.revision}"
    url = places.copy(before.url)
    assert _step(places, what, url, after.revision, trace=trace).code == 0
    assert place(url).rows == after.rows
    places.drop(url)
    return len(trace.read_text().splitlines())


def _step(
    places: Places,
    what: str,
    url: str,
    target: str,
    *,
    kill_at: int = 0,
    number: int = signal.SIGKILL,
    trace: Path | None = None,
) -> Done:
    assert target in CHAIN
    words = ("revert", url, target)
    if what != "downgrade":
        words = ("migrate", "--database-url", url, "upgrade", "-r", target)  # type: ignore[assignment]
    return places.forge.start(*words, kill_at=kill_at, number=number, trace=trace).finish()
