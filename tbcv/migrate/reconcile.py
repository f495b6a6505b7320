"""The statements that turn one schema into another without touching a row, or the reason why there are none.

A snapshot's facts are SQL already, so a statement is put together from what the engine itself printed about the
schema that is wanted. Whoever runs the statements compares the outcome with that schema before committing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tbcv.migrate.snapshot import Snapshot

_AFFINITIES = (
    (re.compile("int"), "integer"),
    (re.compile("char|clob|text"), "text"),
    (re.compile("blob|^$"), "blob"),
    (re.compile("real|floa|doub"), "real"),
)
_CLAUSES = re.compile(r" (?=(?:collate|not null|default|generated|identity)\b)", re.IGNORECASE)
_VARCHAR = re.compile(r"character varying(?:\((\d+)\))?")


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema at one revision.

    Attributes:
        revision: The revision.
        snapshot: What the engine says about it.
        columns: The columns of each table, in their order.
    """

    revision: str
    snapshot: Snapshot
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What has to be done to a schema.

    Attributes:
        statements: In order; they drop no table and no column.
        refusals: Why it cannot be done without losing something; with any, the statements are not to be run.
    """

    statements: tuple[str, ...]
    refusals: tuple[str, ...]


class _Table:
    """The facts about one table, by what they are about."""

    def __init__(self, name: str, snapshot: Snapshot) -> None:
        self.name = name
        self.facts = {fact.line for fact in snapshot.facts if fact.subject == f"table {name}"}
        self.columns = self._of("column")
        self.constraints = self._of("constraint")
        self.indexes = self._of("index")
        known = {f"{kind} {name}" for kind in ("column", "constraint", "index")}
        self.others = {line for line in self.facts if not any(line.startswith(f"{one}.") for one in known)}

    def _of(self, kind: str) -> dict[str, str]:
        start = f"{kind} {self.name}."
        found: dict[str, str] = {}
        for line in sorted(self.facts):
            if line.startswith(start):
                name, _, body = line[len(start) :].partition(":")
                # Several constraints of a table may have no name.
                found[name if name not in found else f"{name} {len(found)}"] = body.strip()
        return found


def reconcile(found: Snapshot, target: Schema) -> Reconciliation:
    """Find the statements that turn one schema into another.

    Args:
        found: The schema there is, without what is not the application's.
        target: The schema there should be, on the same engine.
    """
    wanted, order = target.snapshot, target.columns
    way = _sqlite if found.dialect == "sqlite" else _postgresql
    statements: list[str] = []
    refusals = [f"{one} would have to be dropped" for one in sorted(found.subjects - wanted.subjects)]
    for subject in sorted(wanted.subjects):
        kind, _, name = subject.partition(" ")
        if kind != "table":
            if [one for one in wanted.facts if one.subject == subject] != [
                one for one in found.facts if one.subject == subject
            ]:
                refusals.append(f"{subject} differs")
            continue
        there, should = _Table(name, found), _Table(name, wanted)
        if there.facts == should.facts:
            continue
        if subject not in found.subjects:
            statements += [_create(name, should, order[name]), *_indexes(should, should.indexes)]
            continue
        refusals += _losses(there, should)
        statements += way(there, should, order[name])
    return Reconciliation(tuple(statements), tuple(refusals))


def _losses(there: _Table, should: _Table) -> Iterator[str]:
    for column in there.columns:
        if column not in should.columns:
            yield f"column {there.name}.{column} would have to be dropped"
    for line in sorted(there.others ^ should.others):
        yield f"{line.partition(':')[0]} differs"


def _create(name: str, table: _Table, order: Sequence[str]) -> str:
    parts = [f"{column} {table.columns[column]}".rstrip() for column in order]
    parts += [_constraint(one, body) for one, body in table.constraints.items()]
    return f"CREATE TABLE {name} ({', '.join(parts)})"


def _constraint(name: str, body: str) -> str:
    return body if name.startswith("unnamed") else f"CONSTRAINT {name} {body}"


def _indexes(table: _Table, names: Iterator[str] | Mapping[str, str]) -> list[str]:
    """Return the statements that create indexes, those behind constraints excepted."""
    made = []
    for name in names:
        if name not in table.constraints:
            body = table.indexes[name]
            made.append(body if body.upper().startswith("CREATE") else f"CREATE {body}")
    return made


def _sqlite(there: _Table, should: _Table, order: Sequence[str]) -> Iterator[str]:
    if (there.columns, there.constraints) == (should.columns, should.constraints):
        for name in there.indexes:
            if there.indexes[name] != should.indexes.get(name):
                yield f"DROP INDEX {name}"
        yield from _indexes(should, {one: "" for one, body in should.indexes.items() if there.indexes.get(one) != body})
        return
    new = f"_tbcv_adopt_{should.name}"
    shared = ", ".join(column for column in order if column in there.columns)
    yield _create(new, should, order)
    yield f"INSERT INTO {new} ({shared}) SELECT {shared} FROM {should.name}"
    yield f"DROP TABLE {should.name}"
    yield f"ALTER TABLE {new} RENAME TO {should.name}"
    yield from _indexes(should, should.indexes)


def conversions(found: Snapshot, wanted: Snapshot) -> tuple[str, ...]:
    """Return the columns whose values could not all be kept as they are by their new type."""
    lossy = _changes_affinity if found.dialect == "sqlite" else _narrows
    unsafe = []
    for subject in sorted(found.subjects & wanted.subjects):
        kind, _, name = subject.partition(" ")
        if kind != "table":
            continue
        there, should = _Table(name, found), _Table(name, wanted)
        for column in sorted(there.columns.keys() & should.columns.keys()):
            before, after = _type(there.columns[column]), _type(should.columns[column])
            if before != after and lossy(before, after):
                unsafe.append(f"column {name}.{column} would change from {before or 'no type'} to {after}")
    return tuple(unsafe)


def _type(definition: str) -> str:
    return _CLAUSES.split(definition, maxsplit=1)[0].strip()


def _changes_affinity(before: str, after: str) -> bool:
    return _affinity(before) != _affinity(after)


def _affinity(kind: str) -> str:
    """Return the affinity of a declared type, by SQLite's rules."""
    return next((name for pattern, name in _AFFINITIES if pattern.search(kind.lower())), "numeric")


def _narrows(before: str, after: str) -> bool:
    if after == "text":
        return False
    old, new = _VARCHAR.fullmatch(before), _VARCHAR.fullmatch(after)
    if new is None:
        return True
    if old is None:
        # An enumeration of PostgreSQL's becomes its label, if that fits; a longer one fails and is rolled back.
        return "(" in before or before.startswith(("timestamp", "json", "double", "integer", "bigint", "text"))
    return new[1] is not None and (old[1] is None or int(new[1]) < int(old[1]))


def _postgresql(there: _Table, should: _Table, order: Sequence[str]) -> Iterator[str]:
    table = should.name
    for name, body in there.constraints.items():
        if should.constraints.get(name) != body:
            yield f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    for name, body in there.indexes.items():
        if should.indexes.get(name) != body and name not in there.constraints:
            yield f"DROP INDEX {name}"
    for column in order:
        if column not in there.columns:
            yield f"ALTER TABLE {table} ADD COLUMN {column} {should.columns[column]}"
        elif there.columns[column] != should.columns[column]:
            yield from _alter(table, column, there.columns[column], should.columns[column])
    for name, body in should.constraints.items():
        if there.constraints.get(name) != body:
            yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {body}"
    yield from _indexes(should, {one: "" for one, body in should.indexes.items() if there.indexes.get(one) != body})


def _alter(table: str, column: str, before: str, after: str) -> Iterator[str]:
    alter = f"ALTER TABLE {table} ALTER COLUMN {column}"
    old, new = _CLAUSES.split(before), _CLAUSES.split(after)
    if "not null" in old and "not null" not in new:
        yield f"{alter} DROP NOT NULL"
    default = next((one for one in old if one.startswith("default")), None)
    wanted = next((one for one in new if one.startswith("default")), None)
    if default is not None and (default != wanted or old[0] != new[0]):
        yield f"{alter} DROP DEFAULT"
    if old[0] != new[0]:
        yield f"{alter} TYPE {new[0]} USING {column}::{new[0]}"
    if wanted is not None and (default != wanted or old[0] != new[0]):
        yield f"{alter} SET {wanted.upper()[:7]}{wanted[7:]}"
    if "not null" in new and "not null" not in old:
        yield f"{alter} SET NOT NULL"
