"""A process that is killed before any statement of any revision leaves a database at a revision, with all its rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pytest

from tbcv.migrate.backup import list_backups
from tbcv.migrate.backup.shelf import check_files
from tests.conftest import ENGINES
from tests.faults.commands import Done, Forge
from tests.faults.figures import Figures
from tests.faults.places import CHAIN, Place, Places, count, place

STRIDE = 1 if os.environ.get("TBCV_FAULTS") == "all" else 61
SESSIONS = 0
SIGTERMS = 5 if STRIDE == 1 else 3
# Of the steps, one in so many is taken where all of them have been taken in another way already.
SOME = 1 if STRIDE == 1 else 4
# Before these nothing may have been changed yet that could be rolled back.
UNCHANGED = ("BEGIN", "SET LOCAL", "SAVEPOINT", "ROLLBACK")
# Before the end of a command: its last statements, and a sample of all that come before the run itself.
MOMENTS = range(1, 10_000, 25) if STRIDE == 1 else (6,)

pytestmark = pytest.mark.timeout(5400 if STRIDE == 1 else 300)


class Journeys:
    """The way up and the way down of one engine, made when they are asked for."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._boundaries: dict[tuple[str, str], list[str]] = {}

    @cached_property
    def up(self) -> list[Place]:
        """Every revision on the way up, from 001."""
        return self.places.upwards()

    @cached_property
    def down(self) -> list[Place]:
        """Every revision on the way down."""
        return self.places.downwards(self.up[-1])

    def boundaries(self, what: str, before: Place, after: Place) -> list[str]:
        """Return the statements and commits of an undisturbed step."""
        if (what, after.revision) not in self._boundaries:
            trace = self.places.directory / f"trace-{what}-{after.revision}"
            url = self.places.copy(before.url)
            assert _step(self.places, what, url, after.revision, trace=trace).code == 0
            assert place(url).rows == after.rows
            self.places.drop(url)
            self._boundaries[what, after.revision] = trace.read_text().splitlines()
        return self._boundaries[what, after.revision]


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
    _kill_everywhere(journeys, figures, "downgrade", some(journeys.down))


def test_killed_while_the_schema_is_made(journeys: Journeys, figures: Figures) -> None:
    """Kill -9 before any statement of the first revision leaves an empty database or the whole revision."""
    places = journeys.places
    first = places.empty()
    places.forge.run("migrate", "--database-url", first, "upgrade", "-r", "001")
    _kill_everywhere(journeys, figures, "creation", [(Place(places.empty(), "base", {}), place(first))])


def test_killed_while_the_models_make_the_schema(journeys: Journeys, figures: Figures) -> None:
    """Kill -9 before any statement of the start on an empty database leaves that, or head; the next start goes on."""
    places = journeys.places
    first = places.empty()
    places.forge.run("initialize", first)
    trace = places.directory / "trace-start"
    assert places.forge.start("initialize", places.empty(), trace=trace).finish().code == 0
    assert "CREATE TABLE workflows" in trace.read_text()
    assert "UPDATE alembic_version" not in trace.read_text()
    _kill_everywhere(journeys, figures, "start", [(Place(places.empty(), "base", {}), place(first))])


def test_killed_on_the_way_down_with_a_backup(journeys: Journeys, tmp_path: Path, figures: Figures) -> None:
    """Kill -9 anywhere in the command, losses and backup included, leaves a revision and no half backup; it goes on."""
    places, head = journeys.places, journeys.up[-1]
    rows = {one.revision: one.rows for one in journeys.down}
    backups, trace = tmp_path / "backups", tmp_path / "trace"
    environ = {"TBCV_BACKUP": "true", "TBCV_BACKUP_DIRECTORY": str(backups)}

    def command(url: str, kill_at: int = 0) -> Done:
        words = ("migrate", "--database-url", url, "downgrade", "-r", "009", "--yes")
        return places.forge.start(*words, kill_at=kill_at, environ=environ, trace=None if kill_at else trace).finish()

    whole = command(places.copy(head.url))
    assert whole.code == 0, whole
    assert len(list_backups(backups)) == 1
    total, found = len(trace.read_text().splitlines()), dict.fromkeys(rows, 0)
    moments = [total - moment for moment in MOMENTS if moment < total]
    for moment in moments:
        url = places.copy(head.url)
        assert command(url, moment).code == -signal.SIGKILL
        left = place(url)
        assert left.rows == rows[left.revision], f"statement {moment}"
        found[left.revision] += 1
        for backup in list_backups(backups):
            check_files(backup)
        done = command(url)
        assert done.code == 0, done
        assert (place(url).revision, place(url).rows) == ("009", rows["009"])
        places.drop(url)
    at = ", ".join(f"{number} at {revision}" for revision, number in found.items() if number)
    figures.note(f"kill -9, {places.dialect}, downgrade with its backup", f"{len(moments)} of {total} boundaries: {at}")


@pytest.mark.parametrize("what", ["upgrade", "downgrade"])
def test_sigterm_at_every_statement(what: str, journeys: Journeys, figures: Figures) -> None:
    """SIGTERM at any statement, up or down, rolls its revision back, says so and leaves a revision and its rows."""
    places = journeys.up if what == "upgrade" else journeys.down
    _kill_everywhere(journeys, figures, what, some(places, first=2), signal.SIGTERM)


@pytest.mark.parametrize("what", ["upgrade", "downgrade"])
def test_sessions_ended_at_every_statement(what: str, journeys: Journeys, figures: Figures) -> None:
    """An administrator who ends the sessions of a migration at any statement leaves a revision and its rows."""
    if journeys.places.dialect == "sqlite":
        # There is no session that anybody else could end.
        return
    places = journeys.up if what == "upgrade" else journeys.down
    _kill_everywhere(journeys, figures, what, some(places, first=1), SESSIONS)


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


def some(places: list[Place], first: int = 0) -> list[tuple[Place, Place]]:
    """Return a sample of the steps from place to place, or all of them."""
    return list(pairwise(places))[first % SOME :: SOME]


def _kill_everywhere(
    journeys: Journeys, figures: Figures, what: str, steps: list[tuple[Place, Place]], number: int = signal.SIGKILL
) -> None:
    places = journeys.places
    kills = boundaries = resumed = 0
    found: dict[bool, int] = {False: 0, True: 0}
    for before, after in steps:
        passed = journeys.boundaries(what, before, after)
        # Another first one for every step, so that the sample does not favour what all steps begin with.
        for boundary in range(1 + kills * 13 % min(STRIDE, len(passed)), len(passed) + 1, STRIDE):
            url = places.copy(before.url)
            done = _step(places, what, url, after.revision, kill_at=boundary, number=number)
            left = place(url)
            over = left.revision == after.revision
            assert done.code in _codes(number, over=over), done
            if number == signal.SIGTERM and not over and not passed[boundary - 1].startswith(UNCHANGED):
                assert "was rolled back" in done.err, done
            expected = before if left.revision == before.revision else after
            assert (left.revision, left.rows) == (expected.revision, expected.rows), f"{what}, statement {boundary}"
            done = _step(places, what, url, after.revision)
            assert done.code == 0, done
            left_over = place(url)
            assert (left_over.revision, left_over.rows) == (after.revision, after.rows)
            found[expected is after] += 1
            kills, resumed = kills + 1, resumed + 1
            places.drop(url)
        boundaries += len(passed)
    assert kills
    how = {int(signal.SIGKILL): "kill -9", int(signal.SIGTERM): "SIGTERM"}.get(number, "sessions ended")
    figures.note(
        f"{how}, {places.dialect}, {what} {steps[0][0].revision} to {steps[-1][1].revision}",
        f"{kills} kills at {boundaries} boundaries: {found[False]} before, {found[True]} after, 0 between; "
        f"{resumed} resumed; rows {count(steps[0][0].rows)} -> {count(steps[-1][1].rows)}, none lost",
    )


def _codes(number: int, *, over: bool) -> set[int]:
    """Return the exit codes that are right for what ended a process, after its last commit perhaps."""
    if number == signal.SIGKILL:
        return {-number}
    if number == signal.SIGTERM:
        # What has nothing left to do but to end may end as if nothing had been.
        return {143, 0} if over else {143}
    # What ends a session after the last commit hits the journal, whose lack is told and fails nothing.
    return {0} if over else {3}


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
    up = ("migrate", "--database-url", url, "upgrade", "-r", target)
    words = {"downgrade": ("revert", url, target), "start": ("initialize", url)}.get(what, up)
    return places.forge.start(*words, kill_at=kill_at, number=number, trace=trace).finish()
