"""A database with every kind of dirt at once goes to head, back to 001, and to head again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.migrations.chain import TABLES, Chain, Row, Rows, exact, identity
from tests.migrations.dumps import DOCUMENTS
from tests.migrations.journey import timeless
from tests.migrations.rows_of_2_0 import (
    audit,
    cache_entry,
    checkpoint,
    metric,
    recommendation,
    validation,
    workflow,
)

pytestmark = pytest.mark.anyio

Dirt = dict[str, list[Row]]

DIRT: Dirt = {
    "workflows": [
        workflow("w-clean"),
        workflow("w-1", state="Running", progress_percent=150, total_steps=-1, current_step=None, metadata="{"),
        workflow("w-2", state="", progress_percent=None, created_at=None, updated_at=None, input_params=""),
    ],
    "checkpoints": [
        checkpoint("c-clean", "w-clean"),
        checkpoint("c-1", "gone", step_number=-7, can_resume_from=None, created_at=None),
        checkpoint("c-2", "it's gone"),
    ],
    "validation_results": [
        validation("v-clean", workflow_id="w-clean"),
        validation("v-1", workflow_id="gone", parent_validation_id="v-1", status="COMPLETED", file_path="a.md"),
        validation("v-2", workflow_id="lost", parent_validation_id="lost", status=None, file_path="a.md"),
        validation("v-3", version_number=None, created_at=None, file_path="a.md", rules_applied="[NaN]"),
        validation("v-4", version_number=-2, status="weird", file_path=None, comparison_data='"\\u0000"'),
        validation("v-5", version_number=9, updated_at=None, file_path="a.md", validation_types="null"),
    ],
    "recommendations": [
        recommendation("r-clean", "v-clean"),
        recommendation("r-1", "missing", confidence=1.7000000000000002, status="approved", created_at=None),
        recommendation("r-2", "v-1", confidence=-1e-9, status="?", metadata="not json"),
    ],
    "audit_logs": [
        audit("a-clean", recommendation_id="r-clean", before_state='{"b": 1, "a": 2}'),
        audit("a-1", recommendation_id="nowhere", created_at=None, before_state="{", metadata="no json"),
        audit("a-2", action="repaired", actor="a migration", changes="", metadata="["),
    ],
    "cache_entries": [
        cache_entry("k-clean"),
        cache_entry("k-1", access_count=-1, size_bytes=None, created_at=None),
        cache_entry("k-2", access_count=None, size_bytes=-5, created_at=None, last_accessed=None),
    ],
    "metrics": [metric("m-clean"), metric("m-1", name=None, created_at=None, value=None, metadata="nope")],
}


async def soil(chain: Chain, dirt: Dirt) -> None:
    """Replace the rows of a database at 001."""
    for table in TABLES:
        await chain.execute(f"DELETE FROM {table}")
        await chain.insert(table, *dirt[table])


async def journey(chain: Chain) -> None:
    """Take a database from 001 to head, back, and to head again, and compare what is in it on the way."""
    before = await chain.everything()
    if not chain.sqlite:
        # PostgreSQL enforced its foreign keys below 003, so 003 does not put dangling references back.
        await chain.up("003")
        before = without_records(await chain.everything(), "003")
    await chain.up()
    head = await chain.everything()
    assert_sound(before, head)
    await chain.down("001")
    below = await chain.everything()
    if not chain.sqlite:
        before, below = spelled(before), spelled(below)
    assert exact(below) == exact(before)
    await chain.up()
    again = await chain.everything()
    if not chain.sqlite:
        head, again = without_records(head, "003"), without_records(again, "003")
    assert timeless(again) == timeless(head)


def assert_sound(before: dict[str, Rows], head: dict[str, Rows]) -> None:
    """Check that no row was dropped, that what was added says why it is there, and that documents are JSON."""
    for table, rows in before.items():
        assert rows.keys() <= head[table].keys(), f"rows of {table} were dropped"
        for key in head[table].keys() - rows.keys():
            row = head[table][key]
            assert "recovered" in {row.get("type"), row.get("run_id"), row.get("action")} or (
                row.get("action") == "repaired"
            )
        for row in head[table].values():
            for column in DOCUMENTS.get(table, ()):
                if row[column] is not None:
                    json.loads(row[column])
    for child, column, parent in (
        ("checkpoints", "workflow_id", "workflows"),
        ("recommendations", "validation_id", "validation_results"),
    ):
        assert {identity(row[column]) for row in head[child].values()} <= head[parent].keys()


def without_records(tables: dict[str, Rows], revision: str) -> dict[str, Rows]:
    """Return rows without the audit records of a revision."""
    logs = {key: row for key, row in tables["audit_logs"].items() if row["actor"] != f"migration {revision}"}
    return {**tables, "audit_logs": logs}


def spelled(tables: dict[str, Rows]) -> dict[str, Rows]:
    """Return rows with every document in one spelling; jsonb keeps what a document means, not how it is written."""

    def spell(value: Any) -> Any:  # noqa: ANN401  # whatever a column holds
        with suppress(ValueError, TypeError, RecursionError):
            document = json.loads(value, parse_int=Fraction, parse_float=Fraction)
            return json.dumps(document, sort_keys=True, default=str)
        return value

    return {
        table: {
            key: {name: spell(value) if name in DOCUMENTS.get(table, ()) else value for name, value in row.items()}
            for key, row in rows.items()
        }
        for table, rows in tables.items()
    }


async def test_all_dirt_at_once(chain: Chain) -> None:
    """Every repair of the chain in one database: no row is lost, and all of it is undone and done again."""
    await chain.up("001")
    await soil(chain, DIRT)
    await journey(chain)


async def test_sqlite_references_are_sound_at_head(sqlite_chain: Chain) -> None:
    """At head no foreign key is left that points at nothing."""
    await sqlite_chain.up("001")
    await soil(sqlite_chain, DIRT)
    assert await sqlite_chain.fetch("PRAGMA foreign_key_check")
    await sqlite_chain.up()
    assert not await sqlite_chain.fetch("PRAGMA foreign_key_check")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
MOMENTS = st.none() | st.datetimes().map(lambda moment: moment.isoformat(" "))


def dirt(chain_is_sqlite: bool) -> st.SearchStrategy[Dirt]:
    """Return the dirt that an engine admits: on SQLite any type in any column."""
    if chain_is_sqlite:
        texts: st.SearchStrategy[Any] = st.text(st.characters(codec="utf-8"), max_size=12) | st.binary(max_size=4)
        anything = texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
        numbers = st.integers(-2, 120) | anything
        fractions, moments, flags = numbers, MOMENTS | anything, st.integers(0, 1) | anything
    else:
        texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
        numbers = st.integers(-2, 120) | st.integers(-(2**31), 2**31 - 1)
        fractions, moments, flags = st.floats(), MOMENTS, st.integers(0, 1)
    members = st.sampled_from(["PASS", "COMPLETED", "running", "Pending", "APPLIED", "OK"])
    words, maybe_words = members | texts, st.none() | members | texts
    documents = st.none() | JSON.map(json.dumps) | texts
    references = st.sampled_from(["0", "1", "2", "lost", "gone"]) | texts
    maybe_number = st.none() | numbers

    def rows(make: Callable[..., Row], *required: str, **columns: st.SearchStrategy[Any]) -> Any:  # noqa: ANN401
        changes = st.lists(st.fixed_dictionaries(columns), max_size=6)
        return changes.map(
            lambda all_of: [
                make(str(number), *(one[name] for name in required)) | one for number, one in enumerate(all_of)
            ]
        )

    return st.fixed_dictionaries(
        {
            "workflows": rows(
                workflow,
                state=words,
                input_params=documents,
                metadata=documents,
                total_steps=maybe_number,
                current_step=maybe_number,
                progress_percent=maybe_number,
                created_at=moments | st.none(),
                updated_at=moments | st.none(),
            ),
            "checkpoints": rows(
                checkpoint,
                "workflow_id",
                workflow_id=references,
                step_number=numbers,
                created_at=moments | st.none(),
                can_resume_from=flags | st.none(),
            ),
            "validation_results": rows(
                validation,
                workflow_id=references | st.none(),
                parent_validation_id=references | st.none(),
                file_path=st.none() | st.just("a.md") | texts,
                status=maybe_words,
                version_number=maybe_number,
                rules_applied=documents,
                comparison_data=documents,
                created_at=moments | st.none(),
                updated_at=moments | st.none(),
            ),
            "recommendations": rows(
                recommendation,
                "validation_id",
                validation_id=references,
                confidence=fractions | st.none(),
                status=words,
                metadata=documents,
                created_at=moments | st.none(),
                updated_at=moments | st.none(),
            ),
            "audit_logs": rows(
                audit,
                recommendation_id=references | st.none(),
                before_state=documents,
                after_state=documents,
                metadata=documents,
                created_at=moments | st.none(),
            ),
            "cache_entries": rows(
                cache_entry,
                created_at=moments | st.none(),
                last_accessed=moments | st.none(),
                access_count=maybe_number,
                size_bytes=maybe_number,
            ),
            "metrics": rows(metric, name=maybe_words, metadata=documents, created_at=moments | st.none()),
        }
    )


CAREFUL = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    # Shrinking would take hundreds of journeys.
    phases=[Phase.explicit, Phase.generate],
    # The database is emptied for every example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


async def over_the_chain(chain: Chain, generated: Dirt) -> None:
    """Take generated dirt over the whole chain."""
    if (await chain.runner.status()).current:
        await chain.down("001")
    await chain.up("001")
    await soil(chain, generated)
    await journey(chain)


@CAREFUL
@given(generated=dirt(chain_is_sqlite=True))
async def test_any_dirt_on_sqlite(sqlite_chain: Chain, generated: Dirt) -> None:
    """Whatever SQLite admits is repaired, restored to the bit, and repaired to the same rows again."""
    await over_the_chain(sqlite_chain, generated)


@CAREFUL
@given(generated=dirt(chain_is_sqlite=False))
async def test_any_dirt_on_postgresql(postgres_chain: Chain, generated: Dirt) -> None:
    """Whatever PostgreSQL admits, and orphans besides, is repaired, restored, and repaired to the same again."""
    await over_the_chain(postgres_chain, generated)
