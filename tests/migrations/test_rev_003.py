"""Revision 003: references to rows that are gone."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from tests.migrations.chain import Chain, Row, exact
from tests.migrations.journey import Repair, repairs_of, there_and_back
from tests.migrations.rows_of_2_0 import audit, checkpoint, recommendation, validation, workflow

pytestmark = pytest.mark.anyio

ODD_KEYS = ["", "it's", 'a "quoted" key', "naïve 日本 😀", "back\\slash", "colon:name", "%s {0} $1", "a\nb", "x" * 36]


async def insert_orphans(chain: Chain) -> None:
    """Fill a database at 002 with references to rows that are gone, beside sound ones."""
    await chain.insert("workflows", workflow("w"))
    await chain.insert("checkpoints", checkpoint("c-sound", "w"), checkpoint("c-1", "gone"), checkpoint("c-2", "gone"))
    await chain.insert(
        "validation_results",
        validation("v", workflow_id="w"),
        validation("v-workflow", workflow_id="lost"),
        validation("v-recovered", workflow_id="gone"),
        validation("v-parent", parent_validation_id="vanished"),
        validation("v-both", workflow_id="lost", parent_validation_id="vanished"),
        validation("v-child", parent_validation_id="v", workflow_id=None),
    )
    await chain.insert(
        "recommendations",
        recommendation("r", "v"),
        recommendation("r-1", "missing"),
        recommendation("r-2", "missing"),
    )
    await chain.insert("audit_logs", audit("a", recommendation_id="r"), audit("a-gone", recommendation_id="nowhere"))


REPAIRS = {
    Repair("recovered", "workflows", "id", "gone", None, "gone"),
    Repair("recovered", "validation_results", "id", "missing", None, "missing"),
    Repair("repaired", "validation_results", "workflow_id", "v-workflow", "lost", None),
    Repair("repaired", "validation_results", "workflow_id", "v-both", "lost", None),
    Repair("repaired", "validation_results", "parent_validation_id", "v-parent", "vanished", None),
    Repair("repaired", "validation_results", "parent_validation_id", "v-both", "vanished", None),
    Repair("repaired", "audit_logs", "recommendation_id", "a-gone", "nowhere", None),
}


@pytest.fixture
async def orphaned(chain: Chain) -> Chain:
    """Return a database at 002 with orphans; on PostgreSQL they got in while nobody checked."""
    await chain.at("002")
    await insert_orphans(chain)
    return chain


async def test_optional_references_become_null(orphaned: Chain) -> None:
    """An optional reference to nothing becomes NULL; one to a row that is there stays."""
    await orphaned.up("003")
    workflows = await orphaned.column("validation_results", "workflow_id")
    assert {key: workflows[key] for key in ("v", "v-workflow", "v-both")} == {
        "v": "w",
        "v-workflow": None,
        "v-both": None,
    }
    parents = await orphaned.column("validation_results", "parent_validation_id")
    assert {key: parents[key] for key in ("v-child", "v-parent", "v-both")} == {
        "v-child": "v",
        "v-parent": None,
        "v-both": None,
    }
    audited = await orphaned.column("audit_logs", "recommendation_id")
    assert (audited["a"], audited["a-gone"]) == ("r", None)


async def test_required_references_get_a_recovered_parent(orphaned: Chain) -> None:
    """A child that must have a parent keeps its reference, and gets one parent marked as recovered."""
    before = await orphaned.everything()
    await orphaned.up("003")
    after = await orphaned.everything()
    assert after["checkpoints"] == before["checkpoints"]
    assert after["recommendations"] == before["recommendations"]
    placeholder = after["workflows"]["gone"]
    assert (placeholder["type"], placeholder["state"]) == ("recovered", "FAILED")
    assert placeholder["error_message"].startswith("recovered: ")
    placeholder = after["validation_results"]["missing"]
    assert (placeholder["run_id"], placeholder["status"], placeholder["file_path"]) == ("recovered", "SKIPPED", None)
    assert placeholder["notes"].startswith("recovered: ")


async def test_reference_to_a_recovered_parent_stays(orphaned: Chain) -> None:
    """An optional reference to a row that was recovered for others points at something, and stays."""
    await orphaned.up("003")
    assert (await orphaned.column("validation_results", "workflow_id"))["v-recovered"] == "gone"


async def test_every_repair_is_recorded_and_counted(orphaned: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Each repair has a record with the old value, and a line in the log counts them."""
    with caplog.at_level(logging.WARNING, logger="tbcv.migrate.repairs"):
        await orphaned.up("003")
    assert await repairs_of(orphaned, "003") == REPAIRS
    assert [record.getMessage().removeprefix("revision 003: ") for record in caplog.records] == [
        "recovered 1 rows of workflows: rows of checkpoints refer to it and it was missing",
        "recovered 1 rows of validation_results: rows of recommendations refer to it and it was missing",
        "repaired validation_results.workflow_id in 2 rows: it named no row of workflows",
        "repaired validation_results.parent_validation_id in 2 rows: it named no row of validation_results",
        "repaired audit_logs.recommendation_id in 1 rows: it named no row of recommendations",
    ]


async def test_sqlite_gets_its_orphans_back(sqlite_chain: Chain) -> None:
    """On SQLite the downgrade restores every dangling reference and takes the placeholders away."""
    await sqlite_chain.at("002")
    await insert_orphans(sqlite_chain)
    await there_and_back(sqlite_chain, "003")


async def test_postgresql_keeps_the_repair(postgres_chain: Chain) -> None:
    """PostgreSQL enforces foreign keys below 003, too: the downgrade keeps what the upgrade repaired."""
    await postgres_chain.at("002")
    await insert_orphans(postgres_chain)
    above = await there_and_back(postgres_chain, "003", restored=False)
    above["audit_logs"] = {key: row for key, row in above["audit_logs"].items() if row["actor"] == "alice"}
    assert exact(await postgres_chain.everything()) == exact(above)
    await postgres_chain.up("003")
    assert not await postgres_chain.records("003")


async def test_odd_keys_survive(chain: Chain) -> None:
    """Whatever text stands in a reference, it is found again in the placeholder, the record and the old row."""
    await chain.at("002")
    await chain.insert("checkpoints", *(checkpoint(f"c{n}", key) for n, key in enumerate(ODD_KEYS)))
    await chain.insert("validation_results", *(validation(key, workflow_id=f"{key[:35]}!") for key in ODD_KEYS))
    above = await there_and_back(chain, "003", restored=chain.sqlite)
    assert above["workflows"].keys() == set(ODD_KEYS)
    assert {row["workflow_id"] for row in above["validation_results"].values()} == {None}


async def test_sqlite_keys_that_json_cannot_hold_survive(sqlite_chain: Chain) -> None:
    """Blobs and text with NUL, which only SQLite admits, are recorded and restored as they were."""
    await sqlite_chain.at("002")
    odd: tuple[object, ...] = (b"\x00\xff", "a\x00b", "\x00")
    await sqlite_chain.insert(
        "checkpoints", *(checkpoint(f"c{n}", "") | {"workflow_id": key} for n, key in enumerate(odd))
    )
    await sqlite_chain.insert(
        "validation_results",
        *(validation(f"v{n}", workflow_id=b"\x01", parent_validation_id=key) for n, key in enumerate(odd)),
        validation("k", workflow_id="lost") | {"id": b"key"},
    )
    above = await there_and_back(sqlite_chain, "003")
    assert len(above["workflows"]) == len(odd)
    assert {row["workflow_id"] for row in above["validation_results"].values()} == {None}


async def test_row_changed_since_is_not_clobbered(orphaned: Chain) -> None:
    """A reference that somebody has set since the repair stays when the repair is undone."""
    await orphaned.up("003")
    await orphaned.execute("UPDATE validation_results SET workflow_id = 'w' WHERE id = 'v-workflow'")
    await orphaned.down("002")
    workflows = await orphaned.column("validation_results", "workflow_id")
    assert workflows["v-workflow"] == "w"
    assert workflows["v-both"] == ("lost" if orphaned.sqlite else None)


async def test_placeholder_changed_since_is_not_deleted(orphaned: Chain) -> None:
    """A placeholder that somebody has made a row of his own stays when the others are taken away."""
    await orphaned.up("003")
    await orphaned.execute("UPDATE workflows SET error_message = 'found the backup' WHERE id = 'gone'")
    await orphaned.down("002")
    workflows = await orphaned.rows("workflows")
    assert workflows["gone"]["error_message"] == "found the backup"
    assert ("missing" in await orphaned.rows("validation_results")) is not orphaned.sqlite


async def test_placeholder_is_taken_away_after_a_journey_to_head(sqlite_chain: Chain) -> None:
    """Placeholders pass the later revisions and are recognised as unchanged on the way back."""
    await sqlite_chain.at("002")
    await insert_orphans(sqlite_chain)
    before = await sqlite_chain.everything()
    await sqlite_chain.up()
    await sqlite_chain.down("002")
    assert exact(await sqlite_chain.everything()) == exact(before)


async def test_moments_are_utc_wherever_the_server_is(postgres_chain: Chain) -> None:
    """Below 005 the columns hold UTC without saying so, also on a server whose clock shows another zone."""
    await postgres_chain.at("002")
    name = postgres_chain.address.url.database
    await postgres_chain.execute(f"ALTER DATABASE {name} SET timezone TO 'Asia/Tokyo'")
    await insert_orphans(postgres_chain)
    await postgres_chain.up("003")
    rows: list[Row] = [(await postgres_chain.rows("workflows"))["gone"], *await postgres_chain.records("003")]
    for row in rows:
        age = datetime.now(UTC) - datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC)
        assert timedelta(0) <= age < timedelta(minutes=5)
