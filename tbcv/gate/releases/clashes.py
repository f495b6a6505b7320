"""What worked on one schema and does not on another: clashes of a release with a schema that is not its own.

A clash is certain where the form of a statement is refused, or a value that the schema of the release names. Where a
new constraint refuses some values and takes others, only the release itself knows whether it writes such values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, time
from decimal import Decimal
from numbers import Number

from tbcv.gate.releases.attempts import Answer, Objection
from tbcv.gate.releases.rows import mentions
from tbcv.gate.releases.shape import Key, Reference, Relation, Shape
from tbcv.gate.releases.traffic import IN_ANOTHER_CASE, LEFT_BEHIND, Answers, Step, passing_over
from tbcv.gate.releases.triggers import Upsert

_ABOUT_OTHERS = {Objection.CHECK, Objection.UNIQUE, Objection.FOREIGN_KEY, Objection.EXCLUSION}


@dataclass(frozen=True, slots=True)
class Clash:
    """One thing of a release that a schema refuses.

    Attributes:
        table: The table, view or mapped class that it is about.
        column: The column, if it is about one.
        statements: What no longer works, in words.
        statement: One of these, as it was run.
        error: What the engine says to it.
        certain: Whether the release breaks; else it does only if it writes certain values.
    """

    table: str
    column: str | None
    statements: tuple[str, ...]
    statement: str
    error: str
    certain: bool


def find_clashes(
    at_home: tuple[Shape, Answers],
    away: tuple[Shape, Answers],
    takes_another: Callable[[Relation], bool],
    upserts: frozenset[Upsert] = frozenset(),
) -> tuple[Clash, ...]:
    """Compare the answers of two schemas to the same statements.

    Args:
        at_home: The schema that the statements were composed for.
        away: The other one.
        takes_another: Tells whether the other schema takes another row of the relation that it is given: one with
            the columns of home and with the constraints of both.
        upserts: What functions that both schemas have insert unless it is there.
    """
    (home, worked), (other, answers) = at_home, away
    failures: list[tuple[Step, Answer]] = []
    for step, before in worked.items():
        after = answers.get(step)
        if before.worked and after is not None:
            insert = Step(step.relation, "INSERT")
            # No answer is one as well: the row that it would point at could not be inserted.
            there = insert not in worked or (insert in answers and answers[insert].worked)
            failed = after if not after.worked else _unseen(home, other, step, before, after) if there else None
            # Where the row itself is refused, what is done to another one in its place says nothing.
            if failed is None or _is_unused(home, other, step, upserts):
                continue
            if there or step == insert or not _is_mere_consequence(home, other, step, failed):
                failures.append((step, failed))
    known: dict[Key, bool] = {}

    def certain(step: Step, failed: Answer) -> bool:
        relation, found = home.get(step.relation), other.get(step.relation)
        if relation is None or found is None or not _is_news(home, other, step, failed):
            return True
        if step.declared and _forbids(found, failed, str(step.column)):
            return True
        if step.verb == "DELETE" or step.what:
            return False
        if relation.id not in known:
            known[relation.id] = takes_another(_with_constraints_of(relation, found))
        return not known[relation.id]

    return tuple(_grouped(home, other, [(step, failed, certain(step, failed)) for step, failed in failures]))


def _is_unused(home: Shape, other: Shape, step: Step, upserts: frozenset[Upsert]) -> bool:
    """Tell whether a statement relies on what is unique in a schema where it is not: nobody needs that for sure.

    Where it is unique still, but of some rows alone, somebody does; and where a function does the same.
    """
    relation, found = home.get(step.relation), other.get(step.relation)
    key = next((one for one in relation.uniques if passing_over(relation.id, one) == step), None) if relation else None
    if key is None or (step.relation[1].lower(), frozenset(one.lower() for one in key)) in upserts:
        return False
    return found is None or key not in found.partial


def _is_mere_consequence(home: Shape, other: Shape, step: Step, failed: Answer) -> bool:
    """Tell whether a value was refused by a constraint that the schema of the statement has as well."""
    return failed.objection in _ABOUT_OTHERS and not _is_news(home, other, step, failed)


def _unseen(home: Shape, other: Shape, step: Step, before: Answer, after: Answer) -> Answer | None:
    """Return what is wrong with a statement that worked: it found no row, or not the value that was written."""
    relation, found = home.get(step.relation), other.get(step.relation)
    if relation is None or found is None:
        return None
    counted = not (found.view and home.dialect == "sqlite" and step.verb != "SELECT")
    if counted and before.count and not after.count and step.what in ("", IN_ANOTHER_CASE):
        return replace(after, error="it concerns no row", objection=Objection.OTHER)
    if step.what == LEFT_BEHIND and after.count > before.count:
        return replace(after, error="it stays behind and points at nothing", objection=Objection.OTHER)
    if step.verb != "SELECT" or step.what or relation.view or before.row is None or after.row is None:
        return None
    # Numbers that the database gives by itself go on from where they were on either side.
    numbered = {*relation.key, *(name for one in relation.references for name in one.columns)}
    for column, was, now in zip(relation.columns, before.row, after.row, strict=True):
        target = found.column(column.name) if column.name not in numbered else None
        if target is not None and target.type != column.type and not _equal(was, now):
            words = f"column {column.name} now gives {now!r} for what gave {was!r}"
            return replace(after, error=words, objection=Objection.OTHER)
    return None


def _equal(was: object, now: object) -> bool:
    """Compare two values beyond their types: another type is found by comparing in SQL."""
    if isinstance(was, datetime | time) and isinstance(now, datetime | time):
        return was.replace(tzinfo=None) == now.replace(tzinfo=None)
    if isinstance(was, Number) and isinstance(now, Number):
        return abs(Decimal(str(was)) - Decimal(str(now))) <= abs(Decimal(str(was))) * Decimal("1e-6")
    if {type(was), type(now)} in ({str, int}, {str, float}):
        return False
    return type(was) is not type(now) or was == now


def _is_news(home: Shape, other: Shape, step: Step, failed: Answer) -> bool:
    """Tell whether a value was refused by a constraint that the schema of the statement does not have."""
    relation, found = home.get(step.relation), other.get(step.relation)
    if relation is None or found is None:
        return False
    match failed.objection:
        case Objection.CHECK:
            condition = dict(found.checks).get(failed.constraint)
            return condition is None or condition not in {text for _, text in relation.checks}
        case Objection.UNIQUE:
            # Of an index on expressions SQLite tells its name alone, and reflection nothing.
            known = found.uniques <= relation.uniques and found.partial <= relation.partial
            return not known or failed.constraint.startswith("index ")
        case Objection.FOREIGN_KEY:
            return bool(_links(other, found, step.verb) - _links(home, relation, step.verb))
        case Objection.EXCLUSION:
            return True
        case _:
            return False


def _links(shape: Shape, relation: Relation, verb: str) -> set[Reference]:
    """Return the foreign keys that may refuse a statement."""
    if verb == "DELETE":
        return {ref for one in shape.relations for ref in one.references if ref.target == relation.id}
    return set(relation.references)


def _forbids(found: Relation, failed: Answer, column: str) -> bool:
    """Tell whether a CHECK is about a column alone, so that what it refuses there it refuses always."""
    if failed.objection is not Objection.CHECK:
        return False
    condition = dict(found.checks).get(failed.constraint, failed.constraint)
    return not any(mentions(condition, one.name) for one in found.columns if one.name != column)


def _with_constraints_of(relation: Relation, found: Relation) -> Relation:
    names = {one.name for one in relation.columns}
    new = tuple(one for one in found.references if one not in relation.references and names.issuperset(one.columns))
    return replace(relation, checks=(*relation.checks, *found.checks), references=(*relation.references, *new))


def _grouped(home: Shape, other: Shape, failures: Iterable[tuple[Step, Answer, bool]]) -> Iterable[Clash]:
    """Say once what several statements say."""
    groups: dict[tuple[Key, str | None, bool], list[tuple[Step, Answer]]] = {}
    listed = list(failures)
    for step, failed, sure in listed:
        column = _column(home, other, step, failed, [one for one in listed if one[0].relation == step.relation])
        groups.setdefault((step.relation, column, sure), []).append((step, failed))
    for (key, column, sure), found in groups.items():
        relation = home.get(key)
        words = dict.fromkeys(f"{step.verb} {step.what}".strip() for step, _ in found)
        first = found[0][1]
        label = relation.label if relation else key[1]
        yield Clash(label, column, tuple(words), first.statement, first.error, sure)


def _column(
    home: Shape, other: Shape, step: Step, failed: Answer, listed: list[tuple[Step, Answer, bool]]
) -> str | None:
    """Return the column that a failure is about: the one that the engine names, else the one of the statement."""
    relation, found = home.get(step.relation), other.get(step.relation)
    if relation is None or found is None:
        return None
    columns = [one.name for one in (*relation.columns, *found.columns)]
    quoted = re.findall(r'column "([^"]+)"|\.(\w+)$|column named (\w+)$|no such column: (\w+)', failed.error)
    named: list[str] = [name for one in quoted for name in one if name in columns]
    if named:
        return named[0]
    if step.column is None:
        return None
    # A trigger refuses every UPDATE alike, whatever it sets.
    alike = {one.column for one, answer, _ in listed if answer.error == failed.error}
    return step.column if len(alike) < 3 or f'"{step.column}"' in failed.error else None
