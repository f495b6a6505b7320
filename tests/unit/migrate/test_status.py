"""Where recorded revisions lie in a history, without a database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tbcv.errors import DatabaseAheadError, HistoryDivergedError, RefusedError, UnversionedDatabaseError
from tbcv.migrate.history import History, Revision
from tbcv.migrate.status import State, empty_status, place, require_known_place

PARENTS: dict[str, tuple[str, ...]] = {"a1": (), "a2": ("a1",), "b2": ("a1",), "c3": ("a2", "b2"), "d4": ("c3",)}
HISTORY = History({one: Revision(one, above, (), (), one, one, Path(f"{one}.py")) for one, above in PARENTS.items()})


@pytest.mark.parametrize(
    ("current", "state", "description"),
    [
        (("d4",), State.AT_HEAD, "at head"),
        (("c3",), State.BEHIND, "behind by 1"),
        (("a2", "b2"), State.BEHIND, "behind by 2"),
        (("a2",), State.BEHIND, "behind by 3"),
        (("zz",), State.AHEAD, "ahead"),
        (("yy", "zz"), State.AHEAD, "ahead"),
        (("a1", "zz"), State.DIVERGED, "diverged"),
        (("a1", "a2"), State.DIVERGED, "diverged"),
        (("a1", "d4"), State.DIVERGED, "diverged"),
    ],
)
def test_places(current: tuple[str, ...], state: State, description: str) -> None:
    """Revisions of one path are behind or at head, unknown ones ahead, and any other mixture is diverged."""
    status = place(current, HISTORY)
    assert (status.state, status.description, status.current) == (state, description, current)
    assert status.heads == ("d4",)
    assert set(status.unknown) == set(current) - set(PARENTS)


def test_what_a_database_has() -> None:
    """A revision is applied, pending, or neither can be told."""
    behind = place(("a2", "b2"), HISTORY)
    assert [behind.has(one) for one in ("a1", "b2", "c3", "d4")] == [True, True, False, False]
    assert place(("zz",), HISTORY).has("a1") is None
    assert empty_status(HISTORY).has("a1") is False
    assert replace(empty_status(HISTORY), state=State.UNVERSIONED).has("a1") is None


@pytest.mark.parametrize(("current", "error"), [(("zz",), DatabaseAheadError), (("a1", "zz"), HistoryDivergedError)])
def test_places_that_are_not_migrated(current: tuple[str, ...], error: type[RefusedError]) -> None:
    """A database whose place is unknown is refused, with the revisions and what to do."""
    with pytest.raises(error) as caught:
        require_known_place(place(current, HISTORY))
    assert "zz" in caught.value.message
    assert caught.value.hint


def test_an_unversioned_place() -> None:
    """Tables without a revision are refused, and the first of them are named."""
    tables = ("audit_logs", "metrics", "other", "workflows")
    status = replace(empty_status(HISTORY), state=State.UNVERSIONED, tables=tables)
    with pytest.raises(UnversionedDatabaseError, match="4 tables") as caught:
        require_known_place(status)
    assert "audit_logs, metrics, other, …" in caught.value.message


@pytest.mark.parametrize("current", [("d4",), ("a1",)])
def test_places_that_are(current: tuple[str, ...]) -> None:
    """A database on the path is migrated, and so is an empty one."""
    require_known_place(place(current, HISTORY))
    require_known_place(empty_status(HISTORY))
