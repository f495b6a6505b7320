"""Where an Alembic environment lies: its configuration file, its directory, its revision files."""

from __future__ import annotations

import os
import sys
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

from tbcv.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class AlembicEnvironment:
    """One Alembic environment on disk.

    Attributes:
        config_file: Its ini file.
        directory: The directory with ``env.py``.
        version_directories: Where the revision files are; the first one gets new revisions.
    """

    config_file: Path
    directory: Path
    version_directories: tuple[Path, ...]


def own_environment() -> AlembicEnvironment:
    """Return tbcv's own environment: beside the package in a checkout, inside it in an installed wheel."""
    checkout = _PACKAGE.parent / "alembic.ini"
    bundled = _PACKAGE / "_bundle" / "alembic.ini"
    return read_environment(checkout if (checkout.parent / "migrations" / "env.py").exists() else bundled)


def read_environment(config_file: Path) -> AlembicEnvironment:
    """Read an ini file of Alembic.

    Raises:
        ConfigurationError: The file cannot be read or names no directory that holds an ``env.py``.
    """
    environment = read_locations(config_file)
    if not (environment.directory / "env.py").is_file():
        raise ConfigurationError(
            f"{environment.config_file} names {environment.directory} as its script_location, where there is no env.py"
        )
    return environment


def read_locations(config_file: Path) -> AlembicEnvironment:
    """Read which directories an ini file of Alembic names, whether they are there or not.

    Raises:
        ConfigurationError: The file cannot be read, or names none.
    """
    config_file = config_file.absolute()
    here = str(config_file.parent)
    parser = ConfigParser({"here": here.replace("%", "%%")})
    try:
        with config_file.open(encoding="utf-8") as stream:
            parser.read_file(stream)
        script_location = parser.get("alembic", "script_location", fallback="")
        separator = _separator(parser.get("alembic", "path_separator", fallback=""))
        locations = parser.get("alembic", "version_locations", fallback="")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"cannot read {config_file}: {reason}", hint="-c takes an alembic.ini") from None
    except Error as error:
        raise ConfigurationError(f"{config_file} is no valid ini file: {error.message}") from None
    if not script_location and (config_file.parent / "env.py").is_file():
        # That of Flask-Migrate names none: it lies in the directory that is meant.
        script_location = "."
    if not script_location:
        raise ConfigurationError(f"{config_file} sets no script_location in [alembic]")
    directory = _resolve(script_location, config_file.parent)
    listed = [_resolve(word, config_file.parent) for word in locations.split(separator) if word.strip()]
    return AlembicEnvironment(config_file, directory, tuple(listed) or (directory / "versions",))


def written_url(config_file: Path, section: str = "alembic") -> str:
    """Return the database URL as it is spelled in an ini file of Alembic; empty where there is none."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(config_file, encoding="utf-8")
        return parser.get(section, "sqlalchemy.url", fallback="").strip()
    except Error:
        return ""


def expanded_url(written: str, config_file: Path) -> str:
    """Return the URL that is meant by its spelling in an ini file."""
    return written.replace("%(here)s", str(config_file.absolute().parent)).replace("%%", "%")


def _resolve(location: str, base: Path) -> Path:
    # Alembic resolves a relative location against the working directory; the file's own is what people mean.
    path = Path(location.strip())
    package, colon, inside = location.strip().partition(":")
    if colon and not path.is_absolute():
        return _in_package(package, inside.replace(":", "/"), base) or base / path
    return path if path.is_absolute() else base / path


def _in_package(package: str, inside: str, base: Path) -> Path | None:
    """Return a place in a package, as in ``app:migrations`` or ``app:database:migrations``, without importing it."""
    places = (base, *base.parents[:2], Path.cwd(), *map(Path, sys.path))
    found = (place.absolute() / package.replace(".", "/") / inside for place in places)
    return next((one for one in found if one.is_dir()), None)


def _separator(name: str) -> str | None:
    return {"os": os.pathsep, "space": " ", "newline": "\n", "": None}.get(name, name)
