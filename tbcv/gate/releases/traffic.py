"""The plain statements of an application that knows a schema by its shape alone, and their answers on a database.

The statements are composed from one shape and run on two schemas: on the one that has that shape, to learn which
of them work at all, and on the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection

from tbcv.gate.releases.attempts import Answer, attempt
from tbcv.gate.releases.rows import Ground, Row, find_row, mentioning, required
from tbcv.gate.releases.shape import Column, Key, Reference, Relation, Shape
from tbcv.gate.releases.values import declared, extremes

_SEEDS = (1, 2)
_MAIN, _SPARE = 3, 4
# Whether somebody but the owner was given a table. The role that plays the application was given all of them.
_GRANTED = """
    SELECT n.nspname, c.relname, EXISTS (
        SELECT FROM aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.grantee <> c.relowner AND coalesce(r.rolname, '') NOT LIKE 'tbcv\\_application\\_%'
    )
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_ROLES = """
    SELECT DISTINCT r.rolname::text FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.oid >= 16384 AND a.grantee <> c.relowner AND NOT r.rolsuper AND NOT r.rolbypassrls ORDER BY 1
"""
IN_ANOTHER_CASE = "by its value in another case"
LEFT_BEHIND = "of a row whose other one is deleted"
# Far from those that a sequence gives, and small enough for a smallint.
_OWN_NUMBER = "30001"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an application does.

    Attributes:
        relation: To which table or view.
        verb: The SQL verb.
        what: With what, in words; empty where the verb says all.
        column: The column that it is about, if it is about one.
        declared: Whether its value is one that the schema names: a label, or NULL where that is allowed.
    """

    relation: Key
    verb: str
    what: str = ""
    column: str | None = None
    declared: bool = False


Answers = dict[Step, Answer]


def passing_over(relation: Key, key: tuple[str, ...]) -> Step:
    """Return the step that inserts a row unless one with the same key is there."""
    return Step(relation, "INSERT", f"ON CONFLICT ({', '.join(key)})")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The statements of a shape.

    Attributes:
        shape: What they know.
        rows: For each table that takes one, a row to insert and another one to vary.
        roles: Who was given a table, besides its owner.
    """

    shape: Shape
    rows: dict[Key, tuple[Row, Row | None]]
    roles: tuple[str, ...] = ()


def plant(connection: Connection, shape: Shape) -> None:
    """Insert a few rows into every empty table that takes some; the caller commits."""
    ground = Ground(connection, shape.dialect)
    for relation in _tables(shape):
        filled = attempt(connection, f"SELECT 1 FROM {ground.name(relation.id)} LIMIT 1").count
        for serial in () if filled else _SEEDS:
            find_row(ground, relation, serial, keep=True)


def compose(connection: Connection, shape: Shape) -> Traffic:
    """Find out which rows a schema accepts.

    Args:
        connection: In a transaction on a database of that shape; the caller rolls back.
        shape: What statements may name.
    """
    ground = Ground(connection, shape.dialect)
    rows: dict[Key, tuple[Row, Row | None]] = {}
    for relation in _tables(shape):
        main = find_row(ground, relation, _MAIN, keep=True)
        if main is not None:
            rows[relation.id] = main, find_row(ground, relation, _SPARE, keep=False)
    return Traffic(shape, rows, _roles(connection))


def accepts_another(connection: Connection, traffic: Traffic, relation: Relation, shape: Shape) -> bool:
    """Tell whether a schema takes some row of a relation, though not the ordinary one.

    Args:
        connection: In a transaction on the other schema; the caller rolls back.
        traffic: Whose rows those are that others point at.
        relation: With the columns of one schema, and with the constraints of both.
        shape: The other schema.
    """
    ground = Ground(connection, traffic.shape.dialect)
    _insert_all(ground, traffic, {}, stop_at=relation.id)
    # What the relation points at in the other schema alone has no row of ours yet.
    for target in shape.around(frozenset(ref.target for ref in relation.references)).relations:
        if not target.view and target.id not in ground.alive and target.id != relation.id:
            find_row(ground, target, _MAIN, keep=True)
    return find_row(ground, relation, _SPARE, keep=False) is not None


def converse(connection: Connection, shape: Shape, only: frozenset[Key]) -> tuple[Traffic, Answers]:
    """Compose the statements of a schema and run them on it.

    Args:
        connection: To a database of that shape; all is rolled back.
        shape: What statements may name.
        only: The relations whose answers are wanted.
    """
    traffic = compose(connection, shape)
    connection.rollback()
    return traffic, play(connection, traffic, only)


def put(connection: Connection, traffic: Traffic, steps: Collection[Step]) -> None:
    """Insert the rows of some steps, with those that they may point at; the caller commits."""
    ground = Ground(connection, traffic.shape.dialect)
    _insert_all(ground, traffic, {})
    for relation in _tables(traffic.shape):
        for step, answer in list(_inserts(ground, traffic, relation)):
            if step in steps:
                attempt(connection, answer.statement, keep=True)


def play(connection: Connection, traffic: Traffic, only: frozenset[Key]) -> Answers:
    """Run the statements.

    Args:
        connection: In a transaction; the caller rolls back.
        traffic: The statements.
        only: The relations whose answers are wanted; rows of others are inserted for them to point at.
    """
    ground = Ground(connection, traffic.shape.dialect)
    answers: Answers = {}
    if traffic.shape.dialect == "postgresql":
        # What is checked at the end of a transaction would otherwise not be checked at all.
        attempt(connection, "SET CONSTRAINTS ALL IMMEDIATE", keep=True)
        _become_application(ground, traffic)
    _insert_all(ground, traffic, answers)
    for relation in traffic.shape.relations:
        if relation.id in only:
            answers |= _reads(ground, relation)
            if not relation.view:
                answers |= _inserts(ground, traffic, relation)
                answers |= _updates(ground, traffic, relation)
                answers |= _sparse_updates(ground, traffic, relation)
    _delete_all(ground, traffic, answers)
    return {step: answer for step, answer in answers.items() if step.relation in only}


def _tables(shape: Shape) -> Iterator[Relation]:
    return (one for one in shape.relations if not one.view)


def _roles(connection: Connection) -> tuple[str, ...]:
    if connection.dialect.name == "sqlite":
        return ()
    return tuple(connection.exec_driver_sql(_ROLES).scalars())


def _become_application(ground: Ground, traffic: Traffic) -> None:
    """Go on as a role that may use everything and owns nothing: row security does not concern owners.

    It belongs to the roles that were given tables before, one of which the application's is. The role goes with the
    transaction. Where none may be made, the owner runs the statements.
    """
    shape = traffic.shape
    role = f"tbcv_application_{uuid4().hex}"
    if not attempt(ground.connection, f"CREATE ROLE {role}", keep=True).worked:
        return
    here = attempt(ground.connection, "SELECT current_schema()", rows=True).row or ("public",)
    for schema in {one.schema or str(here[0]) for one in shape.relations}:
        name = ground.quote(schema)
        for what in ("USAGE ON SCHEMA", "ALL ON ALL TABLES IN SCHEMA", "ALL ON ALL SEQUENCES IN SCHEMA"):
            attempt(ground.connection, f"GRANT {what} {name} TO {role}", keep=True)
    for one in traffic.roles:
        attempt(ground.connection, f"GRANT {ground.quote(one)} TO {role}", keep=True)
    _leave_what_is_new(ground, shape, role)
    attempt(ground.connection, f"SET LOCAL ROLE {role}", keep=True)


def _leave_what_is_new(ground: Ground, shape: Shape, role: str) -> None:
    """Take from a role the tables that its release does not know and nobody was given.

    Only where somebody was given any: else the application owns them all, the new ones too.
    """
    known = {one.id for one in shape.relations}
    listed = ground.connection.exec_driver_sql(_GRANTED).all()
    if not any(granted for _, _, granted in listed):
        return
    for schema, table, granted in listed:
        if not granted and not {(schema, table), (None, table)} & known:
            name = f"{ground.quote(schema)}.{ground.quote(table)}"
            attempt(ground.connection, f"REVOKE ALL ON {name} FROM {role}", keep=True)


def _insert_all(ground: Ground, traffic: Traffic, answers: Answers, stop_at: Key | None = None) -> None:
    for relation in _tables(traffic.shape):
        if relation.id == stop_at:
            return
        main, _ = traffic.rows.get(relation.id, (None, None))
        values = None if main is None else ground.literals(relation, main)
        if values is not None:
            answers[Step(relation.id, "INSERT")] = ground.insert(relation, values, keep=True)


def _inserts(ground: Ground, traffic: Traffic, relation: Relation) -> Iterator[tuple[Step, Answer]]:
    """Insert variations of a row: the least of it, its values at the limits, and the values that the schema names."""
    main, spare = traffic.rows.get(relation.id, (None, None))
    values = None if spare is None else ground.literals(relation, spare)
    if main is None or spare is None or values is None:
        return
    least = ground.literals(relation, required(relation, spare))
    if least is not None:
        yield Step(relation.id, "INSERT", "of the required columns alone"), ground.insert(relation, least)
    for column in relation.writable:
        if column.numbered and column.name not in values:
            step = Step(relation.id, "INSERT", "of a number of its own", column.name)
            yield step, ground.insert(relation, {**values, column.name: _OWN_NUMBER})
    for column in relation.writable:
        if column.name not in values:
            continue
        for what, literal, named in _variations(column, relation, values[column.name]):
            step = Step(relation.id, "INSERT", what, column.name, named)
            yield step, ground.insert(relation, {**values, column.name: literal})
    yield from _doubles(ground, relation, main, spare)
    for key in sorted(relation.uniques):
        if all(relation.column(name) for name in key):
            names = ", ".join(ground.quote(name) for name in key)
            yield (
                passing_over(relation.id, key),
                ground.insert(relation, values, otherwise=f" ON CONFLICT ({names}) DO NOTHING"),
            )


def _doubles(ground: Ground, relation: Relation, main: Row, spare: Row) -> Iterator[tuple[Step, Answer]]:
    """Insert what is there already: a whole row, its values where they may repeat, or its texts in another case."""
    again, values = ground.literals(relation, main), ground.literals(relation, spare) or {}
    if again is not None:
        yield Step(relation.id, "INSERT", "of a row that is there already"), ground.insert(relation, again)
    unique = {name for one in relation.uniques | relation.partial for name in one}
    twin = ground.literals(relation, {name: (spare if name in unique else main)[name] for name in spare})
    if twin is not None:
        yield Step(relation.id, "INSERT", "of values that another row has"), ground.insert(relation, twin)
    for column in relation.writable:
        literal = (again or {}).get(column.name, "NULL")
        if column.kind == "text" and column.name in unique and literal != literal.swapcase():
            step = Step(relation.id, "INSERT", "of what another row has in another case", column.name)
            yield step, ground.insert(relation, {**values, column.name: literal.swapcase()})


def _variations(column: Column, relation: Relation, present: str) -> Iterator[tuple[str, str, bool]]:
    checks = mentioning(column.name, relation.checks)
    if column.nullable and present != "NULL":
        yield "of NULL", "NULL", True
    for what, literal in extremes(column).items():
        yield what, literal, False
    for literal in declared(column, checks):
        if literal != present:
            yield f"of {literal}", literal, True


def _reads(ground: Ground, relation: Relation) -> Iterator[tuple[Step, Answer]]:
    names = ", ".join(ground.quote(one.name) for one in relation.columns) or "1"
    table = ground.name(relation.id)
    where = _where(ground, relation)
    yield Step(relation.id, "SELECT"), attempt(ground.connection, f"SELECT {names} FROM {table}{where}", rows=True)
    alive = ground.alive.get(relation.id, {})
    for column in relation.columns:
        name, literal = ground.quote(column.name), alive.get(column.name, "NULL")
        if literal != "NULL" and column.type:
            # Drivers that type their parameters make the engine compare two types.
            typed = f"CAST({literal} AS {column.type})" if ground.dialect == "postgresql" else literal
            step = Step(relation.id, "SELECT", "by its value", column.name)
            yield step, attempt(ground.connection, f"SELECT {name} FROM {table} WHERE {name} = {typed}")
            if column.kind == "text" and ground.dialect == "sqlite":
                step = Step(relation.id, "SELECT", IN_ANOTHER_CASE, column.name)
                statement = f"SELECT {name} FROM {table} WHERE {name} = {literal.swapcase()}"
                yield step, attempt(ground.connection, statement)


def _updates(ground: Ground, traffic: Traffic, relation: Relation) -> Iterator[tuple[Step, Answer]]:
    _, spare = traffic.rows.get(relation.id, (None, None))
    values = (None if spare is None else ground.literals(relation, spare)) or {}
    where = _where(ground, relation)
    for column in relation.writable:
        if column.name in relation.key:
            continue
        name = ground.quote(column.name)
        literal = values.get(column.name, name)
        statement = f"UPDATE {ground.name(relation.id)} SET {name} = {literal}{where}"
        yield Step(relation.id, "UPDATE", "", column.name), attempt(ground.connection, statement)
        if column.nullable:
            emptied = f"UPDATE {ground.name(relation.id)} SET {name} = NULL{where}"
            step = Step(relation.id, "UPDATE", "to NULL", column.name, declared=True)
            yield step, attempt(ground.connection, emptied)


def _sparse_updates(ground: Ground, traffic: Traffic, relation: Relation) -> Iterator[tuple[Step, Answer]]:
    """Set each column alone that may be empty, in a row in which all such are."""
    _, spare = traffic.rows.get(relation.id, (None, None))
    values = (None if spare is None else ground.literals(relation, spare)) or {}
    empty = [one for one in relation.writable if one.nullable and one.name not in relation.key]
    if not empty:
        return
    table, where = ground.name(relation.id), _where(ground, relation)
    nothing = ", ".join(f"{ground.quote(one.name)} = NULL" for one in empty)
    with ground.connection.begin_nested() as savepoint:
        if attempt(ground.connection, f"UPDATE {table} SET {nothing}{where}", keep=True).worked:
            for column in empty:
                if values.get(column.name, "NULL") != "NULL":
                    statement = f"UPDATE {table} SET {ground.quote(column.name)} = {values[column.name]}{where}"
                    step = Step(
                        relation.id, "UPDATE", "of a row with nothing that it may lack", column.name, declared=True
                    )
                    yield step, attempt(ground.connection, statement)
        savepoint.rollback()


def _delete_all(ground: Ground, traffic: Traffic, answers: Answers) -> None:
    """Delete the rows that were inserted, with the rows that point at them and after these."""
    relations = list(_tables(traffic.shape))
    for relation in relations:
        if relation.id in ground.alive and _pointed_at(ground, traffic, relation):
            statement = f"DELETE FROM {ground.name(relation.id)}{_where(ground, relation)}"
            step = Step(relation.id, "DELETE", "of a row that others point at")
            answers[step] = attempt(ground.connection, statement)
            if answers[step].worked:
                answers |= _left_behind(ground, traffic, relation, statement)
    for relation in reversed(relations):
        # Of what was there before, others may hold on to it.
        where = _where(ground, relation) if relation.id in ground.alive else " WHERE 1 = 0"
        statement = f"DELETE FROM {ground.name(relation.id)}{where}"
        answers[Step(relation.id, "DELETE")] = attempt(ground.connection, statement, keep=True)


def _left_behind(ground: Ground, traffic: Traffic, relation: Relation, statement: str) -> Iterator[tuple[Step, Answer]]:
    """Look for the rows that pointed at one, once that is deleted: where they went with it, or let it go, are none."""
    with ground.connection.begin_nested() as savepoint:
        attempt(ground.connection, statement, keep=True)
        for other in _tables(traffic.shape):
            for reference in other.references:
                if reference.target == relation.id != other.id and other.id in ground.alive:
                    present = "".join(f" AND {ground.quote(one)} IS NOT NULL" for one in reference.columns)
                    query = f"SELECT 1 FROM {ground.name(other.id)}{_where(ground, other)}{present}"
                    step = Step(other.id, "SELECT", LEFT_BEHIND, reference.columns[0])
                    yield step, attempt(ground.connection, query, rows=True)
        savepoint.rollback()


def _pointed_at(ground: Ground, traffic: Traffic, relation: Relation) -> list[Reference]:
    others = (one for one in _tables(traffic.shape) if one.id in ground.alive)
    return [ref for one in others for ref in one.references if ref.target == relation.id]


def _where(ground: Ground, relation: Relation) -> str:
    """Return the condition that finds a row by its key; of a view, none; one that finds none where there is no row."""
    if relation.view:
        return ""
    key = ground.key(relation)
    if not key:
        alive = ground.alive.get(relation.id, {})
        key = {name: value for name, value in alive.items() if value != "NULL" and _plain(relation, name)}
    same = " AND ".join(f"{ground.quote(name)} = {value}" for name, value in key.items())
    return f" WHERE {same or '1 = 0'}"


def _plain(relation: Relation, name: str) -> bool:
    column = relation.column(name)
    return column is not None and column.kind in {"text", "integer", "smallint", "bigint", "uuid", "date"}
