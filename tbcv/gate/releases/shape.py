"""The shape of a schema, as an application's plain statements see it: what can be named, and what is accepted.

A schema snapshot says everything and in the engine's words; here is the part from which statements can be written
and values be chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedIndex
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.syntax import ONE_THREAD

Key = tuple[str | None, str]

# A more special type stands before the one that it derives from.
_KINDS: tuple[tuple[type[Any], str], ...] = (
    (postgresql.DOMAIN, "domain"),
    (sqltypes.Enum, "enum"),
    (sqltypes.Boolean, "boolean"),
    (sqltypes.SmallInteger, "smallint"),
    (sqltypes.BigInteger, "bigint"),
    (sqltypes.Integer, "integer"),
    (sqltypes.Float, "float"),
    (sqltypes.Numeric, "numeric"),
    (sqltypes.Uuid, "uuid"),
    (sqltypes.JSON, "json"),
    (sqltypes.LargeBinary, "binary"),
    (sqltypes.ARRAY, "array"),
    (sqltypes.DateTime, "timestamp"),
    (sqltypes.Date, "date"),
    (sqltypes.Time, "time"),
    (sqltypes.Interval, "interval"),
    (postgresql.INTERVAL, "interval"),
    (sqltypes.String, "text"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or a view.

    Attributes:
        name: Its name.
        type: As the engine writes it; empty where it has none.
        kind: The family of its type, by which values are chosen.
        length: The longest text, if there is a limit.
        precision: How many digits a number may have, if there is a limit.
        scale: How many of these stand after the point.
        labels: The labels of an enumeration.
        nullable: Whether it takes NULL.
        defaulted: Whether it gets a value where an INSERT does not name it.
        numbered: Whether that value is the next number, which applications leave to the database.
        generated: Whether it cannot be written.
    """

    name: str
    type: str
    kind: str
    length: int | None
    precision: int | None
    scale: int | None
    labels: tuple[str, ...]
    nullable: bool
    defaulted: bool
    numbered: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: columns of a table, and the columns of another that they point at."""

    columns: tuple[str, ...]
    target: Key
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view.

    Attributes:
        schema: Its schema; None for the one that is found without naming it.
        name: Its name.
        view: Whether it is a view.
        columns: In the order of the database.
        key: The columns of its primary key.
        uniques: The columns, or expressions, of each unique constraint or index, the primary key's included.
        partial: The same of those unique indexes that concern some rows alone.
        references: Its foreign keys.
        checks: The conditions of its CHECK constraints, by name.
    """

    schema: str | None
    name: str
    view: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    uniques: frozenset[tuple[str, ...]]
    partial: frozenset[tuple[str, ...]]
    references: tuple[Reference, ...]
    checks: tuple[tuple[str, str], ...]

    @property
    def id(self) -> Key:
        """What foreign keys call it."""
        return self.schema, self.name

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def writable(self) -> tuple[Column, ...]:
        """The columns that an INSERT may name."""
        return tuple(one for one in self.columns if not one.generated)

    def column(self, name: str) -> Column | None:
        """Return a column by its name."""
        return next((one for one in self.columns if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Shape:
    """The relations of a schema.

    Attributes:
        dialect: The engine.
        relations: Those that are pointed at before those that point, views last.
    """

    dialect: str
    relations: tuple[Relation, ...]

    def get(self, key: Key) -> Relation | None:
        """Return a relation by its id."""
        return next((one for one in self.relations if one.id == key), None)

    def around(self, keys: frozenset[Key]) -> Shape:
        """Return the part in which rows of some relations can live: with what they point at and what points at them."""
        pointing = {one.id for one in self.relations if any(ref.target in keys for ref in one.references)}
        found: set[Key] = set()
        todo = [*keys, *pointing]
        while todo:
            relation = self.get(todo.pop())
            if relation is not None and relation.id not in found:
                found.add(relation.id)
                todo += [ref.target for ref in relation.references]
        return Shape(self.dialect, tuple(one for one in self.relations if one.id in found))


def read_shape(connection: Connection) -> Shape:
    """Reflect a schema, the version table excepted."""
    inspector = inspect(connection)
    relations: dict[Key, Relation] = {}
    with ONE_THREAD, warnings.catch_warnings():
        # Of types and expressions that SQLAlchemy does not know; such columns get values by trial.
        warnings.simplefilter("ignore")
        for schema in _schemas(connection, inspector):
            relations |= {one.id: one for one in _relations(connection, inspector, schema)}
    return Shape(connection.dialect.name, tuple(_in_order(relations)))


def _schemas(connection: Connection, inspector: Inspector) -> list[str | None]:
    if connection.dialect.name == "sqlite":
        return [None]
    own = inspector.default_schema_name
    names = [one for one in inspector.get_schema_names() if one != "information_schema" and not one.startswith("pg_")]
    return [None if one == own else one for one in names]


def _relations(connection: Connection, inspector: Inspector, schema: str | None) -> Iterable[Relation]:
    columns = _columns(connection, inspector, schema)
    views = {*inspector.get_view_names(schema=schema)}
    if connection.dialect.name == "postgresql":
        views |= {*inspector.get_materialized_view_names(schema=schema)}
    keys = inspector.get_multi_pk_constraint(schema=schema)
    uniques = inspector.get_multi_unique_constraints(schema=schema)
    indexes = inspector.get_multi_indexes(schema=schema)
    references = inspector.get_multi_foreign_keys(schema=schema)
    checks = inspector.get_multi_check_constraints(schema=schema)
    for id_, found in columns.items():
        if id_[1] == VERSION_TABLE:
            continue
        primary = keys.get(id_)
        key = tuple(primary["constrained_columns"]) if primary else ()
        sets = [tuple(one["column_names"]) for one in uniques.get(id_, ())]
        unique = [one for one in indexes.get(id_, ()) if one["unique"]]
        partial = [_members(one) for one in unique if _is_partial(one)]
        sets += [_members(one) for one in unique if not _is_partial(one)]
        yield Relation(
            schema,
            id_[1],
            id_[1] in views,
            tuple(_column(connection, one, key) for one in found),
            key,
            frozenset(tuple(sorted(one)) for one in (*sets, key) if one),
            frozenset(tuple(sorted(one)) for one in partial if one),
            tuple(
                Reference(
                    tuple(one["constrained_columns"]),
                    (one["referred_schema"], one["referred_table"]),
                    tuple(one["referred_columns"] or one["constrained_columns"]),
                )
                for one in references.get(id_, ())
            ),
            tuple((str(one["name"] or ""), one["sqltext"]) for one in checks.get(id_, ())),
        )


def _members(index: ReflectedIndex) -> tuple[str, ...]:
    return tuple(filter(None, index.get("expressions") or index["column_names"]))


def _is_partial(index: ReflectedIndex) -> bool:
    return any(option.endswith("_where") for option in index.get("dialect_options", {}))


def _columns(
    connection: Connection, inspector: Inspector, schema: str | None
) -> Mapping[tuple[str | None, str], list[ReflectedColumn]]:
    if connection.dialect.name == "postgresql":
        return inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY)
    found = dict(inspector.get_multi_columns(schema=schema, kind=ObjectKind.TABLE))
    for view in inspector.get_view_names(schema=schema):
        # SQLite keeps a view whose table is gone, and says so when it is used.
        with suppress(DBAPIError):
            found[schema, view] = inspector.get_columns(view, schema=schema)
    return found


def _column(connection: Connection, found: Mapping[str, Any], key: tuple[str, ...]) -> Column:
    kind, type_ = _kind(found["type"])
    written = _written(connection, found["type"])
    default, identity = found.get("default"), found.get("identity")
    numbered = identity is not None or (default is not None and str(default).startswith("nextval("))
    if connection.dialect.name == "sqlite" and key == (found["name"],) and written.upper() == "INTEGER":
        numbered = True
    return Column(
        found["name"],
        written,
        kind,
        getattr(type_, "length", None) if kind == "text" else None,
        getattr(type_, "precision", None) if kind == "numeric" else None,
        getattr(type_, "scale", None) if kind == "numeric" else None,
        tuple(getattr(type_, "enums", ())) if kind == "enum" else (),
        bool(found["nullable"]),
        default is not None or numbered,
        numbered,
        found.get("computed") is not None or bool(identity and identity.get("always")),
    )


def _kind(type_: Any) -> tuple[str, Any]:  # noqa: ANN401  # a type of SQLAlchemy's, of which there are many
    kind = next((kind for cls, kind in _KINDS if isinstance(type_, cls)), "other")
    return _kind(type_.data_type) if kind == "domain" else (kind, type_)


def _written(connection: Connection, type_: Any) -> str:  # noqa: ANN401
    try:
        return str(type_.compile(dialect=connection.dialect))
    except SQLAlchemyError:
        return ""


def _in_order(relations: Mapping[Key, Relation]) -> list[Relation]:
    """Put those that are pointed at before those that point; of a circle, by name."""
    tables = {key: one for key, one in relations.items() if not one.view}
    graph = {key: {ref.target for ref in one.references if ref.target in tables} - {key} for key, one in tables.items()}
    by_name = sorted(tables, key=lambda key: (key[0] or "", key[1]))
    try:
        order = list(TopologicalSorter({key: graph[key] for key in by_name}).static_order())
    except CycleError:
        # A nullable link can wait: without those, most circles are none.
        needed = {key: {ref.target for ref in tables[key].references if _required(tables[key], ref)} for key in by_name}
        try:
            graph = {key: (targets & tables.keys()) - {key} for key, targets in needed.items()}
            order = list(TopologicalSorter(graph).static_order())
        except CycleError:
            order = by_name
    views = sorted((one for one in relations.values() if one.view), key=lambda one: one.label)
    return [*(tables[key] for key in order), *views]


def _required(relation: Relation, reference: Reference) -> bool:
    columns = [relation.column(name) for name in reference.columns]
    return all(one is not None and not one.nullable for one in columns)
