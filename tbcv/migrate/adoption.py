"""Adopting a database that records no revision: which one does its schema equal, or come nearest to?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from tbcv.engine.failures import reason
from tbcv.errors import AdoptionError
from tbcv.migrate.bookkeeping import BOOKKEEPING
from tbcv.migrate.history import History
from tbcv.migrate.ledger import check_ledger, read_ledger, short
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.managed import Managed
from tbcv.migrate.preview import stamp_statements
from tbcv.migrate.reconcile import Schema, conversions, reconcile
from tbcv.migrate.snapshot import Difference, Snapshot, compare, take_snapshot
from tbcv.migrate.status import version_table


@dataclass(frozen=True, slots=True)
class Adoption:
    """How an unversioned database can be adopted.

    Attributes:
        revision: The revision that it is to be at: the earliest of those whose schema comes nearest, so that no
            revision which only moves data is left out.
        equals: All revisions whose schema is exactly the database's; empty where there is none.
        difference: From the revision's schema; empty where the database equals it.
        statements: What turns the database's schema into the revision's; no row is touched.
        refusals: Why that cannot be done without a loss; with any, the database is not adopted.
        expected: The revision's schema.
    """

    revision: str
    equals: tuple[str, ...]
    difference: Difference
    statements: tuple[str, ...]
    refusals: tuple[str, ...]
    expected: Snapshot


def plan_adoption(found: Snapshot, managed: Managed, candidates: Sequence[Schema]) -> Adoption:
    """Find the revision that a schema equals or comes nearest to, and what turns it into that.

    Args:
        found: The schema of the database.
        managed: What of it is the application's.
        candidates: The schemas of the revisions, in order, built on the same engine.

    Raises:
        AdoptionError: There is no revision.
    """
    ours = found.only(managed)
    if not candidates:
        raise AdoptionError("there is no revision to adopt the database at")
    differences = [(compare(one.snapshot, ours), one) for one in candidates]
    # `min` keeps the first of equals.
    difference, nearest = min(differences, key=lambda pair: len(pair[0].missing) + len(pair[0].unexpected))
    plan = reconcile(ours, nearest)
    return Adoption(
        nearest.revision,
        tuple(one.revision for differs, one in differences if not differs),
        difference,
        plan.statements,
        plan.refusals + conversions(ours, nearest.snapshot),
        nearest.snapshot,
    )


def recorded_match(environment: AlembicEnvironment, history: History, found: Snapshot) -> str | None:
    """Return the one revision whose recorded fingerprint a schema has; None where there is none, or several.

    Args:
        environment: Where the ledger is; one that contradicts the files proves nothing.
        history: The revisions.
        found: The schema, without what is not the application's.
    """
    if check_ledger(environment, history):
        return None
    fingerprint = short(found.fingerprint)
    matches = [
        entry.id for entry in read_ledger(environment).values() if entry.fingerprints.get(found.dialect) == fingerprint
    ]
    return matches[0] if len(matches) == 1 else None


def adopt(connection: Connection, adoption: Adoption, managed: Managed) -> None:
    """Make the schema that of the revision and record it, in one transaction.

    Args:
        connection: In no transaction, with foreign keys off on SQLite; left in none.
        adoption: The plan.
        managed: What of the database is the application's.

    Raises:
        AdoptionError: It would lose something, or the outcome is not what was planned; nothing was changed.
    """
    if adoption.refusals:
        raise AdoptionError(
            f"it would lose something to adopt the database at {adoption.revision}: {'; '.join(adoption.refusals)}",
            hint="change the schema by hand until `tbcv migrate adopt` finds nothing to lose",
        )
    before = _rows(connection)
    for statement in adoption.statements:
        try:
            connection.execute(text(statement.replace(":", r"\:")))
        except DBAPIError as error:
            connection.rollback()
            raise AdoptionError(
                f"the rows do not fit revision {adoption.revision}: {reason(error)}; nothing was changed",
                hint="`tbcv migrate adopt --sql` prints the statements",
            ) from error
    difference = compare(adoption.expected, take_snapshot(connection).only(managed))
    if difference:
        connection.rollback()
        first = (*difference.missing, *difference.unexpected)[0].line
        raise AdoptionError(
            f"the outcome would differ from revision {adoption.revision}, first in: {first}; nothing was changed"
        )
    after = _rows(connection)
    if lost := [name for name, number in before.items() if after.get(name) != number]:
        connection.rollback()
        raise AdoptionError(f"rows of {', '.join(lost)} would be lost; nothing was changed")
    version_table.create(connection, checkfirst=True)
    connection.execute(version_table.delete())
    connection.execute(version_table.insert().values(version_num=adoption.revision))
    connection.commit()


def adoption_script(adoption: Adoption, dialect: str) -> str:
    """Return the SQL of an adoption, the recording of the revision included."""
    opening = ["PRAGMA foreign_keys=OFF;", "BEGIN IMMEDIATE;"] if dialect == "sqlite" else ["BEGIN;"]
    statements = [f"{statement};" for statement in adoption.statements]
    return "\n".join([*opening, *statements, *stamp_statements([adoption.revision]), "COMMIT;"]) + "\n"


def _rows(connection: Connection) -> dict[str, int]:
    names = set(inspect(connection).get_table_names()) - BOOKKEEPING
    return {name: connection.scalar(select(func.count()).select_from(table(name))) or 0 for name in sorted(names)}
