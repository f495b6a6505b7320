"""What the triggers and functions of a schema do, as its snapshot tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tbcv.gate.releases.rows import mentions
from tbcv.migrate.snapshot import Snapshot

_CALLS = re.compile(r"\bexecute (?:function|procedure) ([^(\s]+)\(", re.IGNORECASE)
_UPSERTS = re.compile(
    r"\bINSERT\s+INTO\s+(?P<table>[\w.\"]+)(?:(?!\bINSERT\s+INTO\b).)*?\bON\s+CONFLICT\s*\((?P<key>[\w\s,\"]+)\)",
    re.IGNORECASE | re.DOTALL,
)
Upsert = tuple[str, frozenset[str]]
"""A table, without its schema, and the columns by which a conflict with a row of it is noticed."""


def body_of(trigger: str, schema: Snapshot) -> str:
    """Return what a trigger does: its own text on SQLite, and that of its function on PostgreSQL.

    Args:
        trigger: The line of the snapshot that it is.
        schema: The snapshot.
    """
    called = _CALLS.search(trigger)
    if called is None:
        return trigger
    name = called[1].rpartition(".")[2]
    return next((one.line for one in schema.facts if re.match(rf"function (\S+\.)?{re.escape(name)}\(", one.line)), "")


def firing_on(schema: Snapshot, name: str) -> Iterator[str]:
    """Give the tables whose triggers have to do with a relation, as the snapshot names them."""
    for fact in schema.facts:
        if fact.line.startswith("trigger ") and mentions(body_of(fact.line, schema), name):
            yield fact.subject


def upserts_in(schema: Snapshot, other: Snapshot) -> frozenset[Upsert]:
    """Return what the functions, triggers and rules that two schemas share insert unless it is there already."""
    found = (upsert for fact in {*schema.facts} & {*other.facts} for upsert in _UPSERTS.finditer(fact.line))
    return frozenset(
        (
            one["table"].replace('"', "").rpartition(".")[2].lower(),
            frozenset(name.strip(' "\n').lower() for name in one["key"].split(",")),
        )
        for one in found
    )
