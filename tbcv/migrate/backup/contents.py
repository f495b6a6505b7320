"""What a database holds: what a backup and its original are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from tbcv import __version__
from tbcv.migrate.backup.model import Backup
from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.snapshot import Snapshot, take_snapshot

_POSTGRESQL_TABLES = text("""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_depend e
        WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e')
""")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds.

    Attributes:
        snapshot: Its schema.
        revisions: Those that it records.
        rows: How many rows each table has; none where they were not counted.
        made_by: Who says so: another release of tbcv, or of PostgreSQL, may print an equal schema differently.
    """

    snapshot: Snapshot
    revisions: tuple[str, ...]
    rows: Mapping[str, int]
    made_by: str


def read_contents(connection: Connection, *, counting: bool = True) -> Contents:
    """Read what a database holds, all of it within the transaction that the connection is in.

    Args:
        connection: On either engine.
        counting: Whether to count the rows of every table.
    """
    rows = {}
    if counting:
        for table, quoted in sorted(_tables(connection).items()):
            rows[table] = connection.exec_driver_sql(f"SELECT count(*) FROM {quoted}").scalar_one()
    major = (connection.dialect.server_version_info or (0,))[0]
    made_by = f"tbcv {__version__}, {connection.dialect.name} {major}"
    return Contents(take_snapshot(connection), _revisions(connection), rows, made_by)


def difference(expected: Contents, found: Contents) -> str:
    """Say in what a database first differs from another, if in anything."""
    if found.revisions != expected.revisions:
        return "it records other revisions"
    if found.made_by == expected.made_by and found.snapshot.fingerprint != expected.snapshot.fingerprint:
        return "its schema is another"
    return _other_rows(expected.rows, found.rows)


def difference_to(backup: Backup, found: Contents) -> str:
    """Say in what a database first differs from its backup, if in anything."""
    if found.made_by == backup.made_by and found.snapshot.fingerprint != backup.fingerprint:
        return "its schema is another"
    return _other_rows(backup.rows, found.rows)


def _other_rows(expected: Mapping[str, int], found: Mapping[str, int]) -> str:
    return next(
        (
            f"{table} has {found.get(table, 'no')} rows instead of {expected.get(table, 'none')}"
            for table in sorted(found.keys() | expected.keys())
            if found.get(table) != expected.get(table)
        ),
        "",
    )


def _revisions(connection: Connection) -> tuple[str, ...]:
    # Not by `read_revisions`, which ends the transaction.
    if not inspect(connection).has_table(VERSION_TABLE):
        return ()
    return tuple(sorted(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars()))


def _tables(connection: Connection) -> Mapping[str, str]:
    """Return the tables, and how each is written in a statement."""
    if connection.dialect.name == "postgresql":
        # PostgreSQL prints a regclass with its quotes.
        return {name: name for name in connection.execute(_POSTGRESQL_TABLES).scalars()}
    quote = connection.dialect.identifier_preparer.quote_identifier
    return {name: quote(name) for name in inspect(connection).get_table_names()}
