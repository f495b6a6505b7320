"""JSON documents: their keys are an interface."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tbcv.errors import ConfigurationError, TbcvError, UpgradeFailedError
from tbcv.findings import Finding, Location, Severity
from tbcv.migrate.create import Creation
from tbcv.migrate.history import History, Revision
from tbcv.migrate.losses import Loss
from tbcv.migrate.plan import AppliedStep, Direction, Outcome, Plan
from tbcv.migrate.status import State, empty_status, place
from tbcv.report import document

FIRST = Revision("a1", (), (), ("x",), "First.", "First.\n\nMore.", Path("versions/a1_first.py"))
SECOND = Revision("b2", ("a1",), (), (), "Sëcond.", "Sëcond.", Path("versions/b2_second.py"))
HISTORY = History({"a1": FIRST, "b2": SECOND})


def test_envelope() -> None:
    """Every document says its schema and what it is; characters are themselves."""
    text = document.dump("history", {"message": "Sëcond → λ"})
    assert json.loads(text) == {"schema": document.VERSION, "kind": "history", "message": "Sëcond → λ"}
    assert "Sëcond → λ" in text


def test_status() -> None:
    """A status is its state in a word and in words, and lists of revisions."""
    assert document.status(place(("a1",), HISTORY), "sqlite:///a.db") == {
        "database": "sqlite:///a.db",
        "state": "behind",
        "description": "behind by 1",
        "current": ["a1"],
        "heads": ["b2"],
        "pending": ["b2"],
        "unknown": [],
        "above": [],
        "blocking": [],
    }


def test_history() -> None:
    """Revisions say whether they are applied; null where nobody knows."""
    found = document.history([SECOND, FIRST], place(("a1",), HISTORY))
    assert (found["current"], found["state"]) == (["a1"], "behind")
    assert found["revisions"][1] == {
        "revision": "a1",
        "parents": [],
        "depends_on": [],
        "labels": ["x"],
        "message": "First.",
        "file": "a1_first.py",
        "applied": True,
    }
    assert found["revisions"][0]["applied"] is False
    unversioned = replace(empty_status(HISTORY), state=State.UNVERSIONED)
    for where in (None, place(("zz",), HISTORY), unversioned):
        assert [one["applied"] for one in document.history([FIRST], where)["revisions"]] == [None]


def test_runs() -> None:
    """What a run did, would do, and takes away."""
    outcome = Outcome(Direction.UPGRADE, (), ("a1",), (AppliedStep("a1", "First.", 0.12345),))
    assert document.outcome(outcome, "db") == {
        "database": "db",
        "before": [],
        "after": ["a1"],
        "applied": [{"revision": "a1", "message": "First.", "seconds": 0.123}],
        "backup": None,
    }
    plan = Plan(Direction.DOWNGRADE, ("b2",), "-1", (SECOND,))
    assert document.script(plan, "SELECT 1;", "db") == {
        "database": "db",
        "direction": "downgrade",
        "before": ["b2"],
        "target": "-1",
        "steps": ["b2"],
        "sql": "SELECT 1;",
    }
    assert document.losses([Loss("things", None, 3, "b2"), Loss("others", "note", 0, "b2")]) == [
        {"revision": "b2", "table": "things", "column": None, "how": "dropped", "rows": 3},
        {"revision": "b2", "table": "others", "column": "note", "how": "dropped", "rows": 0},
    ]


def test_creation() -> None:
    """A creation has the SQL of both ways per engine; one that was not needed has nothing."""
    found = Finding("data-loss", Severity.ERROR, "rows go", location=Location(Path("/v/c3.py"), 7))
    creation = Creation("c3", Path("/v/c3.py"), (("sqlite", "up"),), (("sqlite", "down"),), ("sqlite",), (found,))
    assert document.creation(creation) == {
        "revision": "c3",
        "path": "/v/c3.py",
        "tried_on": ["sqlite"],
        "upgrade_sql": {"sqlite": "up"},
        "downgrade_sql": {"sqlite": "down"},
        "findings": [document.finding(found)],
    }
    nothing = document.creation(Creation(None))
    assert (nothing["revision"], nothing["path"], nothing["tried_on"]) == (None, None, [])


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (ConfigurationError("wrong", hint="right"), {}),
        (
            UpgradeFailedError("wrong", applied=["a1"], failed="b2", remaining=["c3"], hint="right"),
            {"applied": ["a1"], "failed": "b2", "remaining": ["c3"], "backup": None},
        ),
    ],
)
def test_errors(error: TbcvError, more: dict[str, object]) -> None:
    """An error is its stable code, what is wrong and what to do; a partial success also says how far it came."""
    assert document.error(error) == {"error": {"code": error.code, "message": "wrong", "hint": "right", **more}}


def test_findings() -> None:
    """A finding names its file and line, or neither."""
    finding = Finding("some-code", Severity.WARNING, "wrong", "right", "a1", Location(Path("v/a1.py"), 7))
    assert document.finding(finding) == {
        "code": "some-code",
        "severity": "warning",
        "message": "wrong",
        "hint": "right",
        "revision": "a1",
        "file": "a1.py",
        "line": 7,
        "dialect": None,
        "effects": [],
        "evidence": None,
        "depends_on": None,
    }
    assert document.finding(replace(finding, location=None))["file"] is None
