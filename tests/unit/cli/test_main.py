"""The boundary at which errors become lines and exit codes, and what it costs to ask for help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import click
import pytest

from tbcv.cli.interrupted import Interrupted
from tbcv.cli.main import run
from tbcv.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    RevisionNotFoundError,
    UnsupportedDatabaseError,
    UpgradeFailedError,
)


def command(outcome: BaseException | int | None) -> click.Command:
    """Make a command that raises or returns something."""

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def act(as_json: bool) -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return act


@pytest.mark.parametrize(
    ("outcome", "code", "line"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (1, 1, ""),
        (ConfigurationError("wrong", hint="do\nright"), 2, "tbcv: wrong; do right"),
        (UnsupportedDatabaseError("wrong"), 2, "tbcv: wrong"),
        (DatabaseUnavailableError("wrong"), 3, "tbcv: wrong"),
        (RevisionNotFoundError("wrong"), 3, "tbcv: wrong"),
        (UpgradeFailedError("wrong", applied=[], failed="a1", remaining=[]), 3, "tbcv: wrong"),
        (Interrupted(signal.SIGINT), 130, "tbcv: ended by SIGINT"),
        (Interrupted(signal.SIGTERM), 143, "tbcv: ended by SIGTERM"),
        (KeyboardInterrupt(), 130, "tbcv: interrupted"),
        (click.Abort(), 130, "tbcv: interrupted"),
        (ValueError("a\nb"), 70, "tbcv: defect: ValueError: a b; run again with --debug and report it"),
        (AssertionError(), 70, "tbcv: defect: AssertionError: no message; run again with --debug and report it"),
    ],
)
def test_exit_codes(
    outcome: BaseException | int | None, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of end has its exit code and at most one line."""
    assert run(command(outcome), []) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip() == line


def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json an error is a document on stdout as well."""
    assert run(command(ConfigurationError("wrong", hint="right")), ["--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "kind": "error",
        "error": {"code": "configuration", "message": "wrong", "hint": "right"},
    }


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """What click refuses is a usage error."""
    assert run(command(None), ["--nonsense"], name="tbcv") == 2
    assert "--nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_help_is_cheap(words: list[str]) -> None:
    """Help and version import neither SQLAlchemy nor Alembic nor the API."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tbcv", *words],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if words else 2)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"sqlalchemy", "alembic", "pydantic", "rich", "fastapi", "asyncio", "asyncpg"}
