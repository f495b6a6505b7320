"""Revision 008: numbers within their ranges."""

from __future__ import annotations

import logging
import math
import sys
from typing import Any

import pytest

from tests.migrations.chain import Chain
from tests.migrations.journey import Repair, repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import cache_entry, checkpoint, recommendation, validation, workflow

pytestmark = pytest.mark.anyio

# table, column, what stands there, what it becomes
OUTSIDE = (
    ("workflows", "progress_percent", -1, 0),
    ("workflows", "progress_percent", 101, 100),
    ("workflows", "progress_percent", 2**31 - 1, 100),
    ("workflows", "total_steps", -(2**31), 0),
    ("workflows", "current_step", -5, 0),
    ("checkpoints", "step_number", -1, 0),
    ("validation_results", "version_number", 0, 1),
    ("validation_results", "version_number", -3, 1),
    ("recommendations", "confidence", 1.0000000000000002, 1),
    ("recommendations", "confidence", 85.0, 1),
    ("recommendations", "confidence", -5e-324, 0),
    ("recommendations", "confidence", -0.1, 0),
    ("recommendations", "confidence", 1e300, 1),
    ("recommendations", "confidence", sys.float_info.max, 1),
    ("recommendations", "confidence", math.inf, 1),
    ("recommendations", "confidence", -math.inf, 0),
    ("cache_entries", "access_count", -1, 0),
    ("cache_entries", "size_bytes", -100, 0),
)
WITHIN = (
    ("workflows", "progress_percent", 0),
    ("workflows", "progress_percent", 100),
    ("workflows", "total_steps", 2**31 - 1),
    ("validation_results", "version_number", 1),
    ("recommendations", "confidence", 0.0),
    ("recommendations", "confidence", 1.0),
    ("recommendations", "confidence", 0.1 + 0.2),
    ("recommendations", "confidence", 5e-324),
    ("recommendations", "confidence", None),
)
# What only SQLite admits: numbers of any size in any column, and text and blobs that are no numbers.
ONLY_SQLITE = (
    ("workflows", "progress_percent", 2**63 - 1, 100),
    ("workflows", "progress_percent", "half", 100),
    ("workflows", "progress_percent", "", 100),
    ("workflows", "progress_percent", 99.99999999999999999, 100.0),
    ("workflows", "progress_percent", 250.5, 100),
    ("workflows", "progress_percent", b"\x00\xff", 100),
    ("workflows", "total_steps", -(2**63), 0),
    ("workflows", "total_steps", -1e300, 0),
    ("recommendations", "confidence", "high", 1),
    ("recommendations", "confidence", "0.5 or so", 1),
    ("recommendations", "confidence", "nul\x00", 1),
    ("recommendations", "confidence", b"high", 1),
)


def row_with(table: str, key: str, column: str, value: object) -> dict[str, Any]:
    """Return a row of a table at 007 with one value."""
    make = {
        "workflows": lambda: workflow(key, state="failed"),
        "checkpoints": lambda: checkpoint(key, "w"),
        "validation_results": lambda: validation(key, status="pass"),
        "recommendations": lambda: recommendation(key, "v", status="applied"),
        "cache_entries": lambda: cache_entry(key),
    }
    return make[table]() | {column: value}


def key_of(table: str, column: str, value: object) -> str:
    """Return the key of the row with a value."""
    return f"{table[0]} {column[:14]} {value!r}"


@pytest.fixture
async def prepared(chain: Chain) -> Chain:
    """Return a database at 007 with values outside of their ranges, beside some within."""
    await chain.at("007")
    await chain.insert("workflows", workflow("w", state="failed"))
    await chain.insert("validation_results", validation("v", status="pass"))
    for table, column, value, *_ in (*OUTSIDE, *WITHIN):
        await chain.insert(table, row_with(table, key_of(table, column, value), column, value))
    return chain


async def test_values_are_clamped(prepared: Chain) -> None:
    """A value outside is moved to the nearest bound, and one within, or none, is left alone."""
    await prepared.up("008")
    found = await prepared.everything()
    for table, column, value, bound in OUTSIDE:
        assert found[table][key_of(table, column, value)][column] == bound, (table, column, value)
    for place, column, kept in WITHIN:
        assert repr(found[place][key_of(place, column, kept)][column]) == repr(kept)


async def test_old_values_are_recorded_and_counted(prepared: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Each value moved is in a record to its last digit, and lines in the log count them."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await prepared.up("008")
    expected = {
        Repair("repaired", table, column, key_of(table, column, value), as_recorded(prepared, value), bound)
        for table, column, value, bound in OUTSIDE
    }
    assert await repairs_of(prepared, "008") == expected
    lines = [record.getMessage() for record in caplog.records]
    assert "revision 008: repaired workflows.progress_percent in 2 rows: it was above 100" in lines
    assert "revision 008: repaired recommendations.confidence in 5 rows: it was above 1" in lines
    assert sum(int(line.split(" in ")[1].split()[0]) for line in lines) == len(expected)


def as_recorded(chain: Chain, value: object) -> object:
    """Return how a record spells a value: PostgreSQL writes an infinity as a word."""
    if not chain.sqlite and isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


async def test_downgrade_restores_the_last_bit(prepared: Chain) -> None:
    """The way back gives every value that was moved, infinities and all 17 digits included."""
    await there_and_back(prepared, "008")


async def test_not_a_number_is_clamped_and_restored(postgres_chain: Chain) -> None:
    """NaN, which only PostgreSQL can hold, counts as above every number, as PostgreSQL sorts it."""
    await postgres_chain.at("007")
    await postgres_chain.insert("validation_results", validation("v", status="pass"))
    await postgres_chain.insert("recommendations", recommendation("nan", "v", status="applied", confidence=math.nan))
    above = await there_and_back(postgres_chain, "008")
    assert above["recommendations"]["nan"]["confidence"] == 1
    assert {repair.before for repair in await repairs_of(postgres_chain, "008")} == {"NaN"}


async def test_sqlite_values_that_are_no_such_numbers_survive(sqlite_chain: Chain) -> None:
    """Text, blobs and numbers of another kind are moved into the range and restored with their types."""
    await sqlite_chain.at("007")
    await sqlite_chain.insert("validation_results", validation("v", status="pass"))
    for table, column, value, _ in ONLY_SQLITE:
        await sqlite_chain.insert(table, row_with(table, key_of(table, column, value), column, value))
    above = await there_and_back(sqlite_chain, "008")
    for table, column, value, bound in ONLY_SQLITE:
        assert above[table][key_of(table, column, value)][column] == bound, (table, column, value)


async def test_value_changed_since_is_not_clobbered(prepared: Chain) -> None:
    """A number that somebody has set since the repair stays when the old ones are put back."""
    key, other = (key_of("workflows", "progress_percent", value) for value in (101, -1))
    await prepared.up("008")
    await prepared.execute(f"UPDATE workflows SET progress_percent = 42 WHERE id = '{key}'")
    await prepared.down("007")
    percents = await prepared.column("workflows", "progress_percent")
    assert (percents[key], percents[other]) == (42, -1)


async def test_database_refuses_what_is_outside(prepared: Chain) -> None:
    """From 008 on the database itself keeps such values out."""
    await prepared.up("008")
    with pytest.raises(Exception, match="ck_recommendations_confidence_range"):
        await prepared.insert("recommendations", row_with("recommendations", "new", "confidence", 1.5))
