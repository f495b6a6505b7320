"""Journeys over one revision and back, and the records that the repairs of a revision leave."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tests.migrations.chain import Chain, Rows, exact


class Repair(NamedTuple):
    """What an audit record says about one repair."""

    action: str
    table: str
    column: str
    key: Any
    before: Any
    after: Any


async def repairs_of(chain: Chain, revision: str) -> set[Repair]:
    """Return what the audit records of a revision say; each of them says it was the migration."""
    records = await chain.records(revision)
    found = set()
    for record in records:
        about = json.loads(record["metadata"])
        assert about["revision"] == revision
        assert record["actor_type"] == "system"
        assert record["notes"].startswith(f"{about['table']}.{about['column']}: ")
        column = about["column"]
        before, after = (json.loads(record[name])[column] for name in ("before_state", "after_state"))
        found.add(Repair(record["action"], about["table"], column, about["key"], before, after))
    assert len(found) == len(records)
    return found


async def there_and_back(chain: Chain, revision: str, *, restored: bool = True) -> dict[str, Rows]:
    """Take a database over one revision, back, and over it again.

    Args:
        chain: At the revision before.
        revision: The revision to cross.
        restored: Whether the way back restores every row; else that is for the caller to test.

    Returns:
        The rows above the revision, which are the same both times.
    """
    (below,) = (await chain.runner.status()).current
    before = await chain.everything()
    outcome = await chain.up(revision)
    assert [step.id for step in outcome.applied] == [revision]
    above = await chain.everything()
    for table, rows in before.items():
        assert rows.keys() <= above[table].keys(), f"rows of {table} lost"
    await chain.down(below)
    assert not await chain.records(revision)
    if restored:
        assert exact(await chain.everything()) == exact(before)
        await chain.up(revision)
        assert timeless(await chain.everything()) == timeless(above)
    return above


def timeless(rows: object) -> object:
    """Return rows in the form of `exact`, and every moment of the last two days as the same word."""
    today = datetime.now(UTC).date()
    days = f"(?:{today}|{today - timedelta(days=1)})"
    moment = re.compile(rf"{days}[ T][\d:.]+(?:\+[\d:]+)?")

    def walk(value: object) -> object:
        if isinstance(value, Mapping):
            return {name: walk(one) for name, one in value.items()}
        return moment.sub("now", value) if isinstance(value, str) else value

    return exact(walk(rows))
