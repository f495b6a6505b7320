"""Logs for programs: every step and every run is an object with fields, on stderr."""

from __future__ import annotations

import json
from typing import Any

from tests.journeys.command_line import CommandLine, upgrade


def logged(err: str) -> list[dict[str, Any]]:
    """Return the objects of a log; the line that names an error is none."""
    return [json.loads(line) for line in err.splitlines() if not line.startswith("tbcv: ")]


def test_steps_and_runs(tbcv: CommandLine) -> None:
    """Each step says which revision, which way and how long; the run, from where to where, and its backup."""
    upgrade(tbcv.url or "", "009")
    lines = logged(tbcv.having(TBCV_LOG_FORMAT="json")("upgrade").err)
    assert all({"timestamp", "level", "logger", "message"} <= line.keys() for line in lines)
    steps = [line for line in lines if line.get("event") == "step"]
    assert [(line["revision"], line["direction"]) for line in steps] == [("010", "upgrade"), ("011", "upgrade")]
    assert all(line["seconds"] >= 0 for line in steps)
    (run,) = (line for line in lines if line.get("event") == "run")
    assert (run["ended"], run["before"], run["after"], run["revisions"]) == ("done", ["009"], ["011"], ["010", "011"])
    taken = [line["backup"] for line in lines if line.get("event") == "backup"]
    # On PostgreSQL there is nothing yet that could be lost.
    assert run["backup"] == (taken[-1] if taken else None)
    assert "✓" not in "".join(line["message"] for line in lines)


def test_runs_that_fail(tbcv: CommandLine) -> None:
    """A run that was refused says so with its reason; what there was to say to people stays one line."""
    upgrade(tbcv.url or "", "009")
    done = tbcv.having(TBCV_LOG_FORMAT="json")("upgrade", "-r", "008", code=3)
    (run,) = (line for line in logged(done.err) if line.get("event") == "run")
    assert (run["ended"], run["before"], run["after"]) == ("refused", ["009"], None)
    assert "008" in run["reason"]
    assert len([line for line in done.err.splitlines() if line.startswith("tbcv: ")]) == 1


def test_a_wrong_format(on_sqlite: CommandLine) -> None:
    """A form that there is not is refused by name."""
    assert "TBCV_LOG_FORMAT" in on_sqlite.having(TBCV_LOG_FORMAT="xml").refused("current", code=2)
