"""What a revision leaves behind that nobody asked for: indexes, sequences, partitions and privileges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tbcv.findings import Effect, Evidence, Location
from tbcv.gate.judgement.lines import function_at, line_about
from tbcv.gate.judgement.sightings import Sighting
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.rehearsed import StepRehearsal
from tbcv.gate.rehearsals.upkeep import Privileges, Upkeep

_REVOKES = re.compile(r"\bREVOKE\b", re.IGNORECASE)
_USES = re.compile(r": (SELECT|INSERT|UPDATE|DELETE)$")


def sightings_of_upkeep(step: StepRehearsal) -> Iterator[Sighting]:
    """Give the indexes that are invalid, missing or double, and whose affair a table has become."""
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
            line_about(step, columns.split(", ")[0].strip('"'), table),
            evidence=Evidence(relation=table),
        )
    for name, other in sorted(after.redundant - before.redundant):
        yield Sighting(
            "redundant-index",
            f"the index {name} can do nothing that {other} cannot",
            line_about(step, name.split(".")[-1].strip('"')),
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
            line_about(step, sequence.split(".")[-1].strip('"'), table),
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
                line_about(step, partition.split(".")[-1].strip('"')),
                (Effect.BREAKS_PREVIOUS_RELEASE,),
                Evidence(relation=partition),
            )


def _of_privileges(step: StepRehearsal, before: Privileges, after: Privileges) -> Iterator[Sighting]:
    here = function_at(step.revision.path, "upgrade")
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
