"""From what was observed to what it means for those who use the database: one statement at a time, no opinion yet.

An effect is claimed only where it was seen. A lock counts where somebody would have to wait for as long as a table
is large: a lock that is taken and released around a change of the catalog is none of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tbcv.findings import Effect, Evidence, Location
from tbcv.gate.observers.observed import HeldLock, Run, Statement, Work
from tbcv.gate.rehearsals.rehearsed import StepRehearsal

_SHARE = 0.1
_FEW = 20
# Batches are seen by their shape where each is a transaction of its own.
_BATCH = re.compile(r"\b(LIMIT|FETCH\s+FIRST|BETWEEN|ctid|TABLESAMPLE)\b|>=?[^;]*?\bAND\b[^;]*?<=?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that was seen.

    Attributes:
        code: Of the hazard that it is.
        message: What was seen, as a line.
        location: The operation that did it.
        effects: What it does to those who use the database.
        evidence: What the engine said.
        depends_on: What only production knows.
    """

    code: str
    message: str
    location: Location
    effects: tuple[Effect, ...] = ()
    evidence: Evidence | None = None
    depends_on: str = ""


def sightings_of_locks(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what others have to wait for while the upgrade runs."""
    upwards = step.of(Run.UP)
    repeated = Counter(one.sql for one in upwards if one.alone)
    for _, group in groupby(upwards, key=lambda one: one.transaction):
        yield from _of_transaction(step, list(group), upwards, repeated)


def _of_transaction(
    step: StepRehearsal, statements: Sequence[Statement], upwards: Sequence[Statement], repeated: Counter[str]
) -> Iterator[Sighting]:
    changed: Counter[str] = Counter()
    exclusive: dict[str, int] = {}
    for statement in statements:
        if statement.error:
            continue
        yield from _of_statement(step, statement, upwards)
        yield from _of_rows(step, statement, changed, repeated)
        for lock in statement.taken:
            if lock.blocks_reads:
                exclusive.setdefault(lock.table, statement.number)
    if len(set(exclusive.values())) > 1:
        last = upwards[max(exclusive.values())]
        yield Sighting(
            "several-tables-locked",
            f"one transaction locks {', '.join(sorted(exclusive))} exclusively",
            _place(step, last),
            evidence=_evidence(last, HeldLock(max(exclusive, key=exclusive.__getitem__), "AccessExclusiveLock", 0)),
        )


def _of_statement(step: StepRehearsal, statement: Statement, upwards: Sequence[Statement]) -> Iterator[Sighting]:
    """Give the locks under which a statement does work that grows with the data."""
    blocking = [lock for lock in statement.held if lock.blocks_writes]
    if not blocking or not _is_heavy(step, statement):
        return
    # What does such work by itself would lock by itself, too, were the lock not there already.
    by_itself = statement.rewritten or statement.indexed or statement.validated
    own = [lock for lock in blocking if by_itself or lock.statement == statement.number]
    earlier = [lock for lock in blocking if lock not in own]
    if own:
        lock = _strongest(own, statement)
        yield Sighting(
            _code(statement),
            f"{lock.words} on {lock.table} while {_doing(statement)}",
            _place(step, statement),
            _effects(step, own, statement),
            _evidence(statement, lock),
            f"how many rows {_subject(statement, lock)} has in production",
        )
    if earlier:
        lock = _strongest(earlier, statement)
        since = _place(step, upwards[lock.statement])
        where = f", taken in line {since.line}," if since.line else ""
        yield Sighting(
            "lock-held-during-work",
            f"{lock.words} on {lock.table}{where} is still held while {_doing(statement)}",
            _place(step, statement),
            _effects(step, earlier, statement),
            _evidence(statement, lock),
            f"how many rows {_subject(statement, lock)} has in production",
        )


def _of_rows(
    step: StepRehearsal, statement: Statement, changed: Counter[str], repeated: Counter[str]
) -> Iterator[Sighting]:
    """Give the tables of which one transaction changes so many rows that writers have to wait for it."""
    batched = statement.alone and (
        statement.commits > 1 or repeated[statement.sql] > 1 or _BATCH.search(statement.sql) is not None
    )
    for work in statement.work:
        if batched or not work.changed:
            continue
        before = changed[work.table]
        changed[work.table] += work.changed
        limit = max(work.rows * _SHARE, _FEW)
        if before < limit <= changed[work.table]:
            verb = "changes" if work.updated or work.deleted else "reads, FOR UPDATE or SHARE,"
            yield Sighting(
                "unbatched-backfill",
                f"one transaction {verb} {changed[work.table]} rows of {work.table} and keeps them locked to its end",
                _place(step, statement),
                (Effect.BLOCKS_WRITES,),
                Evidence(statement.sql, "row locks", work.table, changed[work.table], statement.milliseconds),
                f"how many rows {work.table} has in production",
            )


def sightings_of_rebuilds(step: StepRehearsal) -> Iterator[Sighting]:
    """Give the tables that SQLite built anew."""
    referred = {
        words.split(" references ")[1].split(" ")[0]
        for words in (fact.line for fact in (*step.schema.missing, *step.schema.unexpected))
        if " references " in words
    }
    for statement in step.of(Run.UP):
        for table in statement.rewritten:
            also = ", to which others refer" if table in referred else ""
            shortened = table in statement.shortened
            how = f"every row of {table}" if shortened else f"the table {table}{also}, all its rows,"
            yield Sighting(
                "sqlite-column-dropped" if shortened else "sqlite-table-rebuild",
                f"{how} is written anew while nobody else can write",
                _place(step, statement),
                (Effect.REWRITES_TABLE,),
                Evidence(statement.sql, "", table, step.seeded.rows.get(f'"{table}"'), statement.milliseconds),
                f"how many rows {table} has in production",
            )


def _is_heavy(step: StepRehearsal, statement: Statement) -> bool:
    return bool(statement.rewritten or statement.indexed) or any(_is_much(step, one) for one in statement.work)


def _is_much(step: StepRehearsal, work: Work) -> bool:
    if work.table in step.seeded.unfilled:
        return work.scans > 0
    if work.rows == 0:
        return False
    few = max(work.rows * _SHARE, min(_FEW, work.rows))
    return work.is_full_scan or work.read >= work.rows * 0.5 > _FEW or work.changed >= few


def _is_scan(step: StepRehearsal, locks: Sequence[HeldLock], statement: Statement) -> bool:
    """Tell whether a statement reads all of a table that is locked; another one that is long read is but time."""
    if statement.rewritten or statement.indexed:
        return True
    locked = {lock.table for lock in locks}
    return any(
        one.table in locked and one.is_full_scan and (one.rows > 0 or one.table in step.seeded.unfilled)
        for one in statement.work
    )


def _effects(step: StepRehearsal, locks: Sequence[HeldLock], statement: Statement) -> tuple[Effect, ...]:
    found = [Effect.BLOCKS_WRITES]
    if any(lock.blocks_reads for lock in locks):
        found.insert(0, Effect.BLOCKS_READS)
    if statement.rewritten:
        found.append(Effect.REWRITES_TABLE)
    if _is_scan(step, locks, statement):
        found.append(Effect.FULL_SCAN_UNDER_LOCK)
    return tuple(found)


def _code(statement: Statement) -> str:
    if statement.rewritten:
        return "table-rewrite"
    if statement.validated:
        return "constraint-validated-under-lock"
    return "blocking-index-build" if statement.indexed else "scan-under-lock"


def _strongest(locks: Sequence[HeldLock], statement: Statement) -> HeldLock:
    """Return the lock that hurts most, one on a table that the statement works on before others."""
    busy = {*statement.rewritten, *statement.indexed, *(one.table for one in statement.work)}
    return max(locks, key=lambda lock: (lock.blocks_reads, lock.table in busy, lock.mode == "ShareRowExclusiveLock"))


def _doing(statement: Statement) -> str:
    if statement.rewritten:
        return f"the whole table {statement.rewritten[0]} is written anew"
    if statement.validated:
        return f"all rows are checked for {', '.join(statement.validated)}"
    if statement.indexed:
        return f"an index on {statement.indexed[0]} is built"
    busiest = max(statement.work, key=lambda one: (one.changed, one.read))
    if busiest.updated or busiest.deleted:
        return f"{busiest.changed} of {busiest.rows} rows of {busiest.table} are changed"
    return f"{busiest.read or 'all'} rows of {busiest.table} are read"


def _subject(statement: Statement, lock: HeldLock) -> str:
    if statement.rewritten or statement.indexed:
        return (*statement.rewritten, *statement.indexed)[0]
    busiest = max(statement.work, key=lambda one: (one.changed, one.read), default=None)
    return busiest.table if busiest is not None else lock.table


def _evidence(statement: Statement, lock: HeldLock) -> Evidence:
    rows = max((one.read or one.changed for one in statement.work), default=None)
    return Evidence(statement.sql, lock.words, lock.table, rows, statement.milliseconds)


def _place(step: StepRehearsal, statement: Statement) -> Location:
    return statement.location or Location(step.revision.path)
