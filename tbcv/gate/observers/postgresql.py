"""What a statement did on PostgreSQL: locks, files and counters as the server has them.

All is read on the session of the statement, inside its transaction: only there are the counters exact and the
locks still held. A statement in autocommit is put into a transaction of its own for as long as it is looked at,
where PostgreSQL allows that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine.interfaces import DBAPIConnection

from tbcv.gate.observers.observed import HeldLock, Statement, Work
from tbcv.gate.observers.watcher import Rows, begin, fetch

_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
# The two views overlap in nothing: what one does not count yet, the other does not count any more.
_COUNTERS = """
    json_build_array(a.relid::int8, a.seq_scan + x.seq_scan, a.seq_tup_read + x.seq_tup_read,
        coalesce(a.idx_tup_fetch, 0) + coalesce(x.idx_tup_fetch, 0),
        a.n_tup_ins + x.n_tup_ins, a.n_tup_upd + x.n_tup_upd, a.n_tup_del + x.n_tup_del)
"""
_LOOK = f"""
SELECT json_build_object(
    'locks', (SELECT json_agg(json_build_array(l.relation::int8, l.mode)) FROM pg_locks l
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384),
    'relations', (SELECT json_agg(json_build_array(c.oid::int8, c.oid::regclass::text, c.relkind,
            pg_relation_filenode(c.oid)::int8, coalesce(pg_relation_size(c.oid), 0), coalesce(i.indrelid, 0)::int8,
            coalesce(i.indisvalid, true)))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I', 'f') AND {_OURS}),
    'counters', (SELECT json_agg({_COUNTERS}) FROM pg_stat_user_tables a JOIN pg_stat_xact_user_tables x USING (relid)),
    'constraints', (SELECT json_agg(json_build_array(k.oid::int8, k.conrelid::int8, k.conname, k.contype))
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE k.convalidated AND {_OURS}),
    'transactions', pg_snapshot_xmax(pg_current_snapshot())::text::int8,
    'wal', (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8
)::text
"""
_ALONE = re.compile(
    r"^\s*(VACUUM\b|(CREATE|DROP|ALTER)\s+(DATABASE|TABLESPACE|SYSTEM|SUBSCRIPTION)\b|(CREATE|DROP|REINDEX|ALTER)\b.*"
    r"\bCONCURRENTLY\b|REINDEX\s+(\(.*?\)\s*)?(DATABASE|SYSTEM|SCHEMA)\b|CLUSTER\s*;?\s*$|DISCARD\s+ALL"
    r"|(BEGIN|START|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|ABORT|PREPARE\s+TRANSACTION)\b)",
    re.IGNORECASE | re.DOTALL,
)
_LOCKS_ROWS = re.compile(
    r"^\s*(?:SELECT|WITH)\b.*\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|(?:KEY\s+)?SHARE)\b", re.IGNORECASE | re.DOTALL
)
_COMMITS = re.compile(r"\b(COMMIT|ROLLBACK)\b", re.IGNORECASE)
_DO = re.compile(r"^\s*DO\b", re.IGNORECASE)
_CALL = re.compile(r"^\s*CALL\b", re.IGNORECASE)
_PROCEDURES = "SELECT count(*) FROM pg_proc WHERE prokind = 'p' AND prosrc ~* '\\m(commit|rollback)\\M'"
_PARTITIONS = f"""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relispartition AND c.relkind = 'r' AND {_OURS}
"""
# Before version 15 there was no such setting, and it was always so.
_STEADY = """
    SELECT set_config('stats_fetch_consistency', 'none', false)
    WHERE current_setting('server_version_num')::integer >= 150000
"""
_VERSION_TABLE = "alembic_version"


@dataclass(frozen=True)
class Relation:
    """A table or an index, as it is at one moment."""

    name: str
    kind: str
    file: int | None
    size: int
    table: int
    valid: bool


@dataclass(frozen=True)
class PostgresState:
    """What the server says at one moment."""

    locks: frozenset[tuple[int, str]]
    relations: Mapping[int, Relation]
    counters: Mapping[int, tuple[int, ...]]
    constraints: Mapping[int, tuple[int, str, str]]
    transactions: int
    wal: int


class PostgresEye:
    """Reads the state of a PostgreSQL database for one run.

    Args:
        rows: The rows of each table before the run.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = dict(rows)
        self._before: Mapping[int, Relation] | None = None
        self._taken: dict[tuple[int, str], int] = {}

    def look(self, raw: DBAPIConnection) -> PostgresState:
        """Read the state."""
        if self._before is None:
            # Else the counters would stand still within a transaction.
            fetch(raw, _STEADY)
            # The rows of a partition are known as those of its table only.
            for (name,) in fetch(raw, _PARTITIONS):
                self._rows[name] = fetch(raw, f"SELECT count(*) FROM {name}")[0][0]
        found: dict[str, Any] = json.loads(fetch(raw, _LOOK)[0][0])
        relations = {row[0]: Relation(*row[1:]) for row in found["relations"] or ()}
        state = PostgresState(
            frozenset((row[0], row[1]) for row in found["locks"] or ()),
            relations,
            {row[0]: tuple(row[1:]) for row in found["counters"] or ()},
            {row[0]: (row[1], row[2], row[3]) for row in found["constraints"] or ()},
            found["transactions"],
            found["wal"],
        )
        if self._before is None:
            self._before = {oid: one for oid, one in relations.items() if one.name != _VERSION_TABLE}
        return state

    def enclose(self, raw: DBAPIConnection, statement: str) -> bool:
        """Begin a transaction around a statement unless it must not run in one."""
        if _ALONE.match(statement) or (_DO.match(statement) and _COMMITS.search(statement)):
            return False
        if _CALL.match(statement) and fetch(raw, _PROCEDURES)[0][0]:
            return False
        begin(raw)
        return True

    def forget(self, state: PostgresState) -> PostgresState:
        """Return a state without locks."""
        self._taken.clear()
        return replace(state, locks=frozenset())

    def describe(self, before: PostgresState, after: PostgresState, statement: Statement) -> Statement:
        """Return a statement with what it did to what was there before the run."""
        rewritten = self._rewritten(before, after)
        held = self._held(after, statement)
        if statement.alone and rewritten and not held:
            # VACUUM FULL and its like run in no transaction that could be looked into.
            held = tuple(HeldLock(name, "AccessExclusiveLock", statement.number) for name in rewritten)
        return replace(
            statement,
            held=held,
            work=self._work(before, after, statement),
            rewritten=rewritten,
            indexed=self._indexed(before, after),
            validated=tuple(
                name
                for oid, (table, name, _) in after.constraints.items()
                if oid not in before.constraints and table in self._known
            ),
            invalid=tuple(
                one.name
                for oid, one in after.relations.items()
                if not one.valid and (oid not in before.relations or before.relations[oid].valid)
            ),
            commits=max(after.transactions - before.transactions, 0) if not held else 0,
            wal_bytes=after.wal - before.wal,
        )

    @property
    def _known(self) -> Mapping[int, Relation]:
        return self._before or {}

    def _table(self, oid: int) -> Relation | None:
        """Return the table of a relation that was there before, the relation itself included."""
        one = self._known.get(oid)
        return self._known.get(one.table) if one is not None and one.table else one

    def _held(self, after: PostgresState, statement: Statement) -> tuple[HeldLock, ...]:
        found: dict[tuple[str, str], HeldLock] = {}
        for oid, mode in sorted(after.locks):
            table = self._table(oid)
            # Nobody writes to a materialized view: what keeps writers from it while it is refreshed hurts nobody.
            if table is None or (table.kind == "m" and mode != "AccessExclusiveLock"):
                continue
            since = self._taken.setdefault((oid, mode), statement.number)
            known = found.get((table.name, mode))
            if known is None or since < known.statement:
                found[table.name, mode] = HeldLock(table.name, mode, since)
        return tuple(found.values())

    def _work(self, before: PostgresState, after: PostgresState, statement: Statement) -> tuple[Work, ...]:
        found = []
        returned = statement.rows if _LOCKS_ROWS.search(statement.sql) else 0
        for oid, relation in self._known.items():
            if oid not in after.counters or relation.kind not in "rmf":
                continue
            earlier = before.counters.get(oid, (0,) * 6)
            scans, read, fetched, *changes = (new - old for new, old in zip(after.counters[oid], earlier, strict=True))
            if any((scans, read, fetched, *changes)):
                inserted, updated, deleted = changes
                rows = self._rows.get(relation.name, 0)
                # Of several tables in one query all may be locked; more than was read is not.
                locked = min(returned, max(read, fetched)) if (oid, "RowShareLock") in after.locks else 0
                found.append(Work(relation.name, rows, scans, max(read, fetched), inserted, updated, deleted, locked))
                self._rows[relation.name] = max(rows + inserted - deleted, 0)
        return tuple(found)

    def _rewritten(self, before: PostgresState, after: PostgresState) -> tuple[str, ...]:
        return tuple(
            relation.name
            for oid, relation in self._known.items()
            if relation.kind in "rm"
            and oid in after.relations
            and oid in before.relations
            and after.relations[oid].file != before.relations[oid].file
            # TRUNCATE gives a new file too, an empty one.
            and after.relations[oid].size > 0
        )

    def _indexed(self, before: PostgresState, after: PostgresState) -> tuple[str, ...]:
        """Return the tables of which an index was built; changing a type may keep the files of its indexes."""
        files = {one.file for one in before.relations.values()}
        built = {
            one.table
            for oid, one in after.relations.items()
            if one.kind == "i" and one.table in self._known and one.file not in files
        }
        return tuple(
            self._known[table].name
            for table in sorted(built)
            if table in after.relations
            and table in before.relations
            and after.relations[table].file == before.relations[table].file
        )
