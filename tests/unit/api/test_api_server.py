"""What is decided before a server starts."""

from __future__ import annotations

import json
import logging
import logging.config

import pytest
from uvicorn.config import LOGGING_CONFIG

from tbcv.api.server import environment_of, logging_with_tbcv, require_extra, require_one_process
from tbcv.errors import ConfigurationError
from tbcv.settings import LogFormat, Settings, StartupMigration


def test_workers_read_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that workers are given holds every setting, passwords included, and nothing else."""
    settings = Settings.from_env(
        database_url="postgresql://me:p%40ss@db/name", migrate_on_startup="check", pool_timeout_seconds=1.5
    )
    variables = environment_of(settings)
    assert variables == {
        "DATABASE_URL": "postgresql://me:p%40ss@db/name",
        "TBCV_MIGRATE_ON_STARTUP": "check",
        "TBCV_POOL_TIMEOUT_SECONDS": "1.5",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env() == settings
    assert settings.migrate_on_startup is StartupMigration.CHECK


def test_defaults_are_not_handed_on() -> None:
    """A setting that nobody made leaves no trace in the environment of workers."""
    assert environment_of(Settings.from_env(scratch_database_url=None)) == {}


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    """Without uvicorn and FastAPI the refusal names what to install."""
    with pytest.raises(ConfigurationError, match=r"no_such_module.*pip install 'tbcv\[api\]'"):
        require_extra(("logging", "no_such_module"))


def test_the_extra_is_installed_here() -> None:
    """The tests run with everything that serving needs."""
    require_extra()


def test_workers_and_reload_exclude_each_other() -> None:
    """Reloading takes one process, and says so instead of ignoring an option."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        require_one_process(Settings.from_env(), reload=True, workers=2)
    require_one_process(Settings.from_env(), reload=True, workers=1)


def test_a_database_in_memory_has_one_process() -> None:
    """Workers would each serve another database, so they are refused."""
    settings = Settings.from_env(database_url="sqlite://")
    with pytest.raises(ConfigurationError, match="one process"):
        require_one_process(settings, reload=False, workers=2)
    require_one_process(settings, reload=False, workers=1)


def test_tbcv_logs_beside_uvicorn_and_alembic_does_not() -> None:
    """Loggers of tbcv are heard at INFO, Alembic's are not added, and uvicorn's own configuration stays."""
    before = set(LOGGING_CONFIG["loggers"])
    config = logging_with_tbcv(LOGGING_CONFIG)
    assert set(config["loggers"]) == before | {"tbcv"}
    assert logging.getLevelName(config["loggers"]["tbcv"]["level"]) == logging.INFO
    assert set(LOGGING_CONFIG["loggers"]) == before


def test_logs_for_programs() -> None:
    """As JSON every formatter of uvicorn's writes objects, those of requests included."""
    config = logging_with_tbcv(LOGGING_CONFIG, LogFormat.JSON)
    formatter = logging.config.DictConfigurator(config).configure_formatter(config["formatters"]["access"])
    arguments = ("127.0.0.1:1", "GET", "/health", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', arguments, None)
    line = json.loads(formatter.format(record))
    assert line["message"] == '127.0.0.1:1 - "GET /health HTTP/1.1" 200'
    assert (line["level"], line["logger"]) == ("INFO", "uvicorn.access")
