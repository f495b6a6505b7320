"""Revision 007: values that the service relies on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.migrations.chain import Chain
from tests.migrations.journey import repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import (
    MOMENT,
    audit,
    cache_entry,
    checkpoint,
    metric,
    recommendation,
    validation,
    workflow,
)

pytestmark = pytest.mark.anyio

DEFAULTS = {
    ("workflows", "total_steps"): 0,
    ("workflows", "current_step"): 0,
    ("workflows", "progress_percent"): 0,
    ("checkpoints", "can_resume_from"): 1,
    ("validation_results", "status"): "skipped",
    ("validation_results", "version_number"): 1,
    ("cache_entries", "access_count"): 0,
    ("cache_entries", "size_bytes"): 0,
    ("metrics", "name"): "unnamed",
}
MOMENTS = (
    ("workflows", "created_at"),
    ("workflows", "updated_at"),
    ("checkpoints", "created_at"),
    ("validation_results", "created_at"),
    ("validation_results", "updated_at"),
    ("recommendations", "created_at"),
    ("recommendations", "updated_at"),
    ("audit_logs", "created_at"),
    ("cache_entries", "created_at"),
    ("metrics", "created_at"),
)


def without(row: dict[str, Any], table: str) -> dict[str, Any]:
    """Return a row without the values that 007 requires."""
    lacking = {column for name, column in (*DEFAULTS, *MOMENTS) if name == table}
    return row | dict.fromkeys(lacking)


@pytest.fixture
async def lacking(chain: Chain) -> Chain:
    """Return a database at 006 in which one row of every table lacks all it may, and another lacks nothing."""
    await chain.at("006")
    rows = {
        "workflows": workflow("full", state="failed"),
        "checkpoints": checkpoint("full", "full"),
        "validation_results": validation("full", status="pass"),
        "recommendations": recommendation("full", "full", status="applied"),
        "audit_logs": audit("full"),
        "cache_entries": cache_entry("full"),
        "metrics": metric("full"),
    }
    for table, row in rows.items():
        key = "cache_key" if table == "cache_entries" else "id"
        empty = without(row, table) | {key: "empty"}
        if table == "cache_entries":
            empty["last_accessed"] = None
        await chain.insert(table, row, empty)
    await chain.insert("workflows", workflow("half", state="failed", created_at=None))
    await chain.insert("recommendations", recommendation("half", "full", status="applied", updated_at=None))
    await chain.insert("cache_entries", cache_entry("half", created_at=None))
    return chain


async def test_missing_values_get_the_default(lacking: Chain) -> None:
    """A row without a value gets the default; a row with values keeps them."""
    before = await lacking.everything()
    await lacking.up("007")
    after = await lacking.everything()
    assert {place: after[place[0]]["empty"][place[1]] for place in DEFAULTS} == DEFAULTS
    for table, rows in before.items():
        assert after[table]["full"] == rows["full"]


async def test_missing_times_come_from_the_row_or_the_clock(lacking: Chain) -> None:
    """A missing time is the row's other one where it has any, else that of the upgrade."""
    await lacking.up("007")
    after = await lacking.everything()
    assert after["workflows"]["half"]["created_at"] == after["workflows"]["half"]["updated_at"]
    assert after["recommendations"]["half"]["updated_at"].startswith(MOMENT)
    assert after["cache_entries"]["half"]["created_at"].startswith(MOMENT)
    for table, column in MOMENTS:
        age = datetime.now(UTC) - datetime.fromisoformat(after[table]["empty"][column]).replace(tzinfo=UTC)
        assert timedelta(0) <= age < timedelta(minutes=5)


async def test_every_value_given_is_recorded_and_counted(lacking: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Each value that a row did not have is in a record with its null, and a line in the log counts them."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await lacking.up("007")
    repairs = await repairs_of(lacking, "007")
    assert {repair.action for repair in repairs} == {"repaired"}
    assert {repair.before for repair in repairs} == {None}
    assert {(repair.table, repair.column) for repair in repairs if repair.key == "empty"} == {*DEFAULTS, *MOMENTS}
    assert {(repair.table, repair.column) for repair in repairs if repair.key == "half"} == {
        ("workflows", "created_at"),
        ("recommendations", "updated_at"),
        ("cache_entries", "created_at"),
    }
    assert len(repairs) == len(DEFAULTS) + len(MOMENTS) + 3
    lines = [record.getMessage() for record in caplog.records]
    assert "revision 007: repaired workflows.created_at in 2 rows: it had no value" in lines
    assert sum(int(line.split(" in ")[1].split()[0]) for line in lines) == len(repairs)


async def test_downgrade_takes_the_values_away_again(lacking: Chain) -> None:
    """The way back leaves the columns empty where they were empty."""
    await there_and_back(lacking, "007")


async def test_value_changed_since_is_not_clobbered(lacking: Chain) -> None:
    """A value that somebody has set since stays when the default is taken away."""
    await lacking.up("007")
    await lacking.execute("UPDATE metrics SET name = 'latency' WHERE id = 'empty'")
    await lacking.execute("UPDATE workflows SET total_steps = 7 WHERE id = 'empty'")
    await lacking.down("006")
    assert (await lacking.column("metrics", "name"))["empty"] == "latency"
    row = (await lacking.rows("workflows"))["empty"]
    assert (row["total_steps"], row["current_step"], row["created_at"]) == (7, None, None)


async def test_database_gives_the_defaults(chain: Chain) -> None:
    """From 007 on a row that names only what has no default is complete."""
    await chain.up("007")
    await chain.insert("workflows", {"id": "w", "type": "validate_file"})
    await chain.insert("metrics", {"id": "m"})
    row = (await chain.rows("workflows"))["w"]
    assert (row["state"], row["total_steps"], row["progress_percent"]) == ("pending", 0, 0)
    assert row["created_at"] is not None
    assert (await chain.column("metrics", "name"))["m"] == "unnamed"
    with pytest.raises(Exception, match=r"(?i)not.null"):
        await chain.insert("metrics", {"id": "none", "name": None})


async def test_times_beyond_the_calendar_survive(postgres_chain: Chain) -> None:
    """PostgreSQL's infinite and ancient times are taken over like any other."""
    await postgres_chain.at("006")
    odd = ("infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "9999-12-31 23:59:59.999999+00")
    await postgres_chain.insert(
        "workflows", *(workflow(moment, state="failed", created_at=None, updated_at=moment) for moment in odd)
    )
    above = await there_and_back(postgres_chain, "007")
    assert all(row["created_at"] == row["updated_at"] for row in above["workflows"].values())


async def test_sqlite_times_of_any_kind_survive(sqlite_chain: Chain) -> None:
    """A time that is none, which only SQLite admits, is left as it is, and taken over and restored as it is."""
    await sqlite_chain.at("006")
    odd = ("yesterday", "", 20250301, 1.5, b"\x00\xff", "2025-03-01T10:20:30Z")
    await sqlite_chain.insert(
        "workflows", *(workflow(repr(moment), state="failed", created_at=None, updated_at=moment) for moment in odd)
    )
    above = (await there_and_back(sqlite_chain, "007"))["workflows"]
    assert [(above[repr(one)]["created_at"], above[repr(one)]["updated_at"]) for one in odd] == [
        (one, one) for one in odd
    ]
