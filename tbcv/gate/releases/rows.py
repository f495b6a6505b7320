"""Rows that a schema accepts, found by offering it some, and the rows that are there for others to point at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product

from sqlalchemy import Connection

from tbcv.gate.releases.attempts import Answer, Objection, attempt
from tbcv.gate.releases.shape import Column, Key, Reference, Relation
from tbcv.gate.releases.values import candidates, quoted

_MOST_ATTEMPTS = 150

Row = Mapping[str, "str | Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """The value of a column that points at another row.

    Attributes:
        reference: The foreign key.
        number: Which column of it.
        other: Whether to point at another row than the one that was inserted last.
    """

    reference: Reference
    number: int
    other: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """A database on which statements are tried.

    Attributes:
        connection: In a transaction that is rolled back in the end.
        dialect: The engine.
        alive: Of each relation, the row that was inserted last: its columns as literals.
    """

    connection: Connection
    dialect: str
    alive: dict[Key, dict[str, str]] = field(default_factory=dict)

    def name(self, key: Key) -> str:
        """Return a relation's name as it stands in a statement."""
        schema, name = key
        return f"{self.quote(schema)}.{self.quote(name)}" if schema else self.quote(name)

    def quote(self, name: str) -> str:
        """Return an identifier as it stands in a statement."""
        return self.connection.dialect.identifier_preparer.quote(name)

    def literals(self, relation: Relation, row: Row) -> dict[str, str] | None:
        """Return a row with its links resolved; None where there is nothing that one could point at."""
        found: dict[str, str] = {}
        for column, value in row.items():
            literal = self._resolve(relation, row, value) if isinstance(value, Link) else value
            if literal is None:
                known = relation.column(column)
                if known is None or not known.nullable:
                    return None
                literal = "NULL"
            found[column] = literal
        return found

    def insert(
        self, relation: Relation, values: Mapping[str, str], *, keep: bool = False, otherwise: str = ""
    ) -> Answer:
        """Insert a row, or do otherwise as the end of the statement says; a kept one is alive from then on."""
        names = ", ".join(self.quote(one) for one in values)
        body = f"({names}) VALUES ({', '.join(values.values())})" if values else "DEFAULT VALUES"
        answer = attempt(self.connection, f"INSERT INTO {self.name(relation.id)} {body}{otherwise}", keep=keep)
        # SQLite does not count what a view's trigger inserts.
        if keep and answer.worked and (answer.count or self.dialect == "sqlite"):
            self.alive[relation.id] = {**values, **self._numbers(relation, values)}
        return answer

    def key(self, relation: Relation) -> dict[str, str]:
        """Return the key of a row that is there, by the columns of the relation's key; empty where there is none."""
        if not relation.key:
            return {}
        row = self.alive.get(relation.id)
        if row is not None and all(row.get(one, "NULL") != "NULL" for one in relation.key):
            return {one: row[one] for one in relation.key}
        return self._any(relation.id, relation.key, {}) or {}

    def _resolve(self, relation: Relation, row: Row, link: Link) -> str | None:
        reference = link.reference
        referred = reference.referred[link.number]
        if reference.target == relation.id:
            own = row.get(referred)
            return own if isinstance(own, str) else None
        alive = self.alive.get(reference.target)
        if alive is not None and not link.other and referred in alive:
            return alive[referred]
        known = {one: alive[one] for one in reference.referred if one in alive} if alive else {}
        found = self._any(reference.target, reference.referred, known)
        return found[referred] if found else None

    def _any(self, key: Key, columns: tuple[str, ...], other_than: Mapping[str, str]) -> dict[str, str] | None:
        names = ", ".join(self.quote(one) for one in columns)
        same = " AND ".join(f"{self.quote(one)} = {value}" for one, value in other_than.items())
        where = f" WHERE NOT ({same})" if same else ""
        answer = attempt(self.connection, f"SELECT {names} FROM {self.name(key)}{where} LIMIT 1", rows=True)
        if answer.row is None:
            return None
        return dict(zip(columns, map(quoted, answer.row), strict=True))

    def _numbers(self, relation: Relation, values: Mapping[str, str]) -> dict[str, str]:
        """Return what the database itself has put into the key of the row that was just inserted."""
        found = {}
        for name in relation.key:
            if name not in values:
                query = f"SELECT max({self.quote(name)}) FROM {self.name(relation.id)}"
                answer = attempt(self.connection, query, rows=True)
                if answer.row is not None:
                    found[name] = quoted(answer.row[0])
        return found


def find_row(ground: Ground, relation: Relation, serial: int, *, keep: bool) -> Row | None:
    """Find a row that a relation accepts, with a value for every column that applications write.

    Args:
        ground: Where to try; rows that others point at must be alive.
        relation: What the row is for.
        serial: Gives values that other rows do not have.
        keep: Whether the row stays.
    """
    options = _options(relation, serial, ground.dialect)
    row: dict[str, str | Link] = {name: values[0] for name, values in options.items()}
    searches: dict[tuple[str, ...], Iterator[tuple[str | Link, ...]]] = {}
    for _ in range(_MOST_ATTEMPTS):
        values = ground.literals(relation, row)
        if values is None:
            return None
        answer = ground.insert(relation, values, keep=keep)
        if answer.worked:
            return row if answer.count else None
        blamed = _blamed(relation, answer, options)
        search = searches.setdefault(blamed, islice(product(*(options[one] for one in blamed)), 1, None))
        other = next(search, None)
        if other is None:
            return None
        row.update(zip(blamed, other, strict=True))
    return None


def required(relation: Relation, row: Row) -> Row:
    """Return of a row what an INSERT has to name."""
    columns = {one.name: one for one in relation.columns}
    return {name: value for name, value in row.items() if not (columns[name].nullable or columns[name].defaulted)}


def mentioning(column: str, checks: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the conditions that name a column."""
    return tuple(text for _, text in checks if mentions(text, column))


def mentions(text: str, name: str) -> bool:
    """Tell whether a name stands in a text as a word."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _options(relation: Relation, serial: int, dialect: str) -> dict[str, list[str | Link]]:
    links: dict[str, list[Link]] = {}
    for reference in relation.references:
        for number, name in enumerate(reference.columns):
            links.setdefault(name, [Link(reference, number), Link(reference, number, other=True)])
    found: dict[str, list[str | Link]] = {}
    for column in relation.writable:
        if column.numbered and column.name not in links:
            continue
        if column.name in links:
            found[column.name] = [*links[column.name], *(["NULL"] if column.nullable else [])]
            continue
        values = candidates(column, serial, mentioning(column.name, relation.checks), dialect)
        found[column.name] = [*values, *(["NULL"] if column.nullable else [])] or ["NULL"]
    return found


def _blamed(relation: Relation, answer: Answer, options: Mapping[str, list[str | Link]]) -> tuple[str, ...]:
    """Return the columns whose values to change after a refusal."""
    text = dict(relation.checks).get(answer.constraint, "") if answer.objection is Objection.CHECK else ""
    said = text or answer.detail
    named = [name for name in options if mentions(said, name)]
    if not named and answer.objection is Objection.CHECK:
        named = [name for name in options if mentioning(name, relation.checks)]
    if not named and answer.objection is Objection.UNIQUE:
        named = [name for name in options if any(name in one for one in relation.uniques | relation.partial)]
    return tuple(named or (name for name in options if _unusual(relation.column(name))))


def _unusual(column: Column | None) -> bool:
    return column is not None and column.kind in {"other", "array", "json", "text"}
