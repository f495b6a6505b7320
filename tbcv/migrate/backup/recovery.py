"""The tables and columns of a partial backup put back, after a migration has made them again.

Rows are found by their key, and what the backup holds wins. Nothing is deleted: a row that came later stays, and a
row that has gone does not come back for the sake of one column. All of it is one transaction, and what it did is
compared with the backup before it is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.failures import reason
from tbcv.errors import BackupError
from tbcv.migrate.backup.export import load, quoted
from tbcv.migrate.backup.model import Backup, Export

_COLUMNS = text("""
    SELECT attname, attidentity::text FROM pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
""")
_PARENTS = text("""
    SELECT p.relname FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conrelid = to_regclass(:table) AND k.confrelid <> k.conrelid
""")


async def recover(connection: AsyncConnection, backup: Backup) -> Mapping[str, int]:
    """Put everything in a partial backup back.

    Args:
        connection: In a transaction after `settle`, which the caller commits.
        backup: Its files are as they were written.

    Returns:
        How many rows of each table hold what the backup holds.

    Raises:
        BackupError: A table or a column is not there or of another type, or rows cannot be told apart.
    """
    await require_places(connection, backup)
    done = {}
    for export in await _parents_first(connection, backup.exports):
        table = quoted(export.table)
        await connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        stage = "tbcv_" + export.file.partition(".")[0]
        await connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {_list(export.names)} FROM {table} WITH NO DATA"
        )
        try:
            await load(connection, stage, export, backup.path)
        except asyncpg.PostgresError as error:
            raise BackupError(
                f"backup {backup.id} cannot be restored: the columns of {export.table} do not take its values as they "
                f"are now ({reason(error)}); nothing was changed",
                hint=_place(backup),
            ) from error
        done[export.table] = await _put_back(connection, backup, export, stage)
    return done


async def require_places(connection: AsyncConnection, backup: Backup) -> None:
    """Check that every table and column of a partial backup is there.

    Raises:
        BackupError: One is not.
    """
    for export in backup.exports:
        there = set((await connection.execute(_COLUMNS, {"table": quoted(export.table)})).scalars())
        missing = [name for name in export.names if name not in there]
        if missing:
            what = f"column {export.table}.{missing[0]}" if there else f"table {export.table}"
            raise BackupError(
                f"backup {backup.id} cannot be restored: the {what} is not there; nothing was changed",
                hint=_place(backup),
            )


def _place(backup: Backup) -> str:
    at = " ".join(backup.revisions) or "base"
    return (
        f"bring the database back to {at} first with `tbcv migrate downgrade -r {at}` (or `upgrade -r {at}`, if it was "
        "a downgrade that took them)"
    )


async def _put_back(connection: AsyncConnection, backup: Backup, export: Export, stage: str) -> int:
    if not export.key:
        return await _replace_unkeyed(connection, backup, export, stage)
    await _require_key(connection, export)
    identities = (await connection.execute(_COLUMNS, {"table": quoted(export.table)})).all()
    always = {name for name, identity in identities if identity == "a"}
    await _update(connection, export, stage, [n for n in export.names if n not in (*export.key, *always)])
    if not export.lost:
        await _insert(
            connection, export, stage, f"WHERE NOT EXISTS (SELECT FROM {_target(export)} WHERE {_match(export)})"
        )
        await _advance_sequences(connection, export)
    # A trigger may have had other ideas.
    rows, equal = await _compare(connection, export, stage, [n for n in export.names if n not in always])
    if rows != equal or (not export.lost and rows != export.rows):
        left = rows - equal or export.rows - rows
        raise BackupError(
            f"backup {backup.id} cannot be restored: {left} rows of {export.table} do not take its values; nothing was "
            "changed",
            hint="look for triggers and rules of the table",
        )
    return rows


async def _update(connection: AsyncConnection, export: Export, stage: str, names: Sequence[str]) -> None:
    if not names:
        return
    values = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in names)
    differs = " OR ".join(_differs(name) for name in names)
    await connection.exec_driver_sql(
        f"UPDATE {_target(export)} SET {values} FROM {stage} s WHERE {_match(export)} AND ({differs})"
    )


async def _insert(connection: AsyncConnection, export: Export, stage: str, where: str = "") -> None:
    names = _list(export.names)
    await connection.exec_driver_sql(
        f"INSERT INTO {quoted(export.table)} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {stage} s {where}"
    )


async def _compare(connection: AsyncConnection, export: Export, stage: str, names: Sequence[str]) -> tuple[int, ...]:
    """Return how many rows of the backup are in the table, and how many of these are equal."""
    differs = " OR ".join(_differs(name) for name in names)
    found = await connection.exec_driver_sql(
        f"SELECT count(*), count(*) FILTER (WHERE NOT ({differs})) FROM {_target(export)} "
        f"JOIN {stage} s ON {_match(export)}"
    )
    return tuple(found.one())


async def _require_key(connection: AsyncConnection, export: Export) -> None:
    double = await connection.exec_driver_sql(
        f"SELECT EXISTS (SELECT FROM {quoted(export.table)} GROUP BY {_list(export.key)} HAVING count(*) > 1)"
    )
    if double.scalar_one():
        raise BackupError(
            f"the rows of {export.table} cannot be told apart by {', '.join(export.key)} any more; nothing was changed"
        )


async def _replace_unkeyed(connection: AsyncConnection, backup: Backup, export: Export, stage: str) -> int:
    """Replace all rows of a table without a key, if they are those of the backup in all that was not lost."""
    kept = [name for name in export.names if name not in export.lost]
    table = quoted(export.table)
    empty = not (await connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {table})")).scalar_one()
    if not (empty and not export.lost) and not await _same(connection, table, stage, kept):
        raise BackupError(
            f"backup {backup.id} cannot be restored: {export.table} has no key by which its rows could be found, and "
            "they have changed since; nothing was changed",
            hint=f"its rows are in {backup.path / export.file}",
        )
    await connection.exec_driver_sql(f"DELETE FROM {table}")
    await _insert(connection, export, stage)
    await _advance_sequences(connection, export)
    if not await _same(connection, table, stage, list(export.names)):
        raise BackupError(f"the rows of {export.table} do not take the values of backup {backup.id}")
    return export.rows


async def _same(connection: AsyncConnection, table: str, stage: str, names: Sequence[str]) -> bool:
    """Whether two tables have the same rows, each as often."""
    # As texts: not every type can be compared, and json is one that cannot.
    texts = ", ".join(f"{quoted(name)}::text" for name in names)
    ours, theirs = (f"SELECT {texts} FROM {one}" for one in (table, stage))
    found = await connection.exec_driver_sql(
        f"SELECT NOT EXISTS ({ours} EXCEPT ALL {theirs}) AND NOT EXISTS ({theirs} EXCEPT ALL {ours})"
    )
    return bool(found.scalar_one())


async def _advance_sequences(connection: AsyncConnection, export: Export) -> None:
    """Let the sequences of a table go on behind its greatest value."""
    for name in export.names:
        arguments = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = await connection.scalar(arguments, {"table": quoted(export.table), "column": name})
        if sequence is not None:
            await connection.exec_driver_sql(
                f"SELECT setval('{sequence}', top.value) FROM (SELECT max({quoted(name)}) AS value "
                f"FROM {quoted(export.table)}) top, {sequence} now WHERE top.value > now.last_value "
                f"OR top.value = now.last_value AND NOT now.is_called"
            )


async def _parents_first(connection: AsyncConnection, exports: Iterable[Export]) -> Sequence[Export]:
    """Order tables so that a foreign key finds its target."""
    by_name = {export.table: export for export in exports}
    graph = {
        name: set((await connection.execute(_PARENTS, {"table": quoted(name)})).scalars()) & by_name.keys()
        for name in by_name
    }
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError:
        return list(by_name.values())


def _target(export: Export) -> str:
    return f"{quoted(export.table)} AS t"


def _match(export: Export) -> str:
    return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in export.key)


def _differs(name: str) -> str:
    return f"t.{quoted(name)}::text IS DISTINCT FROM s.{quoted(name)}::text"


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)
