"""Revision 006: enumerations as lower-case values, and nothing else."""

from __future__ import annotations

import logging

import pytest

from tests.migrations.chain import Chain
from tests.migrations.journey import Repair, repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import recommendation, validation, workflow

pytestmark = pytest.mark.anyio

STATES = ("PENDING", "RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED")
VERDICTS = ("PASS", "FAIL", "WARNING", "SKIPPED", "APPROVED", "REJECTED", "ENHANCED")
STAGES = ("PROPOSED", "PENDING", "APPROVED", "REJECTED", "APPLIED")

# what stands in the column -> what it becomes
STATE_DIRT = {
    "Running": "running",
    "paused": "paused",
    "": "failed",
    " PENDING": "failed",
    "DONE": "failed",
    "it's": "failed",
    '{"a": 1}': "failed",
    "naïve 日本 😀": "failed",
    "\\x00:y %s": "failed",
}
VERDICT_DIRT = {"COMPLETED": "pass", "completed": "pass", "Completed": "pass", "pass": "pass", "OK": "skipped"}
STAGE_DIRT = {"Applied": "applied", "accepted": "proposed", "PASS": "proposed"}

REASONS = {
    "completed means pass": 3,
    "it was not in upper case": 4,
    "it was no member of the enumeration": 10,
}


@pytest.fixture
async def dirty(chain: Chain) -> Chain:
    """Return a database at 005 with every member of each enumeration, and with values that are none."""
    await chain.at("005")
    await chain.insert("workflows", *(workflow(f"s {text}", state=text) for text in (*STATES, *STATE_DIRT)))
    await chain.insert(
        "validation_results",
        *(validation(f"v {text}", status=text) for text in (*VERDICTS, *VERDICT_DIRT)),
        validation("v none", status=None),
    )
    await chain.insert(
        "recommendations",
        *(recommendation(f"r {text}", "v PASS", status=text) for text in (*STAGES, *STAGE_DIRT)),
    )
    return chain


async def test_members_become_lower_case(dirty: Chain) -> None:
    """Every member of 2.0 becomes its lower-case value and is nothing to record; NULL is left to 007."""
    await dirty.up("006")
    states = await dirty.column("workflows", "state")
    assert [states[f"s {text}"] for text in STATES] == [text.lower() for text in STATES]
    verdicts = await dirty.column("validation_results", "status")
    assert [verdicts[f"v {text}"] for text in VERDICTS] == [text.lower() for text in VERDICTS]
    assert verdicts["v none"] is None
    stages = await dirty.column("recommendations", "status")
    assert [stages[f"r {text}"] for text in STAGES] == [text.lower() for text in STAGES]


async def test_other_values_are_repaired_and_recorded(dirty: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Completed becomes pass, another case is put right, the rest gets the unknown value: all with a record."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await dirty.up("006")
    states = await dirty.column("workflows", "state")
    assert {text: states[f"s {text}"] for text in STATE_DIRT} == STATE_DIRT
    verdicts = await dirty.column("validation_results", "status")
    assert {text: verdicts[f"v {text}"] for text in VERDICT_DIRT} == VERDICT_DIRT
    stages = await dirty.column("recommendations", "status")
    assert {text: stages[f"r {text}"] for text in STAGE_DIRT} == STAGE_DIRT
    expected = {
        Repair("repaired", table, column, f"{letter} {text}", text, value.upper())
        for table, column, letter, dirt in (
            ("workflows", "state", "s", STATE_DIRT),
            ("validation_results", "status", "v", VERDICT_DIRT),
            ("recommendations", "status", "r", STAGE_DIRT),
        )
        for text, value in dirt.items()
    }
    assert await repairs_of(dirty, "006") == expected
    counts = dict.fromkeys(REASONS, 0)
    for record in caplog.records:
        head, _, reason = record.getMessage().rpartition(": ")
        counts[reason] += int(head.split()[-2])
    assert counts == REASONS


async def test_downgrade_restores_every_spelling(dirty: Chain) -> None:
    """The way back gives every row the very text that it had."""
    await there_and_back(dirty, "006")


async def test_database_refuses_what_is_no_member(dirty: Chain) -> None:
    """From 006 on the database itself keeps other values out."""
    await dirty.up("006")
    with pytest.raises(Exception, match="ck_workflows_state"):
        await dirty.insert("workflows", workflow("new", state="COMPLETED"))


async def test_value_changed_since_is_not_clobbered(dirty: Chain) -> None:
    """A status that somebody has set since the repair survives the downgrade, in the spelling of 2.0."""
    await dirty.up("006")
    await dirty.execute("UPDATE workflows SET state = 'cancelled' WHERE id = 's DONE'")
    await dirty.execute("UPDATE validation_results SET status = 'rejected' WHERE id = 'v COMPLETED'")
    await dirty.down("005")
    states = await dirty.column("workflows", "state")
    assert (states["s DONE"], states["s it's"]) == ("CANCELLED", "it's")
    verdicts = await dirty.column("validation_results", "status")
    assert (verdicts["v COMPLETED"], verdicts["v completed"]) == ("REJECTED", "completed")


async def test_sqlite_values_of_any_kind_survive(sqlite_chain: Chain) -> None:
    """What SQLite admits in a text column, and 2.0 could not have read, is recorded and restored as it was."""
    await sqlite_chain.at("005")
    odd = (b"PASS", b"\x00\xff", "PASS\x00", "\x00", "\N{LATIN SMALL LETTER LONG S}KIPPED", "x" * 100_000)
    await sqlite_chain.insert(
        "validation_results", *(validation(f"v{number}", status=value) for number, value in enumerate(odd))
    )
    above = await there_and_back(sqlite_chain, "006")
    statuses = [row["status"] for row in above["validation_results"].values()]
    assert statuses == ["pass", *["skipped"] * 5]
    assert len(await sqlite_chain.records("006")) == len(odd)


async def test_letters_of_other_alphabets_are_no_members(postgres_chain: Chain) -> None:
    """A character that only a locale takes for the same letter makes no member, and is restored."""
    await postgres_chain.at("005")
    await postgres_chain.insert("validation_results", validation("v", status="S\N{KELVIN SIGN}IPPED"))
    above = await there_and_back(postgres_chain, "006")
    assert above["validation_results"]["v"]["status"] == "skipped"
    assert len(await postgres_chain.records("006")) == 1
