"""The settings of a tbcv process, and the only reader of its environment.

`docs/configuration.md` is generated from the fields below, so a knob cannot exist undocumented.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tbcv.errors import ConfigurationError


class StartupMigration(StrEnum):
    """What `DatabaseManager.initialize_database` does about pending revisions."""

    APPLY = "apply"
    CHECK = "check"
    OFF = "off"


class LogFormat(StrEnum):
    """What a line of the log is."""

    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """Everything that can be configured, frozen once read."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="TBCV_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///./data/tbcv.db"),
        validation_alias="DATABASE_URL",
        description="The database. SQLite and PostgreSQL; see the forms below.",
    )
    migration_database_url: SecretStr | None = Field(
        default=None,
        description="A direct route to the same database for migrations, where `DATABASE_URL` goes through a "
        "connection pooler or logs in with a role that may not change the schema.",
    )
    migrate_on_startup: StartupMigration = Field(
        default=StartupMigration.APPLY,
        description="`apply` runs pending revisions at startup, `check` refuses to start while the schema is "
        "not at head, `off` starts whatever the schema is (`/health/ready` still tells).",
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT,
        description="What `tbcv migrate` and the API write of what they do, on stderr: `text` for eyes, or `json`, an "
        "object a line.",
    )
    lock_timeout_seconds: float = Field(
        default=300.0,
        gt=0,
        description="How long to wait for another migrator of the same database before giving up.",
    )
    ddl_lock_timeout_seconds: float = Field(
        default=1.0,
        gt=0,
        description="PostgreSQL: how long a statement of a migration may wait for a lock, and so how long other "
        "traffic may queue behind it, before its revision is rolled back and tried again.",
    )
    ddl_lock_attempts: int = Field(
        default=20, ge=1, description="PostgreSQL: how often a revision that waited too long for a lock is tried."
    )
    pool_size: int = Field(default=5, ge=1, description="PostgreSQL connections kept open by a process.")
    pool_max_overflow: int = Field(
        default=10, ge=0, description="PostgreSQL connections opened beyond `TBCV_POOL_SIZE` under load."
    )
    pool_timeout_seconds: float = Field(
        default=30.0, gt=0, description="How long a request waits for a free connection of the pool."
    )
    sqlite_busy_timeout_seconds: float = Field(
        default=5.0, ge=0, description="How long SQLite waits for another writer of the file."
    )
    backup: bool = Field(
        default=True,
        description="Whether a migration takes a backup first: of the whole file on SQLite, of what the revisions drop "
        "on PostgreSQL.",
    )
    backup_directory: Path | None = Field(
        default=None,
        description="Where backups stand. By default beside a SQLite file, in `NAME-backups`, and for PostgreSQL in "
        "`./backups`.",
    )
    backup_keep: int = Field(
        default=5,
        ge=0,
        description="How many backups of a database are kept of those that runs took, and as many of those that were "
        "asked for; older ones are removed. 0 keeps all.",
    )
    scratch_database_url: SecretStr | None = Field(
        default=None,
        description="A PostgreSQL server on which scratch databases may be created and dropped, reached directly and "
        "not through a transaction pooler. Without it the embedded server of the extra `tbcv[gate]` is used.",
    )
    cache_directory: Path = Field(
        default=Path("~/.cache/tbcv"),
        description="Where `tbcv migrate check` keeps what it need not find out again, such as databases at released "
        "revisions. It may be removed at any time.",
    )
    step_summary: Path | None = Field(
        default=None,
        validation_alias="GITHUB_STEP_SUMMARY",
        description="The file to which `tbcv migrate check --format github` adds its summary; GitHub Actions sets it.",
    )

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """Read the environment.

        Args:
            **overrides: Fields that win over the environment, by their Python names; a None is no override.

        Raises:
            ConfigurationError: A variable holds something that its field cannot be.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)  # type: ignore[arg-type]  # checked by pydantic at run time
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            variable = environment_name(str(first["loc"][0]))
            raise ConfigurationError(
                f"{variable} is not valid: {first['msg']}", hint="docs/configuration.md lists every setting"
            ) from None


def environment_name(field: str) -> str:
    """Return the environment variable of a field, given the field's name or its alias."""
    info = Settings.model_fields.get(field)
    if info is None:
        return field if field.isupper() else f"TBCV_{field.upper()}"
    return str(info.validation_alias or f"TBCV_{field.upper()}")
