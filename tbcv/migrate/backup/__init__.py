"""Backups: taken by the engine's own means, proven before they count, and brought back in one step."""

from __future__ import annotations

from pathlib import Path

from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConfigurationError
from tbcv.migrate.backup.model import ASKED_FOR, Backup, Part
from tbcv.migrate.backup.restore import Restored, restore_backup
from tbcv.migrate.backup.shelf import list_backups
from tbcv.migrate.backup.take import take_backup

__all__ = [
    "ASKED_FOR",
    "Backup",
    "Part",
    "Restored",
    "default_directory",
    "list_backups",
    "restore_backup",
    "take_backup",
]


def default_directory(address: DatabaseURL) -> Path:
    """Return where the backups of a SQLite file stand when nothing else is said: beside it.

    Raises:
        ConfigurationError: The database is no file, so no place is beside it.
    """
    path = address.sqlite_path
    if path is None:
        raise ConfigurationError(
            f"there is no directory for backups of {address.redacted}", hint="set TBCV_BACKUP_DIRECTORY"
        )
    return path.with_name(f"{path.name}-backups")
