"""How a place among the revisions is judged and described."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tbcv.api.database import require_usable
from tbcv.api.schema import Schema
from tbcv.engine.url import parse_database_url
from tbcv.errors import (
    DatabaseAheadError,
    DatabaseBehindError,
    HistoryDivergedError,
    RefusedError,
    UnversionedDatabaseError,
)
from tbcv.migrate.status import State, Status

ADDRESS = parse_database_url("postgresql://me:s3cret@db.example/tbcv")
AT_HEAD = Status(State.AT_HEAD, ("c",), ("c",))


def test_head_is_ready() -> None:
    """A database at head may be sent requests."""
    require_usable(AT_HEAD)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (Status(State.EMPTY, (), ("b",), ("a", "b")), DatabaseBehindError, "empty: a, b not applied"),
        (Status(State.BEHIND, ("a",), ("c",), ("b", "c")), DatabaseBehindError, "behind by 2: b, c not applied"),
        (Status(State.UNVERSIONED, (), ("c",), tables=("metrics",)), UnversionedDatabaseError, "metrics"),
        (Status(State.AHEAD, ("f",), ("c",), unknown=("f",)), DatabaseAheadError, "revision f"),
        (Status(State.DIVERGED, ("a", "b"), ("c",)), HistoryDivergedError, "a, b"),
    ],
    ids=str,
)
def test_no_other_state_is_ready(status: Status, error: type[RefusedError], words: str) -> None:
    """Every other state is refused with a reason that names the revisions or tables, and with advice."""
    with pytest.raises(error, match=words) as caught:
        require_usable(status)
    assert caught.value.hint


def test_a_schema_shows_no_password() -> None:
    """The description of a database names engine and address, and hides the password."""
    schema = Schema.of(ADDRESS, AT_HEAD)
    assert schema.model_dump(mode="json") == {
        "database": "postgresql://me:***@db.example/tbcv",
        "engine": "postgresql",
        "state": "at-head",
        "description": "at head",
        "current": ["c"],
        "head": "c",
        "heads": ["c"],
        "pending": [],
    }


def test_several_heads_are_not_one() -> None:
    """Where the history has two heads, there is no head to name."""
    schema = Schema.of(ADDRESS, Status(State.BEHIND, ("a",), ("b", "c"), ("b", "c")))
    assert schema.head is None
    assert schema.heads == ("b", "c")


def test_answers_are_frozen() -> None:
    """An answer cannot be changed once it is made."""
    with pytest.raises(ValidationError, match="frozen"):
        Schema.of(ADDRESS, AT_HEAD).state = State.EMPTY
