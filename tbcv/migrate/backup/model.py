"""A backup as a value, and as the manifest that stands in its directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

MANIFEST = "backup.json"
SCHEMA = "schema.txt"
FORMAT = 1
ASKED_FOR = "asked for"
"""Why a backup was taken that somebody wanted; no run removes it."""

RESTORE = "tbcv migrate restore"
"""The command that brings a backup back, without its id, where the environment names the database."""

Kind = Literal["full", "partial"]


class Doomed(Protocol):
    """A table that is about to be dropped, or a column of it; `tbcv.migrate.losses.Loss` is one."""

    @property
    def table(self) -> str:
        """The table."""

    @property
    def column(self) -> str | None:
        """The column; None where the whole table goes."""


class Part(NamedTuple):
    """A table, or a column of it.

    Attributes:
        table: The table.
        column: The column; None for the whole table.
    """

    table: str
    column: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a backup.

    Attributes:
        bytes: Its size.
        sha256: Of what is in it, in hexadecimal.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export.

    Attributes:
        name: Its name.
        type: As PostgreSQL prints it, as in ``character varying(32)``.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Export:
    """What a partial backup holds of one table.

    Attributes:
        table: The table, found along the search path.
        file: Where the rows are: COPY's text format, compressed with gzip.
        columns: What a row holds, in this order.
        key: The columns by which a row is found again; empty where the table has no key, and then a row holds
            every column.
        lost: The columns that were about to go; empty where the table was.
        rows: How many rows there are.
        digest: A sum over the rows in which their order does not count, in hexadecimal.
    """

    table: str
    file: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    lost: tuple[str, ...]
    rows: int
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What restoring it overwrites."""
        return tuple(Part(self.table, column) for column in self.lost or (None,))


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete backup; that its files are still what they were is found out when it is restored.

    Attributes:
        id: Its name, which sorts by time, as in ``20261122T170000Z-a1b2-011``.
        path: The directory that holds it.
        dialect: The engine.
        kind: ``full`` holds the whole database, ``partial`` the tables and columns that a step was about to drop.
        reason: Why it was taken.
        database: Which database it is of: a file, or host, port and name.
        revisions: Those that the database recorded.
        created_at: When, in UTC.
        size_bytes: The sum of its files.
        fingerprint: Of the schema of the whole database.
        made_by: The release of tbcv and of the engine that printed that schema.
        rows: How many rows each table in it has.
        files: Its files by name.
        exports: What a partial backup holds of which table.
    """

    id: str
    path: Path
    dialect: Literal["sqlite", "postgresql"]
    kind: Kind
    reason: str
    database: str
    revisions: tuple[str, ...]
    created_at: datetime
    size_bytes: int
    fingerprint: str
    made_by: str
    rows: Mapping[str, int] = field(hash=False)
    files: Mapping[str, StoredFile] = field(hash=False)
    exports: tuple[Export, ...] = ()

    @property
    def order(self) -> tuple[datetime, str]:
        """What backups are sorted by, oldest first."""
        return self.created_at, self.id


def write_manifest(backup: Backup) -> str:
    """Write a backup down; where it is stays out, because it may be moved."""
    document = asdict(backup)
    del document["path"], document["size_bytes"]
    document["created_at"] = backup.created_at.isoformat()
    return json.dumps({"format": FORMAT, **document}, indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> Backup:
    """Read the manifest in a directory.

    Raises:
        OSError: There is none.
        ValueError, KeyError, TypeError: It is not one.
    """
    document: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    if document.pop("format") != FORMAT or document["id"] != path.name:
        raise ValueError("another format, or a copy under another name")
    if document["dialect"] not in ("sqlite", "postgresql") or document["kind"] not in ("full", "partial"):
        raise ValueError("not a backup of a known kind")
    created_at = datetime.fromisoformat(document.pop("created_at"))
    if created_at.tzinfo is None:
        raise ValueError("a time without a zone")
    files = {name: StoredFile(**facts) for name, facts in document.pop("files").items()}
    return Backup(
        path=path,
        created_at=created_at,
        revisions=tuple(document.pop("revisions")),
        size_bytes=sum(file.bytes for file in files.values()),
        files=files,
        exports=_exports(document.pop("exports")),
        **document,
    )


def _exports(documents: Sequence[Mapping[str, Any]]) -> tuple[Export, ...]:
    return tuple(
        Export(
            table=one["table"],
            file=one["file"],
            columns=tuple(Column(**column) for column in one["columns"]),
            key=tuple(one["key"]),
            lost=tuple(one["lost"]),
            rows=one["rows"],
            digest=one["digest"],
        )
        for one in documents
    )
