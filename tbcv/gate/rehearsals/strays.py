"""Rows that the schema before a revision accepts and the one after it would not: what the upgrade does about them.

Rows made from types and names satisfy a rule that nobody has written down yet more often than the application's do:
numbers are not negative, and what looks like a reference points at something. So the rows that a new rule refuses are
put where there was none, for the upgrade to be run on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tbcv.engine.url import DatabaseURL
from tbcv.gate.rehearsals.losses import new_references
from tbcv.gate.rehearsals.rehearsed import StepRehearsal
from tbcv.gate.releases.attempts import Objection
from tbcv.gate.releases.passage import on
from tbcv.gate.releases.shape import read_shape
from tbcv.gate.releases.traffic import Answers, Step, Traffic, converse, play, put
from tbcv.gate.seeding.seed import without_triggers
from tbcv.gate.seeding.tables import read_tables
from tbcv.gate.seeding.values import Kind
from tbcv.migrate.snapshot import Difference

_RULE = re.compile(r"^constraint [^:]+: (check|foreign key)\b(?!.* not valid\b)", re.IGNORECASE | re.DOTALL)
_STRICT = re.compile(r"^table (\S+) .*\bstrict\b")
_DOMAIN = re.compile(r"^type [^:]+: domain over .*\bcheck\b", re.IGNORECASE | re.DOTALL)
_DEFAULT = r"^column \S*\b{}: .*\bdefault (?P<value>-?\d+|'(?:[^']|'')*')"
# The greatest of a bigint is nobody's.
_GREATEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
_RULES = {Objection.CHECK, Objection.FOREIGN_KEY}


Change = Callable[[Connection], None]
"""Makes rows of a database what they are to be."""


async def strays(before: DatabaseURL, after: DatabaseURL, step: StepRehearsal) -> Change | None:
    """Find rows that new foreign keys and CHECKs refuse.

    Args:
        before: A database at the revision's parents.
        after: One at the revision.
        step: The revision, with what its upgrade changed.

    Returns:
        What puts them there; None where no such rule is made for columns that were there.
    """
    tables, domains = frozenset(_ruled(step.schema)), frozenset(_ruled_domains(step.schema))
    if not tables and not domains:
        return None
    shape = await on(before, read_shape)
    only = frozenset(
        one.id
        for one in shape.relations
        if not one.view and (one.label in tables or any(column.type in domains for column in one.columns))
    )
    traffic, worked = await on(before, converse, shape.around(only), only)
    refused = frozenset(_refused(worked, await on(after, play, traffic, only)))
    return partial(_put, traffic=traffic, steps=refused) if refused else None


async def loose_values(before: DatabaseURL, step: StepRehearsal) -> Change | None:
    """Find columns of numbers which have to hold nothing else from now on, as in a table that becomes STRICT.

    Args:
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        What puts words there, as SQLite allows; None where no table becomes STRICT.
    """
    known = {fact.subject for fact in step.schema.missing}
    lines = (fact.line for fact in step.schema.unexpected if fact.subject in known)
    tables = {found[1] for found in map(_STRICT.match, lines) if found}
    return partial(_loosen, tables=tables) if before.dialect == "sqlite" and tables else None


async def refused_documents(before: DatabaseURL, step: StepRehearsal) -> Change | None:
    """Find columns of documents whose new type takes less than the old one: JSONB has no escape of NUL.

    Args:
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        What puts such a document there; None where no column of JSON becomes one of JSONB.
    """
    columns = [(table, column) for table, column, old, new in step.types if (old, new) == ("json", "jsonb")]
    return partial(_escape, columns=columns) if before.dialect == "postgresql" and columns else None


async def great_numbers(before: DatabaseURL, step: StepRehearsal) -> Change | None:
    """Find integers that an upgrade makes other ones of under the same name: a multiple of the greatest has no room.

    Args:
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        What puts the greatest number there, in one row; None where no such column is.
    """
    columns = {(table, column) for table, column, _ in step.reinterpreted}
    return partial(_heighten, columns=columns) if before.dialect == "postgresql" and columns else None


async def missing_defaults(before: DatabaseURL, step: StepRehearsal) -> Change | None:
    """Find rows that the defaults of new columns point at.

    Args:
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        What deletes them; None where no new column has such a default.
    """
    deletions = tuple(_defaults(step.schema)) if before.dialect == "postgresql" else ()
    return partial(_delete, statements=deletions) if deletions else None


def _defaults(schema: Difference) -> Iterator[str]:
    """Give statements that delete the rows which the defaults of new columns point at."""
    for reference in new_references(schema):
        pattern = re.compile(_DEFAULT.format(re.escape(reference.column)), re.IGNORECASE)
        lines = (one.line for one in schema.unexpected if one.subject == f"table {reference.table}")
        for default in filter(None, map(pattern.match, lines)):
            yield f"DELETE FROM {reference.target} WHERE {reference.key} = {default['value']}"


def _loosen(connection: Connection, tables: Collection[str]) -> None:
    """Put a word into each column of numbers, as far as the schema lets it."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    for table in read_tables(connection):
        for column in table.columns if table.name.strip('"') in tables else ():
            if column.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT) and not column.automatic:
                name = quote(column.name)
                with suppress(DBAPIError), connection.begin_nested():
                    connection.exec_driver_sql(f"UPDATE {table.name} SET {name} = 'n/a' WHERE rowid % 7 = 3")
    connection.commit()


def _escape(connection: Connection, columns: Collection[tuple[str, str]]) -> None:
    """Put an escape of NUL into one document of each column."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    for table, column in columns:
        name = quote(column)
        with suppress(DBAPIError), connection.begin_nested():
            one = f"(SELECT min(ctid) FROM {table} WHERE {name} IS NOT NULL)"
            connection.exec_driver_sql(f'UPDATE {table} SET {name} = \'{{"a": "\\u0000"}}\' WHERE ctid = {one}')
    connection.commit()


def _heighten(connection: Connection, columns: Collection[tuple[str, str]]) -> None:
    """Put the greatest number of its type into each column, in the row that a loop over all comes to last."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    for table in read_tables(connection):
        for column in table.columns:
            greatest = _GREATEST.get(column.base.lower())
            if greatest is not None and (table.name, column.name) in columns:
                name = quote(column.name)
                with suppress(DBAPIError), connection.begin_nested():
                    last = f"(SELECT max(ctid) FROM {table.name} WHERE {name} IS NOT NULL)"
                    connection.exec_driver_sql(f"UPDATE {table.name} SET {name} = {greatest} WHERE ctid = {last}")
    connection.commit()


def _delete(connection: Connection, statements: Collection[str]) -> None:
    """Delete rows, as far as what refers to them lets it."""
    without_triggers(connection)
    for statement in statements:
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(statement)
    connection.commit()


def _ruled(schema: Difference) -> Iterator[str]:
    """Give the tables that have a foreign key or a CHECK which was not there before."""
    for fact in schema.unexpected:
        if _RULE.match(fact.line):
            yield fact.subject.removeprefix("table ").replace('"', "")


def _ruled_domains(schema: Difference) -> Iterator[str]:
    """Give the domains that have a CHECK which was not there before."""
    changed = {fact.subject for fact in schema.missing}
    for fact in schema.unexpected:
        if fact.subject in changed and _DOMAIN.match(fact.line):
            yield fact.subject.removeprefix("type ").rpartition(".")[2].strip('"')


def _refused(worked: Answers, answers: Answers) -> Iterator[Step]:
    """Give the rows that the one schema takes and a rule of the other does not."""
    for step, before in worked.items():
        after = answers.get(step)
        if step.verb == "INSERT" and before.worked and after is not None and after.objection in _RULES:
            yield step


def _put(connection: Connection, traffic: Traffic, steps: Collection[Step]) -> None:
    put(connection, traffic, steps)
    connection.commit()
