"""Check 3: models, chain and committed schema agree, by snapshot, on an engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection

from tbcv.engine.scratch import Dialect
from tbcv.errors import BrokenHistoryError, UpgradeFailedError
from tbcv.findings import Finding, Location
from tbcv.gate.change.codes import found
from tbcv.gate.change.files import line_of_error
from tbcv.gate.staging.templates import Templates
from tbcv.migrate.executor import run_alembic
from tbcv.migrate.history import History
from tbcv.migrate.ledger import ledger_path, read_ledger, short
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.measure import snapshot_of_models
from tbcv.migrate.schema import read_schema, schema_path
from tbcv.migrate.snapshot import Difference, Snapshot, compare, take_snapshot

_COLUMN = re.compile(r"column [^.]+\.(?P<name>[^:]+):")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The application's models, which the gate is handed: it may not know them.

    Attributes:
        create_all: Builds their schema on a connection.
        base: The declarative base, as in ``tbcv.core.database:Base``; empty where there is none to import.
        directory: From where that module is imported.
        locate: Says where a table, or a column of it, is declared.
    """

    create_all: Callable[[Connection], None]
    base: str
    directory: Path
    locate: Callable[[str, str | None], Location | None] = lambda _table, _column: None


@dataclass(frozen=True, slots=True)
class Drift:
    """How models, chain and committed schema agree on one engine.

    Attributes:
        dialect: The engine.
        changes: How the models differ from what the chain builds, in words.
        schema: What the chain builds; None where it fails.
        findings: What is wrong.
    """

    dialect: Dialect
    changes: tuple[str, ...]
    schema: Snapshot | None
    findings: tuple[Finding, ...] = field(default=())


async def check_drift(
    templates: Templates,
    dialect: Dialect,
    history: History,
    models: ModelSource | None,
) -> Drift:
    """Compare the models and the committed schema with what the chain builds.

    Args:
        templates: Where the chain is run.
        dialect: The engine.
        history: The chain.
        models: What it is compared with; None leaves that out.
    """
    try:
        async with templates.at(dialect, *history.heads) as address:
            schema = await run_alembic(address, take_snapshot)
    except UpgradeFailedError as error:
        return Drift(dialect, (), None, (_failure(history, dialect, error),))
    findings: list[Finding] = []
    changes: tuple[str, ...] = ()
    if models is not None:
        difference = compare(schema, await snapshot_of_models(models.create_all, templates.scratch, dialect))
        changes = words(difference)
        findings += _of_models(difference, dialect, models, history)
    findings += [*_of_schema(templates.environment, schema, dialect), *_of_ledger(templates, schema, history)]
    return Drift(dialect, changes, schema, tuple(findings))


def words(difference: Difference) -> tuple[str, ...]:
    """Say how models differ from the chain, a line for every fact."""
    return (
        *(f"only the migrations have: {fact.line}" for fact in difference.missing),
        *(f"only the models have: {fact.line}" for fact in difference.unexpected),
    )


def _of_models(difference: Difference, dialect: Dialect, models: ModelSource, history: History) -> Iterator[Finding]:
    """Give a finding for each table or other object, at its declaration where that is known."""
    facts = [(one.subject, one.line, "migrations") for one in difference.missing]
    facts += [(one.subject, one.line, "models") for one in difference.unexpected]
    for subject, group in groupby(sorted(facts), key=lambda one: one[0]):
        listed = list(group)
        message = f"{dialect}: {subject}: " + "; ".join(f"only the {side} have {line}" for _, line, side in listed)
        where = _declared(subject, [line for _, line, _ in listed], models)
        if where is None and len(history.heads) == 1:
            where = Location(history.revisions[history.heads[0]].path)
        yield found(
            "models-drift", message, where.path if where else None, where.line if where else None, dialect=dialect
        )


def _declared(subject: str, lines: list[str], models: ModelSource) -> Location | None:
    kind, _, name = subject.partition(" ")
    columns = {match["name"] for line in lines if (match := _COLUMN.match(line))}
    if kind != "table":
        return None
    column = columns.pop() if len(columns) == 1 and all(_COLUMN.match(one) for one in lines) else None
    return models.locate(name, column)


def _of_schema(environment: AlembicEnvironment, schema: Snapshot, dialect: Dialect) -> Iterator[Finding]:
    path = schema_path(environment, dialect)
    lines = read_schema(environment, dialect)
    if lines is None:
        yield found("schema-missing", f"there is no {path.name} beside the revisions", path, dialect=dialect)
        return
    built = schema.text.splitlines()
    for kind, start, end, new_start, new_end in SequenceMatcher(None, lines, built, autojunk=False).get_opcodes():
        if kind != "equal":
            sides = [f"it says {one}" for one in lines[start:end]]
            sides += [f"the migrations build {one}" for one in built[new_start:new_end]]
            # A line that is missing at the end is missing after the last one.
            line = min(start + 1, max(1, len(lines)))
            yield found("schema-drift", f"{path.name}: {'; '.join(sides)}", path, line, dialect=dialect)


def _of_ledger(templates: Templates, schema: Snapshot, history: History) -> Iterator[Finding]:
    """Compare the fingerprint that the ledger notes for the head, by which fresh databases are built."""
    if len(history.heads) != 1:
        return
    try:
        entry = read_ledger(templates.environment).get(history.heads[0])
    except BrokenHistoryError:
        return
    noted = entry.fingerprints.get(schema.dialect) if entry else None
    if noted not in (None, short(schema.fingerprint)):
        path = ledger_path(templates.environment)
        message = f"the ledger notes another schema on {schema.dialect} for {history.heads[0]} than the chain builds"
        yield found("ledger-fingerprint", message, path, ledger_line(path, history.heads[0]), dialect=schema.dialect)


def ledger_line(path: Path, revision: str) -> int | None:
    """Return the line of a revision in a ledger."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.split(" ", 1)[0] == revision), None)


def _failure(history: History, dialect: Dialect, error: UpgradeFailedError) -> Finding:
    revision = history.revisions[error.failed]
    line = line_of_error(revision.path, error)
    return found(
        "chain-fails", f"{dialect}: {error.message}", revision.path, line, revision=revision.id, dialect=dialect
    )
