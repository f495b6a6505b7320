"""Every error that tbcv raises on purpose, in one tree.

::

    TbcvError
    ├── ConfigurationError                      exit 2
    │   └── UnsupportedDatabaseError
    ├── DatabaseUnavailableError                exit 3
    └── MigrationError                          exit 3
        ├── RevisionNotFoundError
        ├── MultipleHeadsError
        ├── BrokenHistoryError
        ├── LockTimeoutError
        ├── LockLostError
        ├── RevisionInvalidError
        ├── AdoptionError
        ├── ScratchUnavailableError
        ├── BackupError
        ├── RefusedError
        │   ├── UnversionedDatabaseError
        │   ├── DatabaseAheadError
        │   ├── DatabaseBehindError
        │   ├── HistoryDivergedError
        │   ├── ConfirmationRequiredError
        │   ├── ConnectsElsewhereError
        │   └── ForeignKeyViolationError
        └── UpgradeFailedError

An error says what is wrong, where, and (``hint``) what to do next. A finding is not an error
(`tbcv.findings`), and a crash is neither: whatever is not a `TbcvError` is a defect of tbcv.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self


class TbcvError(Exception):
    """The root of the tree.

    Args:
        message: What is wrong and where, as one line without a full stop; never holds a password.
        hint: What to do next, as one line; empty when there is nothing to advise.
    """

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.message}; {self.hint}" if self.hint else self.message
        return " ".join(line.split())


class ConfigurationError(TbcvError):
    """A setting, an option or a URL is malformed."""

    exit_code = 2
    code = "configuration"


class UnsupportedDatabaseError(ConfigurationError):
    """The URL names an engine or a driver that tbcv does not speak."""

    code = "unsupported-database"


class DatabaseUnavailableError(TbcvError):
    """The database cannot be reached, opened, read or written."""

    code = "database-unavailable"


class MigrationError(TbcvError):
    """Something about revisions, or about a database's place among them."""

    code = "migration"


class RevisionNotFoundError(MigrationError):
    """No revision file answers to the identifier that was given."""

    code = "revision-not-found"


class MultipleHeadsError(MigrationError):
    """The history ends in more than one revision, and the request needs exactly one."""

    code = "multiple-heads"


class BrokenHistoryError(MigrationError):
    """The revision files do not form a history: a parent is missing, an id stands twice, a file does not parse.

    Args:
        message: What is wrong.
        hint: What to do next.
        line: The line of the file where that is, if it is known.
    """

    code = "broken-history"

    def __init__(self, message: str, *, hint: str = "", line: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


class LockTimeoutError(MigrationError):
    """Another migrator held the lock for longer than this one may wait."""

    code = "lock-timeout"


class LockLostError(MigrationError):
    """The connection that held the migration lock died; the migration stopped before its next statement."""

    code = "lock-lost"


class AdoptionError(MigrationError):
    """An unversioned database cannot be adopted without a loss, or is none."""

    code = "adoption"


class RevisionInvalidError(MigrationError):
    """A revision that was to be created does not do what it should on scratch databases."""

    code = "revision-invalid"


class ScratchUnavailableError(MigrationError):
    """No scratch database can be had for an engine."""

    code = "scratch-unavailable"


class BackupError(MigrationError):
    """A backup cannot be taken, is not what it should be, or cannot be restored."""

    code = "backup"


class RefusedError(MigrationError):
    """The request is understood and possible, and would be wrong."""

    code = "refused"


class UnversionedDatabaseError(RefusedError):
    """The database has the tables of tbcv and no revision recorded."""

    code = "database-unversioned"


class DatabaseAheadError(RefusedError):
    """The database stands at a revision that this release does not have."""

    code = "database-ahead"


class DatabaseBehindError(RefusedError):
    """The database lacks revisions, and the settings forbid to apply them at startup."""

    code = "database-behind"


class HistoryDivergedError(RefusedError):
    """The revisions recorded in the database do not lie on one path of the history."""

    code = "history-diverged"


class ConfirmationRequiredError(RefusedError):
    """A destructive request was made where nobody can be asked."""

    code = "confirmation-required"


class ConnectsElsewhereError(RefusedError):
    """The ``env.py`` of another project connects by itself, and to another database than the one in question."""

    code = "connects-elsewhere"


class ForeignKeyViolationError(RefusedError):
    """A step would have left rows that point at nothing."""

    code = "foreign-key-violation"


class UpgradeFailedError(MigrationError):
    """A run stopped at a revision that failed; what was applied before it stays applied.

    Args:
        message: What happened.
        applied: Revision ids that this run completed, in order.
        failed: The revision whose transaction was rolled back.
        remaining: Revision ids that were not begun.
        backup: The id of the backup that was taken before the run; empty where none was.
        hint: What to do next.
    """

    code = "upgrade-failed"

    def __init__(
        self,
        message: str,
        *,
        applied: Sequence[str],
        failed: str,
        remaining: Sequence[str],
        backup: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.applied = tuple(applied)
        self.failed = failed
        self.remaining = tuple(remaining)
        self.backup = backup

    def amended(self, *, hint: str, message: str = "", backup: str = "") -> Self:
        """Return the same failure with more said about it."""
        return type(self)(
            message or self.message,
            applied=self.applied,
            failed=self.failed,
            remaining=self.remaining,
            backup=backup or self.backup,
            hint=hint,
        )
