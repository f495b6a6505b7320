"""The facts of a SQLite schema.

SQLite keeps the text of every CREATE statement, and no pragma tells all that stands in it: collations, CHECKs,
names of constraints, conflict clauses. So the text is read into tokens, which makes case, quotes, spaces and
comments irrelevant, and a table's is taken apart, since a constraint may stand at its column or after all columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Connection

from tbcv.migrate.bookkeeping import BOOKKEEPING_NAMES
from tbcv.migrate.snapshot.model import Fact
from tbcv.migrate.snapshot.tokens import as_name, bare, group_end, join, spell, split, tokens

_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_schema "
    f"WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND lower(tbl_name) NOT IN ({BOOKKEEPING_NAMES}) AND sql IS NOT NULL"
)
_TABLE_CONSTRAINTS = {"constraint", "primary", "unique", "check", "foreign"}
_COLUMN_CONSTRAINTS = {
    *_TABLE_CONSTRAINTS,
    "as",
    "collate",
    "default",
    "deferrable",
    "not",
    "null",
    "references",
}
_ROWID = frozenset({"rowid", "oid", "_rowid_"})


def read_facts(connection: Connection, table: str | None = None) -> Iterator[Fact]:
    """Read the facts of a database, or of one table, by its name as facts spell it, with its indexes and triggers."""
    rows = connection.exec_driver_sql("PRAGMA table_list").all()
    shadows = {row[1] for row in rows if row[0] == "main" and row[2] == "shadow"}
    found = connection.exec_driver_sql(_OBJECTS).all()
    objects = [
        tuple(row)
        for row in found
        if row[1] not in shadows and row[2] not in shadows and (table is None or spell(row[2]) == table)
    ]
    columns = {name: _column_names(sql) for kind, name, _, sql in objects if kind == "table"}
    everything = frozenset({spell(name) for _, name, _, _ in objects}.union(*columns.values()))
    for kind, name, owner, sql in objects:
        known = everything if kind in ("view", "trigger") else columns.get(owner, everything) | {spell(owner)}
        yield from _read(kind, name, owner, sql, frozenset(known))


# A migration looks again after each rebuild, and most definitions are what they were.
@lru_cache(maxsize=1024)
def _read(kind: str, name: str, table: str, sql: str, known: frozenset[str]) -> tuple[Fact, ...]:
    return tuple(_facts(kind, spell(name), spell(table), tokens(sql, known)))


def _facts(kind: str, name: str, table: str, words: list[str]) -> Iterator[Fact]:
    if kind == "table" and words[1] != "virtual":
        yield from _table_facts(name, words)
    elif kind in ("table", "view"):
        yield Fact(f"{kind} {name}", f"{kind} {name}: {join(words[1:])}")
    else:
        # CREATE INDEX and CREATE TRIGGER name their table themselves.
        text = join(_index(words) if kind == "index" else words[1:])
        yield Fact(f"table {table}", f"{kind} {table}.{name}: {text}")


@lru_cache(maxsize=1024)
def _column_names(sql: str) -> AbstractSet[str]:
    words = tokens(sql)
    if words[1] == "virtual":
        return {as_name(word) for word in words}
    start = words.index("(")
    parts = split(words[start + 1 : group_end(words, start) - 1])
    return _ROWID | {as_name(part[0]) for part in parts if part[0] not in _TABLE_CONSTRAINTS}


def _index(words: list[str]) -> list[str]:
    start = words.index("(")
    end = group_end(words, start)
    rest = ["where", *bare(words[end + 1 :])] if words[end : end + 1] == ["where"] else words[end:]
    head = [word if word in ("unique", "index", "on") else as_name(word) for word in words[1:start]]
    return [*head, *_keys(words[start:end]), *rest]


def _table_facts(table: str, words: list[str]) -> Iterator[Fact]:
    subject = f"table {table}"
    start = words.index("(")
    end = group_end(words, start)
    options = sorted(join(part) for part in split(words[end:]))
    yield Fact(subject, " ".join([subject, *options]))
    for part in split(words[start + 1 : end - 1]):
        reader = _Definition(table, part)
        if part[0] not in _TABLE_CONSTRAINTS:
            yield Fact(subject, reader.column())
        else:
            reader.table_constraints()
        for name, constraint in reader.constraints:
            yield Fact(subject, f"constraint {table}.{name}: {join(constraint)}")


@dataclass
class _Definition:
    """One column definition, or the constraints between two commas, read from left to right.

    Attributes:
        table: Whose it is.
        words: Its tokens.
        constraints: Name and tokens of each constraint that stands, or could as well stand, after all columns.
    """

    table: str
    words: list[str]
    constraints: list[tuple[str, list[str]]] = field(default_factory=list)
    position: int = 0

    def column(self) -> str:
        """Read a column; returns its fact, without its constraints."""
        name = as_name(self._next())
        kind = self._type()
        kept: dict[str, str] = {}
        while self._left():
            label = self._label()
            if not self._left():
                break
            word, said = self._next(), [] if label is None else ["constraint", label]
            match word:
                case "null":
                    self._conflict()
                case "not" if self._accept("null"):
                    kept["not null"] = join([*said, "not", "null", *self._conflict()])
                case "not" | "deferrable":
                    self._deferrable(word)
                case "default":
                    kept[word] = join([*said, word, *self._default()])
                case "collate":
                    kept[word] = join([*said, word, as_name(self._next())])
                case "generated" | "as":
                    kept["generated"] = join(said + self._generated())
                case "primary" | "unique" | "check" | "references":
                    self._add(label, self._constraint(word, name, kind))
                case _:
                    kept[str(self.position)] = word
        return " ".join([f"column {self.table}.{name}:", *filter(None, [join(kind)]), *sorted(kept.values())])

    def table_constraints(self) -> None:
        """Read the constraints of a table; no comma is needed between them."""
        while self._left():
            label = self._label()
            if not self._left():
                break
            word = self._next()
            if word in ("not", "deferrable"):
                self._deferrable(word)
            elif word in _TABLE_CONSTRAINTS:
                self._add(label, self._constraint(word, None, []))

    def _type(self) -> list[str]:
        start = self.position
        while self._left() and self.words[self.position] not in _COLUMN_CONSTRAINTS:
            if self.words[self.position : self.position + 3] == ["generated", "always", "as"]:
                break
            self._next_or_group()
        return [as_name(word) for word in self.words[start : self.position]]

    def _constraint(self, word: str, column: str | None, kind: list[str]) -> list[str]:
        """Read a constraint after its first word; one at its column is written as if it stood after all columns."""
        match word:
            case "check":
                return ["check", "(", *bare(self._group()), ")", *self._conflict()]
            case "references":
                assert column is not None
                return ["foreign", "key", "(", column, ")", *self._references()]
            case "foreign":
                self._accept("key")
                keys = _keys(self._group())
                self._accept("references")
                return ["foreign", "key", *keys, *self._references()]
        start = ["primary", "key"] if word == "primary" else ["unique"]
        self._accept("key")
        if column is None:
            return [*start, *_keys(self._group()), *self._conflict()]
        descending = ["desc"] if not self._accept("asc") and self._accept("desc") else []
        conflict = self._conflict()
        automatic = ["autoincrement"] if self._accept("autoincrement") else []
        # Here, and only here, a descending INTEGER key is no alias of the rowid.
        apart = ["at", "its", "column"] if descending and kind == ["integer"] else []
        return [*start, "(", column, *descending, *automatic, ")", *conflict, *apart]

    def _references(self) -> list[str]:
        table = as_name(self._next())
        columns = _keys(self._group()) if self._at("(") else []
        actions: dict[str, list[str]] = {}
        while self._at("on") or self._at("match"):
            if self._accept("match"):
                actions["match"] = ["match", as_name(self._next())]
                continue
            self._next()
            event = self._next()
            action = [self._next()]
            if action[0] in ("set", "no"):
                action.append(self._next())
            actions[event] = [] if action == ["no", "action"] else ["on", event, *action]
        return ["references", table, *columns, *(word for key in sorted(actions) for word in actions[key])]

    def _deferrable(self, word: str) -> None:
        """Add [NOT] DEFERRABLE to the last foreign key, which need not stand just before it."""
        said = [word, "deferrable"] if word == "not" and self._accept("deferrable") else [word]
        if self._accept("initially"):
            said += ["initially", self._next()]
        for _, constraint in reversed(self.constraints):
            if constraint[0] == "foreign":
                constraint.extend(said)
                return

    def _default(self) -> list[str]:
        if self._at("("):
            return bare(self._group())
        sign = [self._next()] if self._at("+") or self._at("-") else []
        return [*sign, self._next()]

    def _generated(self) -> list[str]:
        self._accept("always")
        self._accept("as")
        expression = join(bare(self._group()))
        known = self._at("stored") or self._at("virtual")
        return ["generated", "always", "as", f"({expression})", self._next() if known else "virtual"]

    def _conflict(self) -> list[str]:
        if self.words[self.position : self.position + 2] != ["on", "conflict"]:
            return []
        return [self._next(), self._next(), self._next()]

    def _label(self) -> str | None:
        """Read the name of what follows; of several, the last counts."""
        label = None
        while self._accept("constraint"):
            label = as_name(self._next())
        return label

    def _add(self, label: str | None, constraint: list[str]) -> None:
        self.constraints.append((label or "unnamed", constraint))

    def _left(self) -> bool:
        return self.position < len(self.words)

    def _at(self, word: str) -> bool:
        return self._left() and self.words[self.position] == word

    def _accept(self, word: str) -> bool:
        found = self._at(word)
        self.position += found
        return found

    def _next(self) -> str:
        self.position += 1
        return self.words[self.position - 1]

    def _group(self) -> list[str]:
        start = self.position
        self.position = group_end(self.words, start)
        return self.words[start : self.position]

    def _next_or_group(self) -> None:
        self.position = group_end(self.words, self.position) if self._at("(") else self.position + 1


def _keys(group: Sequence[str]) -> list[str]:
    """Write the columns of a key or an index: a string is a name there, and ASC the default."""
    keys: list[str] = []
    for part in split(group[1:-1]):
        key = [as_name(part[0]) if len(part) == 1 or part[1] in ("collate", "asc", "desc") else part[0], *part[1:]]
        plain = key[:-1] if len(key) > 1 and key[-1] == "asc" else key
        keys += [",", *plain] if keys else plain
    return ["(", *keys, ")"]
