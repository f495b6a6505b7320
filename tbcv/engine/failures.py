"""What the drivers raise, in words.

SQLAlchemy's own messages repeat the statement with its parameters, which may be somebody's data; asyncpg's and
sqlite3's say what happened and not where.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tbcv.engine.url import DatabaseURL
from tbcv.errors import DatabaseUnavailableError

_CLASS_PREFIX = re.compile(r"^<class '[^']*'>:\s*")

# The first words that fit the driver's message say what to do about it.
_ADVICE = (
    ("password authentication failed", "check user and password in DATABASE_URL"),
    ("no password supplied", "give a password in DATABASE_URL or PGPASSWORD"),
    ("no pg_hba.conf entry", "the server admits this user or address to no such database"),
    ("does not exist", "create it, or correct DATABASE_URL"),
    ("permission denied", "use a role with the right to do this"),
    ("must be owner", "migrate as the role that owns the tables: TBCV_MIGRATION_DATABASE_URL"),
    ("unable to open database file", "check that the directory exists and may be written"),
    ("readonly database", "make the file and its directory writable"),
    ("read-only", "make the file and its directory writable"),
    ("database is locked", "another process is writing; try again, or find it with `fuser`"),
    ("disk is full", "free some space; nothing of the last transaction was kept"),
    ("file is not a database", "check the path: this file is no SQLite database"),
    ("malformed", "the file is damaged: restore a backup"),
    ("too many clients", "the server has no free connection"),
    ("timed out", "check host and port, and whether the server is overloaded"),
    ("connection refused", "check host and port, and whether the server runs"),
    ("connect call failed", "check host and port, and whether the server runs"),
)


def reason(error: BaseException) -> str:
    """Return what a driver's or a revision's error says, as one line without statement and parameters."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    lines = _CLASS_PREFIX.sub("", str(error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def is_corrupt(error: BaseException | None) -> bool:
    """Tell whether an error comes from a damaged SQLite file, which had better not be written to."""
    while error is not None:
        code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) or 0
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return True
        error = error.__cause__ or error.__context__
    return False


def advice(why: str) -> str:
    """Return what to do about a driver's message; nothing where the message is not about the database as such."""
    return next((words for part, words in _ADVICE if part in why.lower()), "")


@contextmanager
def database_errors(address: DatabaseURL) -> Iterator[None]:
    """Turn what the drivers raise within the block into a `DatabaseUnavailableError` that says where and why.

    Raises:
        DatabaseUnavailableError: The database cannot be reached, opened, read or written.
    """
    try:
        yield
    except (
        DBAPIError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        sqlite3.Error,
        PoolTimeoutError,
    ) as error:
        raise _unavailable(address, reason(error)) from error
    except TimeoutError as error:
        raise _unavailable(address, "it timed out without an answer") from error
    except OSError as error:
        raise _unavailable(address, _os_reason(error)) from error


def _unavailable(address: DatabaseURL, why: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(f"cannot use {address.redacted}: {why}", hint=advice(why))


def _os_reason(error: OSError) -> str:
    # asyncpg collects one failure per address of a host: the text of all is a list of tuples.
    return (error.strerror or str(error) or type(error).__name__).strip()
