"""What a revision makes of the rows and writes of the release before: narrower, other, refused, or unheeded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tbcv.findings import Effect, Evidence
from tbcv.gate.judgement.lines import line_about
from tbcv.gate.judgement.sightings import Sighting
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.rehearsed import StepRehearsal

_RANKS = {"smallint": 1, "integer": 2, "bigint": 3}


def sightings_of_meaning(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what the release before would read, write or rely on in vain."""
    yield from _of_narrowing(step)
    yield from _of_meaning(step)
    yield from _of_absence(step)
    yield from _of_uniqueness(step)
    yield from _of_triggers(step)
    yield from _of_replacement(step)


def _of_narrowing(step: StepRehearsal) -> Iterator[Sighting]:
    """Give columns whose new type holds less than the old one, though nothing was lost here."""
    lost = {(loss.table, loss.column) for loss in step.losses}
    for table, column, old, new in step.types:
        if (table, column) not in lost and _is_narrower(old, new):
            yield Sighting(
                "type-narrowing",
                f"{table}.{column} becomes {new} and was {old}",
                line_about(step, column),
                evidence=Evidence(relation=f"{table}.{column}"),
                depends_on=f"whether every value of {table}.{column} in production fits",
            )


def _of_meaning(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what the previous release would read as something else."""
    for table, column, now in step.reinterpreted:
        yield Sighting(
            "meaning-changed",
            f"{table}.{column} now is {now}, under the same name",
            line_about(step, column, table),
            (Effect.BREAKS_PREVIOUS_RELEASE,),
            Evidence(relation=f"{table}.{column}"),
        )


def _of_absence(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what the previous release would look for where it is no more."""
    for table, rows in step.moved:
        yield Sighting(
            "rows-moved",
            f"{rows} rows of {table} stand in another table, where the previous release does not look",
            line_about(step, table.split(".")[-1].strip('"')),
            (Effect.BREAKS_PREVIOUS_RELEASE,),
            Evidence(relation=table, rows=rows),
            "whether the previous release still looks for such rows",
        )


def _of_uniqueness(step: StepRehearsal) -> Iterator[Sighting]:
    """Give what became unique where the upgrade itself found rows that were alike: the previous release writes such."""
    for fact in step.schema.unexpected:
        table = fact.subject.removeprefix("table ")
        lost = [one for one in step.losses if one.table == table and one.how in {"deleted", "overwritten", "emptied"}]
        if fact.line not in step.collided or not any(one.column is None or one.column in fact.line for one in lost):
            continue
        yield Sighting(
            "duplicates-refused",
            f"rows that were alike had to go for {fact.line.partition(':')[0]}: the previous release writes such rows",
            line_about(step, fact.line.partition(":")[0].rpartition(".")[2].strip('"')),
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
                line_about(step, name, one.table),
                (Effect.BREAKS_PREVIOUS_RELEASE,),
                Evidence(relation=one.table),
            )


def _of_replacement(step: StepRehearsal) -> Iterator[Sighting]:
    """Give the tables that were copied by hand."""
    for table in step.replaced:
        yield Sighting(
            "table-rewrite",
            f"another table takes the place of {table}, with its rows copied",
            line_about(step, table.split(".")[-1].strip('"')),
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
