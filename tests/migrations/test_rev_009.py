"""Revision 009: versions numbered per file."""

from __future__ import annotations

import logging

import pytest

from tests.migrations.chain import Chain
from tests.migrations.journey import Repair, repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import validation

pytestmark = pytest.mark.anyio


def version(key: str, path: str | None, day: int, number: object = 1) -> dict[str, object]:
    """Return a validation at 008 of a file on a day of March."""
    return validation(
        key,
        status="pass",
        file_path=path,
        version_number=number,
        created_at=f"2025-03-{day:02} 10:00:00.000001",
    )


@pytest.fixture
async def versioned(chain: Chain) -> Chain:
    """Return a database at 008 with several validations of some files, most of them version 1."""
    await chain.at("008")
    await chain.insert(
        "validation_results",
        version("c", "docs/a.md", 1),
        version("a", "docs/a.md", 3),
        version("b", "docs/a.md", 2, 7),
        version("y", "docs/b.md", 5),
        version("x", "docs/b.md", 5),
        version("alone", "docs/it's 日本.md", 1),
        version("counted", "docs/c.md", 1, 1),
        version("counted-2", "docs/c.md", 2, 2),
        version("nowhere", None, 1),
        version("nowhere-2", None, 2),
        version("nowhere-9", None, 3, 9),
        version("empty", "", 2),
        version("empty-2", "", 1),
    )
    return chain


NUMBERS = {
    "c": 1,
    "b": 2,
    "a": 3,
    "x": 1,
    "y": 2,
    "alone": 1,
    "counted": 1,
    "counted-2": 2,
    "nowhere": 1,
    "nowhere-2": 1,
    "nowhere-9": 9,
    "empty-2": 1,
    "empty": 2,
}


async def test_versions_follow_the_times_of_creation(versioned: Chain) -> None:
    """Each file counts from 1 by time and then by id; a validation of no file keeps its number."""
    await versioned.up("009")
    assert await versioned.column("validation_results", "version_number") == NUMBERS


async def test_numbers_that_2_0_did_not_write_are_recorded(versioned: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """A number other than 1 is in a record before it is counted anew; the ones of 2.0 are no repair."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await versioned.up("009")
    assert await repairs_of(versioned, "009") == {
        Repair("repaired", "validation_results", "version_number", "b", 7, 1),
        Repair("repaired", "validation_results", "version_number", "counted-2", 2, 1),
    }
    (record,) = caplog.records
    assert record.getMessage() == (
        "revision 009: repaired validation_results.version_number in 2 rows: "
        "versions are numbered anew from the times of creation"
    )


async def test_downgrade_restores_the_numbers(versioned: Chain) -> None:
    """The way back makes every version 1 again but those that were something else."""
    await there_and_back(versioned, "009")


async def test_sqlite_numbers_of_any_kind_survive(sqlite_chain: Chain) -> None:
    """Text and fractions in the column are counted anew, and restored with their types."""
    await sqlite_chain.at("008")
    odd = ("two", 1.5, b"\x02", 2**62, "1.0.0")
    await sqlite_chain.insert(
        "validation_results", *(version(f"v{day}", "docs/a.md", day + 1, number) for day, number in enumerate(odd))
    )
    above = await there_and_back(sqlite_chain, "009")
    assert [row["version_number"] for row in above["validation_results"].values()] == [1, 2, 3, 4, 5]


async def test_row_without_a_file_is_not_touched(versioned: Chain) -> None:
    """A validation of no file that somebody has renumbered since keeps its number on the way back."""
    await versioned.up("009")
    await versioned.execute("UPDATE validation_results SET version_number = 4 WHERE id = 'nowhere'")
    await versioned.down("008")
    assert (await versioned.column("validation_results", "version_number"))["nowhere"] == 4


async def test_database_refuses_a_second_row_of_a_version(versioned: Chain) -> None:
    """From 009 on a file has each version once."""
    await versioned.up("009")
    with pytest.raises(Exception, match=r"uq_validation_results|validation_results\.version_number"):
        await versioned.insert("validation_results", version("new", "docs/a.md", 4, 3))
