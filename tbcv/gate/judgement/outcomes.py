"""From how a rehearsal came out to what it means: failures, losses, ways back and repetitions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tbcv.findings import Effect, Evidence, Location
from tbcv.gate.judgement.lines import function_at
from tbcv.gate.judgement.meaning import sightings_of_meaning
from tbcv.gate.judgement.sightings import Sighting
from tbcv.gate.judgement.sources import sightings_of_source
from tbcv.gate.judgement.upkeep import sightings_of_upkeep
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.rehearsals.losses import RowsLost
from tbcv.gate.rehearsals.rehearsed import Failure, StepRehearsal

_DATA_CODES = {"22001", "22003", "22P02", "22007", "22008"}
_CHANGES_ROWS = re.compile(r"\s*(?:UPDATE|INSERT)\b", re.IGNORECASE)
_TRANSACTION_CODES = {"25001", "25P01", "2D000", "55P04"}
_OTHER_ENGINE = re.compile(r'^near "|SQLite dialect|no such function|unrecognized token', re.IGNORECASE)
_IN_TRANSACTION = re.compile(r"within a transaction|inside a transaction", re.IGNORECASE)


def sightings_of_outcome(step: StepRehearsal, dialect: str) -> Iterator[Sighting]:
    """Give all that is to be said about how the three runs came out."""
    if step.failure is not None:
        yield _of_failure(step.failure, dialect)
    yield from _of_losses(step)
    yield from sightings_of_meaning(step)
    yield from _of_return(step)
    yield from _of_repetition(step)
    yield from sightings_of_upkeep(step)
    yield from sightings_of_source(step.revision.path)


def _of_failure(failure: Failure, dialect: str) -> Sighting:
    code = "fails"
    outside = failure.code in _TRANSACTION_CODES or _IN_TRANSACTION.search(failure.message)
    if outside:
        concurrently = re.search(r"\bCONCURRENTLY\b", failure.statement, re.IGNORECASE)
        code = "concurrently-in-transaction" if concurrently else "transaction-mismatch"
    elif failure.needs_rows:
        narrows = failure.code in _DATA_CODES and not _CHANGES_ROWS.match(failure.statement)
        code = "type-narrowing" if narrows else "fails-on-existing-data"
    elif failure.code == "42601" or (dialect == "sqlite" and _OTHER_ENGINE.search(failure.message)):
        code = "other-engine"
    what = "the upgrade fails on existing rows" if failure.needs_rows else "the upgrade fails"
    return Sighting(
        code,
        f"{what}: {failure.message}",
        failure.location,
        (Effect.FAILS,),
        Evidence(failure.statement) if failure.statement else None,
        "what rows there are in production" if failure.needs_rows else "",
    )


def _of_losses(step: StepRehearsal) -> Iterator[Sighting]:
    for loss in step.losses:
        what = f"{loss.table}.{loss.column}" if loss.column else loss.table
        statement = _statement_of(step, loss)
        words = {
            "dropped": f"{what} goes with {loss.rows} {'values' if loss.column else 'rows'}",
            "deleted": f"{loss.rows} rows of {what} are deleted",
            "emptied": f"{loss.rows} values of {what} are emptied",
            "narrowed": f"{loss.rows} different values of {what} become equal to others",
            "overwritten": f"{loss.rows} {'different values' if loss.column else 'rows'} of {what} are overwritten",
        }
        yield Sighting(
            "type-narrowing" if loss.how == "narrowed" else "data-loss",
            words[loss.how],
            (statement.location if statement else None) or function_at(step.revision.path, "upgrade"),
            (Effect.LOSES_DATA,),
            Evidence(statement.sql if statement else "", "", what, loss.rows),
        )
    for reference in step.dangling:
        yield Sighting(
            "dangling-references",
            f"{reference} points at rows that are not there any more",
            function_at(step.revision.path, "upgrade"),
        )


def _statement_of(step: StepRehearsal, loss: RowsLost) -> Statement | None:
    """Return the statement that did it, as far as its text tells."""
    verbs = {
        "dropped": r"DROP\s+COLUMN" if loss.column else r"DROP\s+TABLE",
        "deleted": r"DELETE|TRUNCATE|DROP",
        "emptied": r"UPDATE|INSERT",
        "narrowed": r"ALTER|UPDATE|INSERT",
        "overwritten": r"UPDATE|INSERT|ALTER",
    }
    name = re.escape((loss.column or loss.table).split(".")[-1].strip('"'))
    upwards = [one for one in step.of(Run.UP) if not one.error]
    for pattern in (rf"\b({verbs[loss.how]})\b.*\b{name}\b", rf"\b({verbs[loss.how]})\b"):
        for statement in upwards:
            if re.search(pattern, statement.sql, re.IGNORECASE | re.DOTALL):
                return statement
    # A column that goes in a rebuild is named nowhere: its table is.
    rebuilt = [one for one in upwards if one.rewritten]
    return next((one for one in rebuilt if loss.table in one.rewritten), next(iter(rebuilt), None))


def _of_return(step: StepRehearsal) -> Iterator[Sighting]:
    back = step.way_back
    if back is None or back:
        return
    if back.failure is not None:
        yield Sighting(
            "irreversible",
            f"the downgrade fails: {back.failure.message}",
            back.failure.location if back.failure.location.line else function_at(step.revision.path, "downgrade"),
            (Effect.IRREVERSIBLE,),
            Evidence(back.failure.statement) if back.failure.statement else None,
        )
        return
    facts = [f"lacks {fact.line}" for fact in back.schema.missing]
    facts += [f"still has {fact.line}" for fact in back.schema.unexpected]
    facts += [f"withdraws {one}" for one in back.privileges]
    what = [*facts, *back.rows]
    more = f", and {len(what) - 3} more" if len(what) > 3 else ""
    stuck = step.again.failure if step.again is not None else None
    yield Sighting(
        "irreversible",
        f"the downgrade does not restore what was: {'; '.join(what[:3])}{more}"
        + (f"; the next upgrade fails: {stuck.message}" if stuck else ""),
        _cause(step) if not facts else function_at(step.revision.path, "downgrade"),
        (Effect.IRREVERSIBLE, Effect.NOT_RERUNNABLE) if stuck else (Effect.IRREVERSIBLE,),
    )


def _cause(step: StepRehearsal) -> Location:
    """Return where rows were lost that no downgrade can bring back."""
    for loss in step.losses:
        statement = _statement_of(step, loss)
        if statement is not None and statement.location is not None:
            return statement.location
    return function_at(step.revision.path, "downgrade")


def _of_repetition(step: StepRehearsal) -> Iterator[Sighting]:
    if step.cut_short is not None:
        failed = step.failure is not None
        code = "unguarded-index-build" if step.cut_short.only_index else "cut-short"
        yield Sighting(
            "not-rerunnable" if failed else code,
            f"after an upgrade that {'failed' if failed else 'was cut short'} the next one {step.cut_short.message}",
            step.cut_short.location,
            (Effect.NOT_RERUNNABLE,),
        )
    again = step.again
    # Where the downgrade does not restore what was, what comes of another upgrade is told with that.
    if again is None or not step.way_back:
        return
    if again.failure is not None:
        yield Sighting(
            "not-rerunnable",
            f"after a downgrade the upgrade fails: {again.failure.message}",
            again.failure.location,
            (Effect.NOT_RERUNNABLE,),
            Evidence(again.failure.statement) if again.failure.statement else None,
        )
    elif again.schema or again.counts:
        facts = [fact.line for fact in (*again.schema.missing, *again.schema.unexpected)]
        what = [*(f"another number of rows in {name}" for name in again.counts), *facts]
        yield Sighting(
            "not-rerunnable",
            f"after a downgrade the upgrade does not lead to the same: {'; '.join(what[:3])}",
            function_at(step.revision.path, "upgrade"),
            (Effect.NOT_RERUNNABLE,),
        )
    elif again.rows or again.statements:
        what = [f"the rows of {', '.join(again.rows)}"] if again.rows else ["its statements"]
        yield Sighting(
            "non-deterministic",
            f"two upgrades from the same beginning differ in {what[0]}",
            function_at(step.revision.path, "upgrade"),
        )
