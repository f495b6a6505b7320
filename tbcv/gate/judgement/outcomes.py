"""From how a rehearsal came out to what it means: failures, losses, ways back, upkeep, and what the source says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tbcv.findings import Effect, Evidence, Location
from tbcv.gate.judgement.sightings import Sighting
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.rehearsals.losses import RowsLost
from tbcv.gate.rehearsals.rehearsed import Failure, StepRehearsal
from tbcv.gate.rehearsals.upkeep import Privileges, Upkeep
from tbcv.migrate.syntax import parse_source

_DATA_CODES = {"22001", "22003", "22P02", "22007", "22008"}
_TRANSACTION_CODES = {"25001", "25P01", "2D000", "55P04"}
_OTHER_ENGINE = re.compile(r'^near "|SQLite dialect|no such function|unrecognized token', re.IGNORECASE)
_IN_TRANSACTION = re.compile(r"within a transaction|inside a transaction", re.IGNORECASE)
_RANKS = {"smallint": 1, "integer": 2, "bigint": 3}
_REVOKES = re.compile(r"\bREVOKE\b", re.IGNORECASE)
_UNIQUE = re.compile(r"(index|constraint) .*\bunique\b", re.IGNORECASE | re.DOTALL)
_USES = re.compile(r": (SELECT|INSERT|UPDATE|DELETE)$")
_MODELS = re.compile(r"__tablename__|DeclarativeBase|declarative_base\(|registry\(\)")


def sightings_of_outcome(step: StepRehearsal, dialect: str) -> Iterator[Sighting]:
    """Give all that is to be said about how the three runs came out."""
    if step.failure is not None:
        yield _of_failure(step.failure, dialect)
    yield from _of_losses(step)
    yield from _of_narrowing(step)
    yield from _of_meaning(step)
    yield from _of_uniqueness(step)
    yield from _of_triggers(step)
    yield from _of_replacement(step)
    yield from _of_return(step)
    yield from _of_repetition(step)
    yield from _of_upkeep(step)
    yield from _of_source(step.revision.path)


def _of_failure(failure: Failure, dialect: str) -> Sighting:
    code = "fails"
    outside = failure.code in _TRANSACTION_CODES or _IN_TRANSACTION.search(failure.message)
    if outside:
        concurrently = re.search(r"\bCONCURRENTLY\b", failure.statement, re.IGNORECASE)
        code = "concurrently-in-transaction" if concurrently else "transaction-mismatch"
    elif failure.needs_rows:
        code = "type-narrowing" if failure.code in _DATA_CODES else "fails-on-existing-data"
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
            (statement.location if statement else None) or _function(step.revision.path, "upgrade"),
            (Effect.LOSES_DATA,),
            Evidence(statement.sql if statement else "", "", what, loss.rows),
        )
    for reference in step.dangling:
        yield Sighting(
            "dangling-references",
            f"{reference} points at rows that are not there any more",
            _function(step.revision.path, "upgrade"),
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


def _of_narrowing(step: StepRehearsal) -> Iterator[Sighting]:
    """Give columns whose new type holds less than the old one, though nothing was lost here."""
    lost = {(loss.table, loss.column) for loss in step.losses}
    for table, column, old, new in step.types:
        if (table, column) not in lost and _is_narrower(old, new):
            yield Sighting(
                "type-narrowing",
                f"{table}.{column} becomes {new} and was {old}",
                _line_about(step, column),
                evidence=Evidence(relation=f"{table}.{column}"),
                depends_on=f"whether every value of {table}.{column} in production fits",
            )


def _of_meaning(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what the previous release would read as something else."""
    for table, column, now in step.reinterpreted:
        yield Sighting(
            "meaning-changed",
            f"{table}.{column} now is {now}, under the same name",
            _line_about(step, column, table),
            (Effect.BREAKS_PREVIOUS_RELEASE,),
            Evidence(relation=f"{table}.{column}"),
        )


def _of_uniqueness(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what became unique where the upgrade itself found rows that were alike: the previous release writes such."""
    for fact in step.schema.unexpected:
        table = fact.subject.removeprefix("table ")
        lost = [one for one in step.losses if one.table == table and one.how in {"deleted", "overwritten", "emptied"}]
        if not _UNIQUE.match(fact.line) or not any(one.column is None or one.column in fact.line for one in lost):
            continue
        yield Sighting(
            "duplicates-refused",
            f"rows that were alike had to go for {fact.line.partition(':')[0]}: the previous release writes such rows",
            _line_about(step, fact.line.partition(":")[0].rpartition(".")[2].strip('"')),
            (Effect.BREAKS_PREVIOUS_RELEASE,),
            Evidence(relation=table),
        )


def _of_triggers(step: StepRehearsal) -> Iterator[Sighting]:
    """Give the triggers that the writes of the previous release do not fire any more.

    Whoever drops one that saw to its own row has mostly seen that nobody needs it; a rebuild has seen nothing.
    """
    for one in step.silenced:
        name = one.trigger.rpartition(".")[2].strip('"')
        meant = any(
            re.search(rf"\bDROP\s+TRIGGER\b.*\b{re.escape(name)}\b", run.sql, re.IGNORECASE) for run in step.of(Run.UP)
        )
        if one.elsewhere or not meant:
            yield Sighting(
                "trigger-dropped",
                f"what the trigger {one.trigger} did is done no more when the previous release writes",
                _line_about(step, name, one.table),
                (Effect.BREAKS_PREVIOUS_RELEASE,),
                Evidence(relation=one.table),
            )


def _of_replacement(step: StepRehearsal) -> Iterator[Sighting]:
    """Give the tables that were copied by hand."""
    for table in step.replaced:
        yield Sighting(
            "table-rewrite",
            f"another table takes the place of {table}, with its rows copied",
            _line_about(step, table.split(".")[-1].strip('"')),
            (Effect.REWRITES_TABLE,),
            Evidence(relation=f"{table} (copied)"),
            f"how many rows {table} has in production",
        )


def _is_narrower(old: str, new: str) -> bool:
    before, after = old.lower(), new.lower()
    if before in _RANKS and after in _RANKS:
        return _RANKS[after] < _RANKS[before]
    sizes = [re.search(r"\((\d+)", one) for one in (before, after)]
    textual = all(re.search(r"char|text", one) for one in (before, after))
    if sizes[1] and (textual or before.split("(")[0] == after.split("(")[0]):
        return sizes[0] is None or int(sizes[1][1]) < int(sizes[0][1])
    return False


def _line_about(step: StepRehearsal, name: str, table: str = "") -> Location:
    """Return the line of the first statement that names something; one about the table goes first, if it is given."""
    naming = [one for one in step.of(Run.UP) if one.location and re.search(rf"\b{re.escape(name)}\b", one.sql)]
    bare = re.escape(table.rsplit(".", maxsplit=1)[-1].strip('"'))
    about = re.compile(rf"\bTABLE\s[^(]*\b(?:_alembic_tmp_)?{bare}\b")
    best = next((one for one in naming if about.search(one.sql)), naming[0] if naming else None)
    return (best.location if best else None) or _function(step.revision.path, "upgrade")


def _of_return(step: StepRehearsal) -> Iterator[Sighting]:
    back = step.way_back
    if back is None or back:
        return
    if back.failure is not None:
        yield Sighting(
            "irreversible",
            f"the downgrade fails: {back.failure.message}",
            back.failure.location if back.failure.location.line else _function(step.revision.path, "downgrade"),
            (Effect.IRREVERSIBLE,),
            Evidence(back.failure.statement) if back.failure.statement else None,
        )
        return
    facts = [f"lacks {fact.line}" for fact in back.schema.missing]
    facts += [f"still has {fact.line}" for fact in back.schema.unexpected]
    facts += [f"withdraws {one}" for one in back.privileges]
    what = [*facts, *back.rows]
    more = f", and {len(what) - 3} more" if len(what) > 3 else ""
    yield Sighting(
        "irreversible",
        f"the downgrade does not restore what was: {'; '.join(what[:3])}{more}",
        _cause(step) if not facts else _function(step.revision.path, "downgrade"),
        (Effect.IRREVERSIBLE,),
    )


def _cause(step: StepRehearsal) -> Location:
    """Return where rows were lost that no downgrade can bring back."""
    for loss in step.losses:
        statement = _statement_of(step, loss)
        if statement is not None and statement.location is not None:
            return statement.location
    return _function(step.revision.path, "downgrade")


def _of_repetition(step: StepRehearsal) -> Iterator[Sighting]:
    if step.cut_short is not None:
        failed = step.failure is not None
        yield Sighting(
            "not-rerunnable" if failed else "cut-short",
            f"after an upgrade that {'failed' if failed else 'was cut short'} the next one {step.cut_short.message}",
            step.cut_short.location,
            (Effect.NOT_RERUNNABLE,),
        )
    again = step.again
    # Where the downgrade does not restore what was, what comes of another upgrade adds nothing to that.
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
            _function(step.revision.path, "upgrade"),
            (Effect.NOT_RERUNNABLE,),
        )
    elif again.rows or again.statements:
        what = [f"the rows of {', '.join(again.rows)}"] if again.rows else ["its statements"]
        yield Sighting(
            "non-deterministic",
            f"two upgrades from the same beginning differ in {what[0]}",
            _function(step.revision.path, "upgrade"),
        )


def _of_upkeep(step: StepRehearsal) -> Iterator[Sighting]:
    for statement in step.of(Run.UP):
        for index in statement.invalid:
            yield Sighting(
                "invalid-index",
                f"the index {index} is left invalid: it costs as much as any and serves nobody",
                statement.location or Location(step.revision.path),
                evidence=Evidence(statement.sql, "", index),
            )
    if step.upkeep is None:
        return
    before, after = step.upkeep
    for reference in sorted(after.unindexed - before.unindexed):
        table, _, columns = reference.rstrip(")").partition("(")
        yield Sighting(
            "missing-foreign-key-index",
            f"no index begins with the foreign key {reference}: every delete in the other table reads all of {table}",
            _line_about(step, columns.split(", ")[0].strip('"'), table),
            evidence=Evidence(relation=table),
        )
    for name, other in sorted(after.redundant - before.redundant):
        yield Sighting(
            "redundant-index",
            f"the index {name} can do nothing that {other} cannot",
            _line_about(step, name.split(".")[-1].strip('"')),
            evidence=Evidence(relation=name),
        )
    yield from _of_privileges(step, before.privileges, after.privileges)
    yield from _of_sequences(step, before, after)
    yield from _of_partitions(step, before, after)


def _of_sequences(step: StepRehearsal, before: Upkeep, after: Upkeep) -> Iterator[Sighting]:
    for column in sorted(after.behind.keys() - before.behind.keys()):
        table = column.rpartition(".")[0]
        if table not in before.privileges:
            continue
        sequence = after.behind[column]
        yield Sighting(
            "sequence-behind",
            f"the next number of {sequence} for {column} is one that a row has already",
            _line_about(step, sequence.split(".")[-1].strip('"'), table),
            (Effect.BREAKS_PREVIOUS_RELEASE,),
            Evidence(relation=column),
        )


def _of_partitions(step: StepRehearsal, before: Upkeep, after: Upkeep) -> Iterator[Sighting]:
    bounds = {(table, bound) for table, _, bound in after.partitions}
    parents = {table for table, _, _ in after.partitions} | after.privileges.keys()
    for table, partition, bound in sorted(before.partitions):
        if (table, bound) not in bounds and table in parents and partition in after.privileges:
            yield Sighting(
                "partition-detached",
                f"{partition} is no partition of {table} any more: its rows are not found there, and new ones refused",
                _line_about(step, partition.split(".")[-1].strip('"')),
                (Effect.BREAKS_PREVIOUS_RELEASE,),
                Evidence(relation=partition),
            )


def _of_privileges(step: StepRehearsal, before: Privileges, after: Privileges) -> Iterator[Sighting]:
    here = _function(step.revision.path, "upgrade")
    for table in sorted(before.keys() & after.keys()):
        if before[table] == after[table]:
            continue
        lost = sorted(before[table] - after[table])
        statement = next((one for one in step.of(Run.UP) if lost and _REVOKES.search(one.sql)), None)
        words = f"{', '.join(lost)} may no longer" if lost else f"{', '.join(sorted(after[table] - before[table]))} may"
        yield Sighting(
            "privileges-changed",
            f"owner or privileges of {table} change: {words}",
            (statement.location if statement else None) or here,
            (Effect.BREAKS_PREVIOUS_RELEASE,) if any(_USES.search(one) for one in lost) else (),
            Evidence(statement.sql if statement else "", relation=table),
        )


def _of_source(path: Path) -> Iterator[Sighting]:
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
        for module in modules:
            if _has_models(path, module):
                line = getattr(node, "lineno", None)
                yield Sighting(
                    "imports-models",
                    f"it imports {module}, whose models will not be what they are today",
                    Location(path, line),
                )
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and _is_named(node.value, "os"):
            yield Sighting(
                "environment-dependent",
                "what it does depends on the environment of the process that runs it",
                Location(path, node.lineno),
            )


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _has_models(path: Path, module: str) -> bool:
    """Tell whether a module of the same project defines models."""
    parts = module.split(".")
    for parent in path.resolve().parents:
        for file in (parent.joinpath(*parts).with_suffix(".py"), parent.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return _MODELS.search(file.read_text(encoding="utf-8", errors="replace")) is not None
        if (parent / "alembic.ini").exists() or (parent / "pyproject.toml").exists():
            break
    return False


def _function(path: Path, name: str) -> Location:
    """Return where a function of a revision begins."""
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return Location(path)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Location(path, node.lineno)
    return Location(path)
