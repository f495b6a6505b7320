"""How two runs of one revision are compared."""

from __future__ import annotations

from pathlib import Path

from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.rehearsals.moments import Moment, repetition
from tbcv.gate.rehearsals.rehearsed import Return, StepRehearsal
from tbcv.gate.rehearsals.upkeep import Upkeep
from tbcv.gate.seeding.seed import Seeded
from tbcv.migrate.history import Revision
from tbcv.migrate.snapshot import Fact, Snapshot

REVISION = Revision("one", (), (), (), "", "", Path("one.py"))


def moment(*facts: Fact) -> Moment:
    """Return a database without rows."""
    return Moment(Snapshot.of("postgresql", facts), {}, Upkeep(frozenset(), frozenset(), {}))


def differs(first: str, second: str) -> bool:
    """Tell whether a revision that executes one thing and then another counts as differing from run to run."""
    statements = tuple(
        Statement(run, 0, sql, None, 0, alone=False, milliseconds=1)
        for run, sql in ((Run.UP, first), (Run.AGAIN, second))
    )
    step = StepRehearsal(REVISION, Seeded({}, {}), statements, way_back=Return())
    return repetition(step, moment(), moment()).statements


def test_order_of_constraints() -> None:
    """In which order the copy of a table lists its constraints is nobody's choice, and makes no difference."""
    one, two = "UNIQUE (a)", "FOREIGN KEY(b) REFERENCES t (id)"
    assert not differs(f"CREATE TABLE c (a int, b int, {one}, {two})", f"CREATE TABLE c (a int, b int, {two}, {one})")
    assert differs(f"CREATE TABLE c (a int, {one})", f"CREATE TABLE c (a int, {two})")


def test_beginning_of_sequences() -> None:
    """With which number a sequence began makes no difference, and everything else about it does."""
    one, other, cycling = (
        Fact("sequence s", f"sequence s: integer start {start} increment 1{more}")
        for start, more in ((1, ""), (501, ""), (1, " cycle"))
    )
    step = StepRehearsal(REVISION, Seeded({}, {}), way_back=Return())
    assert not repetition(step, moment(one), moment(other)).schema
    assert repetition(step, moment(one), moment(cycling)).schema
    assert repetition(step, moment(one), moment()).schema
