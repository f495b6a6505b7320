"""The program that exercises the mapped classes of one release; it runs in a process and a checkout of its own.

It imports nothing of tbcv: the ``tbcv`` that it could import is the one of the checkout. It reads a request per line
and answers each with a line, both JSON. The first request names the declarative base; each further one a database,
with the rows to insert if these are to be the same as in an earlier answer, and whether to leave rows there.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Column, Connection, create_engine, event, make_url, select
from sqlalchemy import types as sqltypes
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Mapper, Session, configure_mappers
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.schema import CheckConstraint, Table

_SEED, _MAIN, _SPARE = 1, 3, 4
_MOST_ATTEMPTS = 60
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

Choice = dict[str, int]
Step = dict[str, Any]


class Exercise:
    """One pass over all mapped classes on one database, in a transaction that is rolled back."""

    def __init__(self, connection: Connection, mappers: list[Mapper[Any]], rows: dict[str, Choice] | None) -> None:
        self.steps: list[Step] = []
        self.rows: dict[str, Choice] = {}
        self._connection = connection
        self._mappers = mappers
        self._given = rows
        self._alive: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, tuple[Any, ...]] = {}
        self._statement = ""
        event.listen(connection, "before_cursor_execute", self._note)

    def plant(self) -> None:
        """Insert rows that stay."""
        for mapper in self._mappers:
            self._insert(mapper, _SEED)

    def run(self) -> None:
        """Insert a row of every class, vary and change it, read everything, and delete it all again."""
        for mapper in self._mappers:
            self._insert(mapper, _MAIN)
        for mapper in self._mappers:
            self._vary(mapper)
            self._read(mapper)
            self._change(mapper)
        for mapper in reversed(self._mappers):
            if key := self._keys.get(_name(mapper)):
                self._try(mapper, "DELETE", partial(_delete, mapper=mapper, key=key), keep=True)

    def _insert(self, mapper: Mapper[Any], serial: int) -> None:
        name = _name(mapper)
        if self._given is not None and name in self._given:
            self._add(mapper, serial, self._given[name])
            return
        choice: Choice = {}
        for _ in range(_MOST_ATTEMPTS):
            before = len(self.steps)
            if self._add(mapper, serial, choice):
                self.rows[name] = choice
                return
            error = self.steps[-1]["error"]
            del self.steps[before:]
            if not self._advance(mapper, choice, error):
                break
        # What fits nowhere here may well fit elsewhere, with values of its own: none are handed on.
        self._add(mapper, serial, {})

    def _add(self, mapper: Mapper[Any], serial: int, choice: Choice) -> bool:
        values = self._values(mapper, serial, choice)

        def insert(session: Session) -> None:
            row = _instance(mapper, values)
            session.add(row)
            session.flush()
            self._keys[_name(mapper)] = tuple(mapper.primary_key_from_instance(row))
            for column in mapper.columns:
                if (key := _attribute(mapper, column)) is not None and isinstance(column.table, Table):
                    self._alive.setdefault(column.table.fullname, {})[column.name] = getattr(row, key)

        return self._try(mapper, "INSERT", insert, keep=True)

    def _advance(self, mapper: Mapper[Any], choice: Choice, error: str) -> bool:
        """Choose other values for what a refusal is about; tells whether there are any."""
        attributes = {_attribute(mapper, column): column for column in mapper.columns}
        table = mapper.local_table
        checks = [one for one in getattr(table, "constraints", ()) if isinstance(one, CheckConstraint)]
        failed = [one for one in checks if one.name and str(one.name) in error]
        texts = [str(one.sqltext) for one in failed or checks]
        named = [key for key, column in attributes.items() if key and _mentions(error, column.name)]
        checked = [key for key, column in attributes.items() if key and any(_mentions(t, column.name) for t in texts)]
        for key in named or checked or [key for key in attributes if key]:
            choice[key] = choice.get(key, 0) + 1
            if choice[key] < len(_candidates(attributes[key], _MAIN)):
                return True
            choice[key] = 0
        return False

    def _vary(self, mapper: Mapper[Any]) -> None:
        values = self._values(mapper, _SPARE, self._chosen(mapper))
        plain = {
            key: value
            for key, value in values.items()
            if (column := mapper.columns[key]).primary_key or not (column.nullable or _defaulted(column))
        }
        self._try(mapper, "INSERT", partial(_flush, mapper=mapper, values=plain), "of the required columns alone")
        for key, column in mapper.columns.items():
            if key not in values:
                continue
            for what, value, declared in _variations(column):
                varied = {**values, key: value}
                self._try(
                    mapper,
                    "INSERT",
                    partial(_flush, mapper=mapper, values=varied),
                    what,
                    column.name,
                    declared=declared,
                )

    def _read(self, mapper: Mapper[Any]) -> None:
        def read(session: Session) -> None:
            session.scalars(select(mapper.class_).limit(50)).all()

        self._try(mapper, "SELECT", read)

    def _change(self, mapper: Mapper[Any]) -> None:
        key = self._keys.get(_name(mapper))
        if key is None:
            return
        for attribute, value in self._values(mapper, _SPARE, self._chosen(mapper)).items():
            column = mapper.columns[attribute]
            if not column.primary_key:
                self._try(
                    mapper,
                    "UPDATE",
                    partial(_update, mapper=mapper, key=key, attribute=attribute, value=value),
                    column=column.name,
                )

    def _chosen(self, mapper: Mapper[Any]) -> Choice:
        return (self.rows if self._given is None else self._given).get(_name(mapper), {})

    def _values(self, mapper: Mapper[Any], serial: int, choice: Choice) -> dict[str, Any]:
        """Return values for the attributes of a row, those that the database makes left out."""
        found: dict[str, Any] = {}
        for key, column in mapper.columns.items():
            if column is mapper.polymorphic_on or column.computed is not None or _attribute(mapper, column) != key:
                continue
            if column.foreign_keys:
                found[key] = self._reference(column, found)
                continue
            if column.primary_key and column.autoincrement and isinstance(column.type, sqltypes.Integer):
                continue
            options = _candidates(column, serial)
            found[key] = options[choice.get(key, 0) % len(options)]
        return found

    def _reference(self, column: Column[Any], found: dict[str, Any]) -> Any:  # noqa: ANN401
        target = next(iter(column.foreign_keys)).column
        if target.table is column.table:
            return None if column.nullable else found.get(target.name)
        return self._alive.get(getattr(target.table, "fullname", ""), {}).get(target.name)

    def _try(
        self,
        mapper: Mapper[Any],
        verb: str,
        work: Callable[[Session], None],
        what: str = "",
        column: str | None = None,
        *,
        keep: bool = False,
        declared: bool = False,
    ) -> bool:
        savepoint = self._connection.begin_nested()
        self._statement, error, state = "", "", ""
        try:
            with Session(self._connection, join_transaction_mode="create_savepoint") as session:
                work(session)
                session.commit()
        except Exception as problem:  # whatever a class does counts as an answer
            savepoint.rollback()
            error, state = _words(problem)
        else:
            savepoint.commit() if keep else savepoint.rollback()
        table = getattr(mapper.local_table, "fullname", str(mapper.local_table))
        self.steps.append(
            {
                "id": [_name(mapper), verb, what, column],
                "table": table,
                "declared": declared,
                "statement": " ".join(self._statement.split()),
                "error": error,
                "state": state,
            }
        )
        return not error

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            self._statement = statement


def _flush(session: Session, mapper: Mapper[Any], values: dict[str, Any]) -> None:
    session.add(_instance(mapper, values))
    session.flush()


def _update(session: Session, mapper: Mapper[Any], key: tuple[Any, ...], attribute: str, value: object) -> None:
    row = session.get(mapper.class_, key)
    if row is None:
        raise LookupError("the row that was inserted is not found")
    setattr(row, attribute, value)
    session.flush()


def _delete(session: Session, mapper: Mapper[Any], key: tuple[Any, ...]) -> None:
    row = session.get(mapper.class_, key)
    if row is not None:
        session.delete(row)
        session.flush()


def _instance(mapper: Mapper[Any], values: dict[str, Any]) -> Any:  # noqa: ANN401
    """Make a row without calling its class, whose constructor may want anything."""
    row = mapper.class_manager.new_instance()
    if mapper.polymorphic_on is not None and mapper.polymorphic_identity is not None:
        setattr(row, str(_attribute(mapper, mapper.polymorphic_on)), mapper.polymorphic_identity)
    for key, value in values.items():
        if value is not None:
            setattr(row, key, value)
        else:
            mapper.class_manager[key].impl.set(
                mapper.class_manager.state_getter()(row), mapper.class_manager.dict_getter()(row), None, None
            )
    return row


def _attribute(mapper: Mapper[Any], column: Any) -> str | None:  # noqa: ANN401  # a column, or an expression
    try:
        return mapper.get_property_by_column(column).key
    except UnmappedColumnError:
        return None


def _candidates(column: Column[Any], serial: int) -> list[Any]:
    kind = column.type
    while isinstance(kind, sqltypes.TypeDecorator):
        kind = kind.impl_instance
    if isinstance(kind, sqltypes.Enum):
        return list(kind.enum_class) if kind.enum_class is not None else list(kind.enums)
    for cls, values in _VALUES:
        if isinstance(kind, cls):
            return [*values(kind, serial), *_literals(column)]
    return [f"word{serial}", serial, {}, "10.0.0.1", None]


def _literals(column: Column[Any]) -> Iterator[Any]:
    """Give what the CHECKs of its table name; a CHECK may want one of these."""
    for one in getattr(column.table, "constraints", ()):
        if isinstance(one, CheckConstraint) and _mentions(str(one.sqltext), column.name):
            if isinstance(column.type, sqltypes.String):
                yield from re.findall(r"'([^']*)'", str(one.sqltext))
            else:
                yield from (int(float(n)) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", str(one.sqltext)))


def _text(kind: Any, serial: int) -> list[Any]:  # noqa: ANN401  # as the other makers of values
    word = f"word{serial}"
    length = kind.length or len(word)
    return [word if length >= len(word) else (chr(97 + serial) * length)]


def _numeric(kind: Any, serial: int) -> list[Any]:  # noqa: ANN401
    value = Decimal(min(serial, 10 ** ((kind.precision or 12) - (kind.scale or 0)) - 1))
    return [value, Decimal(0), Decimal(1)] if kind.asdecimal else [float(value), 0.5, 0.0]


def _moments(kind: Any, serial: int) -> list[Any]:  # noqa: ANN401
    aware = _MOMENT + timedelta(days=serial)
    both = [aware, aware.replace(tzinfo=None)]
    return both if kind.timezone else both[::-1]


_VALUES: tuple[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any, int], list[Any]]], ...] = (
    (sqltypes.Boolean, lambda _kind, _serial: [True, False]),
    (sqltypes.Integer, lambda _kind, serial: [900 + serial, serial, 1, 0]),
    ((sqltypes.Numeric, sqltypes.Float), _numeric),
    (sqltypes.Uuid, lambda kind, serial: [UUID(int=serial) if kind.as_uuid else str(UUID(int=serial))]),
    (sqltypes.JSON, lambda _kind, serial: [{"a": serial}, [], "a"]),
    (sqltypes.LargeBinary, lambda _kind, serial: [bytes([serial])]),
    (sqltypes.ARRAY, lambda _kind, _serial: [[]]),
    (sqltypes.DateTime, _moments),
    (sqltypes.Date, lambda _kind, serial: [date(2026, 1, serial)]),
    (sqltypes.Time, lambda _kind, serial: [time(12, serial)]),
    (sqltypes.Interval, lambda _kind, serial: [timedelta(days=serial)]),
    (sqltypes.String, _text),
)


def _variations(column: Column[Any]) -> Iterator[tuple[str, Any, bool]]:
    if column.nullable and not column.primary_key:
        yield "of None", None, True
    kind = column.type
    if isinstance(kind, sqltypes.Enum):
        for value in _candidates(column, _SPARE):
            yield f"of {value.value if isinstance(value, Enum) else value}", value, True
    elif isinstance(kind, sqltypes.String) and kind.length:
        yield "of a value at the limit", "x" * kind.length, False


def _defaulted(column: Column[Any]) -> bool:
    return column.default is not None or column.server_default is not None or column.identity is not None


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _words(problem: Exception) -> tuple[str, str]:
    original = getattr(problem, "orig", None) or problem
    text = re.sub(r"^<class '[^']*'>:\s*", "", str(original)).strip()
    return (text.splitlines() or [type(problem).__name__])[0], getattr(original, "sqlstate", None) or ""


def _name(mapper: Mapper[Any]) -> str:
    return mapper.class_.__name__


def _mappers(base: Any) -> list[Mapper[Any]]:  # noqa: ANN401  # somebody's declarative base
    """Return the mapped classes, those that are pointed at before those that point."""
    order = {table: number for number, table in enumerate(base.metadata.sorted_tables)}
    mapped = [one for one in base.registry.mappers if one.local_table is not None]
    return sorted(mapped, key=lambda one: (max(order.get(t, 0) for t in one.tables), _name(one)))


def _exercise(mappers: list[Mapper[Any]], request: dict[str, Any]) -> dict[str, Any]:
    url = make_url(request["url"])
    if url.get_backend_name() == "sqlite":
        return _exercise_file(mappers, request, url)
    return asyncio.run(_exercise_server(mappers, request, url))


def _exercise_file(mappers: list[Mapper[Any]], request: dict[str, Any], url: URL) -> dict[str, Any]:
    # aiosqlite hands every statement to a thread and back, which takes four times as long as the statements do.
    engine = create_engine(url.set(drivername="sqlite"), connect_args=request["connect_args"], poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _entry: object) -> None:
        connection.isolation_level = None
        connection.cursor().execute("PRAGMA foreign_keys=ON").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with engine.connect() as connection:
        return _answer(connection, mappers, request)


async def _exercise_server(mappers: list[Mapper[Any]], request: dict[str, Any], url: URL) -> dict[str, Any]:
    engine = create_async_engine(url, connect_args=request["connect_args"], poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_answer, mappers, request)
    finally:
        await engine.dispose()


def _answer(connection: Connection, mappers: list[Mapper[Any]], request: dict[str, Any]) -> dict[str, Any]:
    exercise = Exercise(connection, mappers, request["rows"])
    if request["plant"]:
        exercise.plant()
        connection.commit()
    else:
        exercise.run()
        connection.rollback()
    return {"steps": exercise.steps, "rows": exercise.rows}


def main() -> None:
    """Answer requests until there are none."""
    # What the models print must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    mappers: list[Mapper[Any]] = []
    for line in sys.stdin:
        request = json.loads(line)
        if "base" in request:
            try:
                module, _, name = request["base"].partition(":")
                base = getattr(importlib.import_module(module), name or "Base")
                configure_mappers()
                mappers = _mappers(base)
                answer: dict[str, Any] = {"classes": [_name(one) for one in mappers]}
            except Exception as problem:  # somebody's modules may raise anything
                answer = {"failed": f"{type(problem).__name__}: {problem}"}
        else:
            answer = _exercise(mappers, request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
