"""What a terminal shows, as text."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from tbcv.findings import Finding, Location, Severity
from tbcv.migrate.create import Creation
from tbcv.migrate.history import History, Revision
from tbcv.migrate.losses import How, Loss, Losses
from tbcv.migrate.plan import AppliedStep, Direction, Outcome
from tbcv.migrate.status import Status, empty_status, place
from tbcv.report import terminal

FIRST = Revision("a1", (), (), (), "First.", "First.\n\nMore.", Path("versions/a1_first.py"))
SECOND = Revision("b2", ("a1",), (), (), "Second.", "Second.", Path("versions/b2_second.py"))
HISTORY = History({"a1": FIRST, "b2": SECOND})
STEP = AppliedStep("a1", "First.", 0.126)


def shown(renderable: RenderableType) -> list[str]:
    """Return what a wide pipe gets, without the padding of tables."""
    console = Console(file=io.StringIO(), width=120, highlight=False, markup=False, emoji=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("where", "lines"),
    [
        (
            empty_status(HISTORY),
            ["database  db", "state     empty", "current   none", "head      b2  Second.", "pending   a1, b2"],
        ),
        (
            place(("b2",), HISTORY),
            ["database  db", "state     at head", "current   b2  Second.", "head      b2  Second."],
        ),
        (
            place(("zz",), HISTORY),
            ["database  db", "state     ahead", "current   zz  (unknown)", "head      b2  Second."],
        ),
    ],
)
def test_status(where: Status, lines: list[str]) -> None:
    """A status is a short list of facts."""
    assert shown(terminal.status(where, HISTORY, "db")) == lines


def test_verbose_status() -> None:
    """On request what is pending is listed with what it does."""
    *_, heading, last = shown(terminal.status(place(("a1",), HISTORY), HISTORY, "db", verbose=True))
    assert heading.split() == ["revision", "follows", "what", "it", "does"]
    assert last.split() == ["b2", "a1", "Second."]


@pytest.mark.parametrize(
    ("current", "states"),
    [(("a1",), ["pending", "applied"]), (("zz",), ["unknown", "unknown"]), ((), ["pending", "pending"])],
)
def test_revisions(current: tuple[str, ...], states: list[str]) -> None:
    """Where the database is, an arrow points; of every revision it is said whether it is applied."""
    where = place(current, HISTORY) if current else empty_status(HISTORY)
    lines = shown(terminal.revisions([SECOND, FIRST], where))[1:]
    assert [line.startswith("→") for line in lines] == [False, current == ("a1",)]
    assert [line.removeprefix("→").split()[2] for line in lines] == states


def test_revisions_without_a_database() -> None:
    """Without a database there is no column for it; on request the file and the whole description are shown."""
    assert shown(terminal.revisions([FIRST], None))[1].split() == ["a1", "base", "First."]
    verbose = "\n".join(shown(terminal.revisions([FIRST], None, verbose=True)))
    assert "More." in verbose
    assert "a1_first.py" in verbose


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome(Direction.UPGRADE, (), ("a1",), (STEP,)), "upgraded base → a1: 1 revision in 0.13 s"),
        (Outcome(Direction.DOWNGRADE, ("b2",), (), (STEP, STEP)), "downgraded b2 → base: 2 revisions in 0.25 s"),
        (Outcome(Direction.UPGRADE, ("b2",), ("b2",)), "nothing to do: the database is at b2"),
        (Outcome(Direction.DOWNGRADE, (), ()), "nothing to do: the database is at base"),
        (Outcome(Direction.STAMP, (), ("b2",)), "recorded b2"),
        (Outcome(Direction.STAMP, ("b2",), ()), "recorded base"),
    ],
)
def test_outcomes(outcome: Outcome, line: str) -> None:
    """A run is told in a line."""
    assert shown(terminal.outcome(outcome)) == [line]


def test_losses() -> None:
    """What goes is named with its rows and its revision; where nothing goes, that is said."""
    lines = shown(
        terminal.losses(Losses((Loss("things", None, 12, "b2"), Loss("[x]", "note", 3, "b2"))), [SECOND], "-1")
    )
    assert lines[0] == "Downgrade to -1 reverts b2."
    assert [line.split() for line in lines[2:]] == [["table", "things", "b2", "12"], ["column", "[x].note", "b2", "3"]]
    assert shown(terminal.losses(Losses(), [SECOND], "-1"))[1:] == ["It drops no table and no column."]
    unknown = shown(terminal.losses(Losses(unknown="on an empty database it fails"), [SECOND], "-1"))
    assert unknown[1:] == ["It could not be found out what it takes away: on an empty database it fails"]


def test_losses_of_what_stays() -> None:
    """Of tables that stay, it is told in a line which may lose rows or values."""
    found = (
        Loss("things", None, 12, "b2", How.DELETED),
        Loss("things", "note", 3, "b2", How.CHANGED),
        Loss("things", "name", 3, "b2", How.CHANGED),
        Loss("others", "name", 1, "b2", How.CHANGED),
    )
    assert shown(terminal.losses(Losses(found, tried_on="sqlite"), [SECOND], "-1"))[1:] == [
        "It drops no table and no column.",
        "It may delete rows of things.",
        "It may overwrite values in things, others.",
        "It was tried on sqlite only: there is no PostgreSQL to try it on.",
    ]


def test_creation_and_changes() -> None:
    """A new revision is told with its file and where it was tried; agreement and difference per engine."""
    found = Finding("data-loss", Severity.ERROR, "rows go", "keep them", location=Location(Path("/v/c3.py"), 7))
    creation = Creation("c3", Path("/v/c3.py"), tried_on=("sqlite", "postgresql"), findings=(found,))
    assert shown(terminal.creation(creation)) == [
        "created /v/c3.py",
        "revision c3, run up, down and up on sqlite and postgresql",
        "error data-loss  c3.py:7",
        "    rows go",
        "    keep them",
    ]
    assert shown(terminal.creation(Creation(None)))[0].startswith("no changes")
    assert shown(terminal.changes([("sqlite", ()), ("postgresql", ("add table x",))])) == [
        "sqlite: the models agree with the migrations",
        "postgresql: add table x",
    ]


def test_findings() -> None:
    """A finding is its severity, code and file, and what to do below it."""
    finding = Finding("some-code", Severity.ERROR, "wrong", "do right", "a1", Location(Path("v/a1.py")))
    assert shown(terminal.findings([finding], "none")) == ["error some-code  a1.py: wrong", "    do right"]
    assert shown(terminal.findings([], "none")) == ["none"]
