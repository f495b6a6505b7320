"""The databases that TBCV 2.0 left, and what their rows must be after the chain."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.migrations.chain import TABLES, Chain, Row, Rows

LEGACY = Path(__file__).parent.parent / "legacy"
STAMPED = LEGACY / "tbcv-2.0-stamped-001.sql"
UNVERSIONED = LEGACY / "tbcv-2.0-unversioned.sql"

DOCUMENTS = {
    "workflows": ("input_params", "metadata"),
    "validation_results": ("rules_applied", "validation_results", "validation_types", "comparison_data"),
    "recommendations": ("metadata",),
    "audit_logs": ("before_state", "after_state", "changes", "metadata"),
    "metrics": ("metadata",),
}
ENUMERATIONS = {"workflows": "state", "validation_results": "status", "recommendations": "status"}


def load(dump: Path, database: Path) -> None:
    """Load a dump into a new SQLite file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))


async def carry(source: Chain, target: Chain) -> None:
    """Copy the rows of a SQLite file into a database of the same schema."""
    for table in TABLES:
        await target.insert(table, *(await source.rows(table)).values())


def normalised(tables: dict[str, Rows]) -> dict[str, Rows]:
    """Return rows as they mean the same on both engines: documents parsed, timestamps in UTC."""
    return {
        table: {key: {name: _meaning(table, name, value) for name, value in row.items()} for key, row in rows.items()}
        for table, rows in tables.items()
    }


def at_head(tables: dict[str, Rows]) -> dict[str, Rows]:
    """Return what clean rows of TBCV 2.0 must be at head, worked out without SQL."""
    result = {table: {key: dict(row) for key, row in rows.items()} for table, rows in tables.items()}
    for table, column in ENUMERATIONS.items():
        for row in result[table].values():
            row[column] = "pass" if row[column].lower() == "completed" and table != "workflows" else row[column].lower()
    files: defaultdict[str, list[Row]] = defaultdict(list)
    for row in result["validation_results"].values():
        files[row["file_path"]].append(row)
    for versions in files.values():
        for number, row in enumerate(sorted(versions, key=lambda row: (row["created_at"], row["id"])), start=1):
            row["version_number"] = number
    return result


def _meaning(table: str, column: str, value: Any) -> Any:  # noqa: ANN401  # whatever a column holds
    if value is None:
        return None
    if column in DOCUMENTS.get(table, ()):
        return json.loads(value)
    if column.endswith(("_at", "last_accessed")):
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return value
