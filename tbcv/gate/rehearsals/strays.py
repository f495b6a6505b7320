"""Rows that the schema before a revision accepts and the one after it would not: what the upgrade does about them.

Rows made from types and names satisfy a rule that nobody has written down yet more often than the application's do:
numbers are not negative, and what looks like a reference points at something. So the rows that a new rule refuses are
put where there was none, and the upgrade is run on them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from sqlalchemy import Connection

from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.gate.rehearsals.losses import new_references
from tbcv.gate.rehearsals.rehearsed import Failure, StepRehearsal
from tbcv.gate.rehearsals.retrial import failure_again
from tbcv.gate.releases.attempts import Objection
from tbcv.gate.releases.passage import on
from tbcv.gate.releases.shape import read_shape
from tbcv.gate.releases.traffic import Answers, Step, Traffic, converse, play, put
from tbcv.gate.staging.stage import Stage
from tbcv.migrate.snapshot import Difference

_RULE = re.compile(r"^constraint [^:]+: (check|foreign key)\b(?!.* not valid\b)", re.IGNORECASE | re.DOTALL)
_DOMAIN = re.compile(r"^type [^:]+: domain over .*\bcheck\b", re.IGNORECASE | re.DOTALL)
_DEFAULT = r"^column \S*\b{}: .*\bdefault (?P<value>-?\d+|'(?:[^']|'')*')"
_RULES = {Objection.CHECK, Objection.FOREIGN_KEY}


async def failure_on_strays(
    stage: Stage, scratch: ScratchDatabases, before: DatabaseURL, after: DatabaseURL, step: StepRehearsal
) -> Failure | None:
    """Run an upgrade on rows that its new foreign keys and CHECKs refuse.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        before: A database at the revision's parents.
        after: One at the revision.
        step: The revision, with what its upgrade changed.

    Returns:
        Why it fails; None where it makes no such rule for columns that were there, or copes with the rows.
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
    if not refused:
        return None
    async with scratch.copy(before) as trial:
        await on(trial, _put, traffic, refused)
        return await failure_again(stage, trial, step.revision)


async def failure_without_defaults(
    stage: Stage, scratch: ScratchDatabases, before: DatabaseURL, step: StepRehearsal
) -> Failure | None:
    """Run an upgrade where the rows are not there that the defaults of its new columns point at.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        Why it fails; None where no new column has such a default, or the revision sees to the row.
    """
    deletions = tuple(_defaults(step.schema)) if before.dialect == "postgresql" else ()
    if not deletions:
        return None
    async with scratch.copy(before) as trial:
        await on(trial, _delete, deletions)
        return await failure_again(stage, trial, step.revision)


def _defaults(schema: Difference) -> Iterator[str]:
    """Give statements that delete the rows which the defaults of new columns point at."""
    for reference in new_references(schema):
        pattern = re.compile(_DEFAULT.format(re.escape(reference.column)), re.IGNORECASE)
        lines = (one.line for one in schema.unexpected if one.subject == f"table {reference.table}")
        for default in filter(None, map(pattern.match, lines)):
            yield f"DELETE FROM {reference.target} WHERE {reference.key} = {default['value']}"


def _delete(connection: Connection, statements: Collection[str]) -> None:
    connection.exec_driver_sql("SET session_replication_role = replica")
    for statement in statements:
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
