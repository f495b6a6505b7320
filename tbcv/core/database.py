"""The seven tables of TBCV as typed models, and the manager of the database that holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import anyio
from sqlalchemy import (
    CheckConstraint,
    Enum,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from tbcv.core.types import Document, UtcDateTime
from tbcv.engine.engines import application_engine
from tbcv.engine.sqlite import BEGIN_OPTION
from tbcv.engine.url import parse_database_url
from tbcv.errors import DatabaseBehindError
from tbcv.migrate.backup.model import RESTORE
from tbcv.migrate.journal import OWN_JOURNAL
from tbcv.migrate.location import own_environment
from tbcv.migrate.patience import DdlPolicy
from tbcv.migrate.plan import AppliedStep, Direction, Outcome
from tbcv.migrate.protection import Protection
from tbcv.migrate.runner import MigrationRunner
from tbcv.migrate.status import State, Status, require_known_place
from tbcv.settings import Settings, StartupMigration

_NOW = text("CURRENT_TIMESTAMP")


RENDERED_TYPES: Mapping[type[TypeEngine[Any]], str] = {
    UtcDateTime: "sa.DateTime(timezone=True)",
    Document: 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql").with_variant(sa.Text(), "sqlite")',
}
"""How autogenerate writes the types of `tbcv.core.types`: a revision must not import what may change after it."""


class WorkflowState(StrEnum):
    """Where a workflow stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ValidationStatus(StrEnum):
    """The verdict on one version of a file."""

    PASS = "pass"  # noqa: S105  # a verdict, not a password
    FAIL = "fail"
    WARNING = "warning"
    SKIPPED = "skipped"
    APPROVED = "approved"
    REJECTED = "rejected"
    ENHANCED = "enhanced"


class RecommendationStatus(StrEnum):
    """How far a recommendation has come."""

    PROPOSED = "proposed"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    APPLIED = "applied"


def _new_id() -> str:
    return str(uuid4())


def _now() -> datetime:
    return datetime.now(UTC)


def _enumeration(values: type[StrEnum], name: str) -> Enum:
    """Store the lower-case values, and let the database refuse any other.

    Args:
        values: The enumeration.
        name: What the CHECK constraint is called after its table.
    """
    return Enum(
        values,
        name=name,
        native_enum=False,
        create_constraint=True,
        validate_strings=True,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


class Base(DeclarativeBase):
    """The declarative base; every constraint gets a name by which a revision can address it on both engines."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Workflow(Base):
    """One run of the service over a file or a directory."""

    __tablename__ = "workflows"
    __table_args__ = (
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_percent_range"),
        CheckConstraint("total_steps >= 0", name="total_steps_range"),
        CheckConstraint("current_step >= 0", name="current_step_range"),
        Index("idx_workflows_state_created", "state", "created_at"),
        Index("idx_workflows_type_state", "type", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    type: Mapped[str] = mapped_column(String(50))
    state: Mapped[WorkflowState] = mapped_column(
        _enumeration(WorkflowState, "state"), default=WorkflowState.PENDING, server_default=text("'pending'")
    )
    input_params: Mapped[Any | None] = mapped_column(Document)
    metadata_: Mapped[Any | None] = mapped_column("metadata", Document)
    total_steps: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    current_step: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    progress_percent: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, onupdate=_now, server_default=_NOW)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Checkpoint(Base):
    """A point from which a workflow can be resumed; it goes with its workflow."""

    __tablename__ = "checkpoints"
    __table_args__ = (
        CheckConstraint("step_number >= 0", name="step_number_range"),
        Index("idx_checkpoints_workflow_step", "workflow_id", "step_number"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    workflow_id: Mapped[str] = mapped_column(String(36), ForeignKey("workflows.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    step_number: Mapped[int]
    state_data: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW)
    validation_hash: Mapped[str | None] = mapped_column(String(32))
    can_resume_from: Mapped[bool] = mapped_column(default=True, server_default=text("true"))


class ValidationResult(Base):
    """What the validation of one version of a file found; it outlives its workflow and the version before it."""

    __tablename__ = "validation_results"
    __table_args__ = (
        CheckConstraint("version_number >= 1", name="version_number_range"),
        UniqueConstraint("file_path", "version_number"),
        Index("idx_validation_file_severity", "file_path", "severity"),
        Index("idx_validation_file_status", "file_path", "status"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    workflow_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("workflows.id", ondelete="SET NULL"), index=True
    )
    file_path: Mapped[str | None] = mapped_column(String(1024))
    rules_applied: Mapped[Any | None] = mapped_column(Document)
    validation_results: Mapped[Any | None] = mapped_column(Document)
    validation_types: Mapped[Any | None] = mapped_column(Document)
    parent_validation_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("validation_results.id", ondelete="SET NULL"), index=True
    )
    comparison_data: Mapped[Any | None] = mapped_column(Document)
    notes: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str | None] = mapped_column(String(20), index=True)
    status: Mapped[ValidationStatus] = mapped_column(
        _enumeration(ValidationStatus, "status"),
        default=ValidationStatus.SKIPPED,
        server_default=text("'skipped'"),
        index=True,
    )
    content_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    ast_hash: Mapped[str | None] = mapped_column(String(64))
    run_id: Mapped[str | None] = mapped_column(String(64), index=True)
    file_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    version_number: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW, index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, onupdate=_now, server_default=_NOW)


class Recommendation(Base):
    """A change proposed to a file; it goes with the validation that gave rise to it."""

    __tablename__ = "recommendations"
    __table_args__ = (
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_range"),
        Index("idx_recommendations_validation", "validation_id", "status"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    validation_id: Mapped[str] = mapped_column(String(36), ForeignKey("validation_results.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(50), index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    scope: Mapped[str | None] = mapped_column(String(200))
    instruction: Mapped[str | None] = mapped_column(Text)
    rationale: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str | None] = mapped_column(String(20))
    original_content: Mapped[str | None] = mapped_column(Text)
    proposed_content: Mapped[str | None] = mapped_column(Text)
    diff: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None] = mapped_column(Float)
    priority: Mapped[str | None] = mapped_column(String(20))
    status: Mapped[RecommendationStatus] = mapped_column(
        _enumeration(RecommendationStatus, "status"),
        default=RecommendationStatus.PROPOSED,
        server_default=text("'proposed'"),
        index=True,
    )
    reviewed_by: Mapped[str | None] = mapped_column(String(100))
    reviewed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    review_notes: Mapped[str | None] = mapped_column(Text)
    applied_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    applied_by: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW, index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, onupdate=_now, server_default=_NOW)
    metadata_: Mapped[Any | None] = mapped_column("metadata", Document)


class AuditLog(Base):
    """Who did what; it outlives what it audits."""

    __tablename__ = "audit_logs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    recommendation_id: Mapped[str | None] = mapped_column(
        String(36), ForeignKey("recommendations.id", ondelete="SET NULL"), index=True
    )
    action: Mapped[str] = mapped_column(String(50), index=True)
    actor: Mapped[str | None] = mapped_column(String(100))
    actor_type: Mapped[str | None] = mapped_column(String(20))
    before_state: Mapped[Any | None] = mapped_column(Document)
    after_state: Mapped[Any | None] = mapped_column(Document)
    changes: Mapped[Any | None] = mapped_column(Document)
    notes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW, index=True)
    metadata_: Mapped[Any | None] = mapped_column("metadata", Document)


class CacheEntry(Base):
    """The kept result of one call of an agent's method."""

    __tablename__ = "cache_entries"
    __table_args__ = (
        CheckConstraint("access_count >= 0", name="access_count_range"),
        CheckConstraint("size_bytes >= 0", name="size_bytes_range"),
        Index("idx_cache_agent_method", "agent_id", "method_name"),
    )

    cache_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(100))
    method_name: Mapped[str] = mapped_column(String(100), index=True)
    input_hash: Mapped[str] = mapped_column(String(64))
    result_data: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    access_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    last_accessed: Mapped[datetime | None] = mapped_column(UtcDateTime)
    size_bytes: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class Metric(Base):
    """One measured value."""

    __tablename__ = "metrics"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=_new_id)
    name: Mapped[str] = mapped_column(String(100), server_default=text("'unnamed'"), index=True)
    value: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=_now, server_default=_NOW, index=True)
    metadata_: Mapped[Any | None] = mapped_column("metadata", Document)


@dataclass(frozen=True, slots=True)
class Initialization:
    """What `DatabaseManager.initialize_database` found and did.

    Attributes:
        mode: What the settings asked for.
        created: Whether the database was empty before.
        outcome: What was applied; without steps where nothing was pending or nothing was to be applied.
        status: Where the database stands now.
    """

    mode: StartupMigration
    created: bool
    outcome: Outcome
    status: Status


class DatabaseManager:
    """Where engine, sessions and migrations of one database meet; an async context manager.

    Args:
        settings: What to connect to and how; read from the environment where it is None.
        announce: Called with each migration step as it is applied.
        restore: The command that brings a backup back, without its id, as errors name it.

    Raises:
        ConfigurationError, UnsupportedDatabaseError: The settings name no database that tbcv can use.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        announce: Callable[[AppliedStep], None] | None = None,
        restore: str = RESTORE,
    ) -> None:
        self.settings = settings or Settings.from_env()
        self.address = parse_database_url(self.settings.database_url.get_secret_value())
        direct = self.settings.migration_database_url
        self.engine = application_engine(self.address, self.settings)
        route = parse_database_url(direct.get_secret_value()) if direct else self.address
        protection = Protection(route, own_environment(), self.settings) if self.settings.backup else None
        self.migrations = MigrationRunner(
            route,
            own_environment(),
            managed=frozenset(Base.metadata.tables),
            create_all=Base.metadata.create_all,
            lock_timeout_seconds=self.settings.lock_timeout_seconds,
            policy=DdlPolicy(self.settings.ddl_lock_timeout_seconds, self.settings.ddl_lock_attempts),
            engine=self.engine if self.address.is_memory else None,
            announce=announce,
            journal=OWN_JOURNAL,
            protection=protection,
            restore=restore,
        )
        self._reading = async_sessionmaker(self.engine, expire_on_commit=False)
        # A transaction that will write takes SQLite's write lock when it begins: one that reads first could
        # not wait for it later.
        self._writing = async_sessionmaker(
            self.engine.execution_options(**{BEGIN_OPTION: "IMMEDIATE"}), expire_on_commit=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, also when cancelled."""
        with anyio.CancelScope(shield=True):
            await self.engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Give a session in one transaction that may write: committed at the end, rolled back on an error."""
        async with self._writing.begin() as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session for reading; what it changes is rolled back."""
        async with self._reading() as session:
            yield session

    async def initialize_database(self) -> Initialization:
        """Bring the schema to head, or check that it is there, as the settings say; idempotent.

        At head this costs one query and no lock. A database that is ahead by additive revisions alone is left as
        it is: this release may run on it.

        Raises:
            DatabaseBehindError: Revisions are pending and the settings say to check only.
            UnversionedDatabaseError, DatabaseAheadError, HistoryDivergedError: Nothing can be applied safely.
            UpgradeFailedError, LockTimeoutError, DatabaseUnavailableError: As `MigrationRunner.upgrade`.
        """
        mode = self.settings.migrate_on_startup
        status = await self.migrations.status()
        nothing = Outcome(Direction.UPGRADE, status.current, status.current)
        if mode is StartupMigration.OFF or status.state is State.AT_HEAD or status.tolerable:
            return Initialization(mode, created=False, outcome=nothing, status=status)
        if mode is StartupMigration.APPLY and status.state is State.UNVERSIONED:
            status = await self._adopt(status)
        require_known_place(status)
        if mode is StartupMigration.CHECK:
            raise DatabaseBehindError(
                f"the database is {status.description}: {', '.join(status.pending)} not applied",
                hint="run `tbcv migrate upgrade`, or set TBCV_MIGRATE_ON_STARTUP=apply",
            )
        outcome = await self.migrations.build()
        return Initialization(
            mode, created=status.state is State.EMPTY, outcome=outcome, status=await self.migrations.status()
        )

    async def _adopt(self, status: Status) -> Status:
        """Record the revision that an unversioned database is proven to equal, if there is exactly one."""
        revision = await self.migrations.recorded_match()
        if revision is None:
            return status
        await self.migrations.stamp(revision)
        return await self.migrations.status()
