"""Serving with uvicorn, such that a process either serves or ends with one line that says why not."""

from __future__ import annotations

import copy
import importlib
import logging.config
import os
import socket
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Protocol

import anyio
from pydantic import SecretStr

from tbcv.api.startup import initialize
from tbcv.engine.url import parse_database_url
from tbcv.errors import ConfigurationError
from tbcv.report.logs import JsonLines
from tbcv.settings import LogFormat, Settings, environment_name

_EXTRA = ("fastapi", "jinja2", "uvicorn")


class Run(Protocol):
    """Runs an asynchronous function to its end, as `anyio.run` does."""

    def __call__(self, function: Callable[[Settings], Awaitable[None]], settings: Settings, /) -> None:
        """Run it with its argument."""


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    reload: bool = False,
    workers: int = 1,
    run: Run = anyio.run,
) -> None:
    """Initialize the database, then serve the API until a signal ends it.

    The database is initialized here and not only in the lifespan, because here a failure ends the process:
    supervisors start dying workers anew.

    Args:
        settings: Handed on to workers through the environment of this process.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        reload: Start anew when a source file changes.
        workers: The number of processes.
        run: Runs the initialization, and knows what a signal does to it; later uvicorn does.

    Raises:
        ConfigurationError: The extra is not installed, the address is taken, or the options exclude each other.
        TbcvError: As `tbcv.api.startup.initialize`.
    """
    uvicorn = load()
    require_one_process(settings, reload=reload, workers=workers)
    require_free(host, port)
    log_config = logging_with_tbcv(uvicorn.config.LOGGING_CONFIG, settings.log_format)
    logging.config.dictConfig(log_config)
    run(initialize, settings)
    os.environ.update(environment_of(settings))
    uvicorn.run(
        "tbcv.api.app:create_app",
        factory=True,
        host=host,
        port=port,
        reload=reload,
        workers=workers,
        log_config=log_config,
    )


def load() -> ModuleType:
    """Import and return uvicorn, of the extra ``tbcv[api]``, which only serving needs.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    require_extra()
    return importlib.import_module("uvicorn")


def require_extra(modules: tuple[str, ...] = _EXTRA) -> None:
    """Refuse to serve without what the extra ``tbcv[api]`` installs.

    Raises:
        ConfigurationError: One of the modules is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"serving needs {', '.join(missing)}, which is not installed", hint="pip install 'tbcv[api]'"
        )


def require_one_process(settings: Settings, *, reload: bool, workers: int) -> None:
    """Refuse several processes where only one can be.

    Raises:
        ConfigurationError: Workers are asked for together with reloading, or on a database in memory.
    """
    if workers == 1:
        return
    if reload:
        raise ConfigurationError("--reload and --workers exclude each other", hint="give one of them")
    if parse_database_url(settings.database_url.get_secret_value()).is_memory:
        raise ConfigurationError(
            "a database in memory belongs to one process", hint="give --workers 1, or a database in a file"
        )


def require_free(host: str, port: int) -> None:
    """Refuse an address on which nobody can listen, before a migration is begun for nothing.

    Raises:
        ConfigurationError: The address is in use, is not one of this machine, or may not be used.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                # As a server does: connections that linger from its predecessor do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="end what listens there, or choose another --host or --port",
        ) from error


def logging_with_tbcv(config: dict[str, Any], log_format: LogFormat = LogFormat.TEXT) -> dict[str, Any]:
    """Return uvicorn's logging configuration with the loggers of tbcv added to it, in the form that is wanted."""
    config = copy.deepcopy(config)
    if log_format is LogFormat.JSON:
        config["formatters"] = {name: {"()": f"{JsonLines.__module__}.JsonLines"} for name in config["formatters"]}
    config["loggers"]["tbcv"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment variables from which a worker reads the same settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        environment_name(name): str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        for name, value in given.items()
        if value is not None
    }
