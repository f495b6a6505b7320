"""The application before it is started: making it opens nothing."""

from __future__ import annotations

import pytest

from tbcv import __version__
from tbcv.api.app import create_app


def test_malformed_settings_do_not_stop_its_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read at startup, whose failures are told in one line."""
    monkeypatch.setenv("DATABASE_URL", "mysql://db/name")
    create_app()


def test_openapi_describes_every_answer() -> None:
    """The document lists the interfaces for programs, each with the model of each status."""
    document = create_app().openapi()
    answers = {
        path: {
            status: answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            for status, answer in methods["get"]["responses"].items()
        }
        for path, methods in document["paths"].items()
    }
    assert answers == {
        "/health/live": {"200": "Liveness"},
        "/health/ready": {"200": "Readiness", "503": "Readiness"},
        "/api/schema": {"200": "Schema", "503": "Problem"},
    }
    assert document["info"]["version"] == __version__
