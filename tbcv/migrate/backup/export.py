"""Tables and columns of PostgreSQL written to files: exactly those that a step is about to drop.

The format is COPY's text format, which every version of PostgreSQL reads, in UTF-8 and with settings under which
every value comes back as it was. A row of it is one line, so two sets of rows can be compared without sorting them.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.errors import BackupError
from tbcv.migrate.backup.model import Column, Doomed, Export
from tbcv.migrate.backup.shelf import create_private

# No single statement may be cut off half-way by a limit that was set for requests.
COPY_SECONDS = 7 * 24 * 3600.0
_SESSION = """
    SELECT set_config(name, value, true) FROM (VALUES
        ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('timezone', 'UTC'), ('extra_float_digits', '3'),
        ('bytea_output', 'hex'), ('row_security', 'off'), ('statement_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0')) AS settings (name, value)
"""
_COLUMNS = text("""
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '' AS generated
    FROM pg_attribute a WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
""")
# The first of the keys by which a row can be found again; the primary key where it is one of them.
_KEYS = text("""
    SELECT key.columns FROM pg_index i CROSS JOIN LATERAL (
        SELECT array_agg(a.attname::text ORDER BY k.place) AS columns, bool_and(a.attnotnull) AS filled
        FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts) AS key
    WHERE i.indrelid = to_regclass(:table) AND i.indisunique AND i.indisvalid AND i.indimmediate
    AND i.indpred IS NULL AND i.indexprs IS NULL AND key.filled
    ORDER BY i.indisprimary DESC, i.indexrelid
""")
# Types that another server may not have, or prints by its own lights, are carried as texts there.
_FOREIGN_TYPE = text("""
    SELECT a.attname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
    AND (n.nspname <> 'pg_catalog' OR t.typname ~ '^_?(reg.*|xml|money)$')
""")


class Rows:
    """Counts rows and sums them up; their order does not count."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Take in some of COPY's output, which may end within a row; asyncpg calls it from threads."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.count += len(lines)
        self._sum += sum(int.from_bytes(sha256(line).digest()) for line in lines)

    @property
    def digest(self) -> str:
        """The sum in hexadecimal."""
        return f"{self._sum % 2**256:064x}"


class Writer:
    """Compresses rows into a file; asyncpg calls it from threads.

    Args:
        path: An empty file.
    """

    def __init__(self, path: Path) -> None:
        self.rows = Rows()
        self._file = gzip.open(path, "wb", compresslevel=5)  # noqa: SIM115  # closed by the context
        # A task that was cancelled closes the file while the thread still writes.
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Take in some of COPY's output."""
        with self._lock:
            self._file.write(data)
            self.rows.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()


async def settle(connection: AsyncConnection) -> None:
    """Set, for the transaction that this begins, how values are printed and that nothing is cut off."""
    await connection.execute(text(_SESSION))


async def plan_exports(connection: AsyncConnection, losses: Sequence[Doomed]) -> tuple[Export, ...]:
    """Decide what to export of which table; what is not there needs none.

    Raises:
        BackupError: There is something that cannot be read.
    """
    planned: list[Export] = []
    for table in dict.fromkeys(loss.table for loss in losses):
        lost = tuple(one.column for one in losses if one.table == table and one.column is not None)
        whole = any(one.table == table and one.column is None for one in losses)
        export = await _plan(connection, table, () if whole else lost, f"{len(planned):03}.copy.gz")
        if export is not None:
            planned.append(export)
    return tuple(planned)


async def estimate(connection: AsyncConnection, exports: Sequence[Export]) -> int:
    """Return about how many bytes the exports will take, without compression."""
    total = 0
    for export in exports:
        if not export.key or not export.lost:
            query = f"SELECT pg_table_size(to_regclass({_literal(quoted(export.table))}))"
        else:
            sizes = " + ".join(f"coalesce(pg_column_size({quoted(name)}), 0)" for name in export.names)
            query = f"SELECT coalesce(sum({sizes}), 0) FROM {quoted(export.table)}"
        total += int((await connection.exec_driver_sql(query)).scalar_one())
    return total


async def write_export(connection: AsyncConnection, export: Export, directory: Path) -> Export:
    """Write the rows of a table into its file.

    Returns:
        The export with the number of its rows and their digest.
    """
    raw = await driver(connection)
    columns = ", ".join(quoted(name) for name in export.names)
    with Writer(create_private(directory / export.file)) as writer:
        await raw.copy_from_query(
            f"SELECT {columns} FROM {quoted(export.table)}", output=writer, encoding="UTF8", timeout=COPY_SECONDS
        )
    return replace(export, rows=writer.rows.count, digest=writer.rows.digest)


async def prove_export(connection: AsyncConnection, export: Export, directory: Path, foreign: frozenset[str]) -> None:
    """Load a file into a scratch table and compare what is in that with what was exported.

    Args:
        connection: On any PostgreSQL, in a transaction after `settle`; the table is a temporary one.
        export: The export.
        directory: Where its file is.
        foreign: The columns whose types a scratch database may not have.

    Raises:
        BackupError: The rows are not the same.
    """
    raw = await driver(connection)
    name = "tbcv_" + export.file.partition(".")[0]
    types = ", ".join(
        f"{quoted(column.name)} {'text' if column.name in foreign else column.type}" for column in export.columns
    )
    await connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ({types}) ON COMMIT DROP")
    await load(connection, name, export, directory)
    columns = ", ".join(quoted(column) for column in export.names)
    found = Rows()
    await raw.copy_from_query(f"SELECT {columns} FROM {name}", output=found, encoding="UTF8", timeout=COPY_SECONDS)
    if (found.count, found.digest) != (export.rows, export.digest):
        raise BackupError(f"the export of {export.table} does not give back the rows that it was made of")


async def load(connection: AsyncConnection, table: str, export: Export, directory: Path) -> None:
    """Load the rows of an export into a temporary table."""
    raw = await driver(connection)
    with closing(gzip.open(directory / export.file)) as stream:
        await raw.copy_to_table(table, source=stream, columns=export.names, encoding="UTF8", timeout=COPY_SECONDS)


async def foreign_columns(connection: AsyncConnection, export: Export) -> frozenset[str]:
    """Return the columns whose types a scratch database may not have."""
    found = await connection.execute(_FOREIGN_TYPE, {"table": quoted(export.table)})
    return frozenset(found.scalars()) & frozenset(export.names)


async def driver(connection: AsyncConnection) -> Any:  # noqa: ANN401  # asyncpg has no types
    """Return asyncpg's own connection, in the transaction that is open."""
    return (await connection.get_raw_connection()).driver_connection


def quoted(name: str) -> str:
    """Write a name as PostgreSQL reads it."""
    return '"' + name.replace('"', '""') + '"'


async def _plan(connection: AsyncConnection, table: str, lost: tuple[str, ...], file: str) -> Export | None:
    where = {"table": quoted(table)}
    found = (await connection.execute(_COLUMNS, where)).all()
    # A generated column is computed anew when it comes back.
    columns = tuple(Column(name, kind) for name, kind, generated in found if not generated)
    there = {column.name for column in columns}
    if not there or (lost and there.isdisjoint(lost)):
        return None
    lost = tuple(name for name in lost if name in there)
    keys = [tuple(key) for key in (await connection.execute(_KEYS, where)).scalars()]
    key = next((key for key in keys if not set(key) & set(lost) and set(key) <= there), ())
    if lost and key:
        columns = tuple(column for column in columns if column.name in (*key, *lost))
    return Export(table, file, columns, key, lost, rows=0, digest="")


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
