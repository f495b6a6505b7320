"""What of a change counts as a loss, as far as texts can tell."""

from __future__ import annotations

import pytest

from tbcv.migrate.losses.columns import widens
from tbcv.migrate.losses.model import How, Taken, once
from tbcv.migrate.losses.postgresql import updated_columns


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("integer", "INTEGER"),
        ("integer", "bigint"),
        ("smallint", "bigint"),
        ("real", "double precision"),
        ("character varying(20)", "character varying(50)"),
        ("character varying(20)", "character varying"),
        ("character varying(20)", "text"),
        ("VARCHAR(20)", "TEXT"),
        ("numeric(10,2)", "numeric(12,4)"),
        ("numeric(10,2)", "numeric"),
        ("timestamp(3) without time zone", "timestamp(6) without time zone"),
    ],
)
def test_wider_types(old: str, new: str) -> None:
    """A type that holds every value of another takes nothing away, and the way back may."""
    assert widens(old, new)
    assert old.lower() == new.lower() or not widens(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("numeric(10,2)", "numeric(10,4)"),
        ("numeric(12,4)", "numeric(14,2)"),
        ("timestamp without time zone", "timestamp with time zone"),
        ("text", "jsonb"),
        ("integer", "text"),
        ("mood", "text"),
        ("integer[]", "bigint[]"),
        ('"Odd"', "text"),
    ],
)
def test_other_types(old: str, new: str) -> None:
    """Between types of which none holds all values of the other, each way counts as a change of values."""
    assert not widens(old, new)
    assert not widens(new, old)


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("UPDATE things SET note = 'a, b = c' WHERE id = 1", {"note"}),
        ("update only public.things AS t set Note=$1, kind = coalesce(kind, 'x, y') from others", {"note", "kind"}),
        ('UPDATE "Things" SET "No te" = 1, (a, "B") = (SELECT x, y FROM z WHERE q), c[1] = 2', None),
        ('UPDATE "Things" SET "No te" = 1, (a, "B") = (SELECT x, y FROM z WHERE q)', {"No te", "a", "B"}),
        ("UPDATE things SET a = 1; UPDATE things SET b = 2", None),
        ("DO $$ BEGIN UPDATE things SET a = 1; END $$", None),
        ("WITH x AS (SELECT 1) UPDATE things SET a = 1", None),
    ],
)
def test_updated_columns(statement: str, columns: set[str] | None) -> None:
    """A plain UPDATE says what it assigns to; where that is not sure, nothing is claimed."""
    assert updated_columns(statement) == columns


def test_the_larger_loss_is_told() -> None:
    """What goes with its table or its column is not told again."""
    found = [
        Taken("a", None, How.DELETED),
        Taken("a", "x", How.DROPPED),
        Taken("a", None, How.DROPPED),
        Taken("b", "x", How.CHANGED),
        Taken("b", "x", How.DROPPED),
        Taken("b", "y", How.CHANGED),
        Taken("b", "y", How.CHANGED),
        Taken("b", None, How.DELETED),
    ]
    assert once(found) == [found[2], found[4], found[5], found[7]]
