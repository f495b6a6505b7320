"""`MigrationRunner`: everything that can be asked of the migrations of one database, asynchronously."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import anyio
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tbcv.engine.engines import connected, is_absent, migration_engine, reading_engine
from tbcv.engine.failures import database_errors, reason
from tbcv.engine.url import DatabaseURL
from tbcv.errors import (
    AdoptionError,
    MigrationError,
    RefusedError,
    TbcvError,
    UpgradeFailedError,
)
from tbcv.migrate.adoption import Adoption, adopt, recorded_match
from tbcv.migrate.attempt import Attempt
from tbcv.migrate.backup.model import RESTORE, Backup
from tbcv.migrate.executor import StepClock, alembic_alone, render, require_importable
from tbcv.migrate.fresh import create_at_head
from tbcv.migrate.guard import guard
from tbcv.migrate.history import History, read_history
from tbcv.migrate.journal import Entry, Journal, has_table, make_table, read_entries
from tbcv.migrate.ledger import contradictions, proven_head
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.lock import HeldLock, migration_lock
from tbcv.migrate.managed import Managed
from tbcv.migrate.marks import MarkKeeper, marks_of, remove_marks
from tbcv.migrate.patience import DdlPolicy, pause
from tbcv.migrate.plan import AppliedStep, Direction, Outcome, Plan, plan_downgrade, plan_upgrade
from tbcv.migrate.preview import (
    copy_address,
    copy_schema,
    copy_sqlite,
    finish_postgresql_script,
    recorded,
    script_text,
    stamp_script,
)
from tbcv.migrate.rebuild import may_lose
from tbcv.migrate.recorder import Recorder, Trace
from tbcv.migrate.snapshot import Snapshot, take_snapshot
from tbcv.migrate.status import (
    ID_LENGTH,
    State,
    Status,
    empty_status,
    read_id_length,
    read_revisions,
    read_status,
    require_known_place,
    require_room,
)

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class MigrationRunner:
    """The migrations of one database.

    Args:
        address: The database.
        environment: The revisions and their ``env.py``.
        managed: The tables that belong to the application; None takes every table for one.
        lock_timeout_seconds: How long a run waits for another one.
        policy: How patient a migration is with other sessions on PostgreSQL.
        create_all: Builds the schema of the models on a connection; None where there are no models.
        engine: The engine to use for everything, for a database in memory, which is gone with its engine.
        announce: Called with each step as it is applied.
        journal: Where runs are written down in the database, and its revisions marked (`tbcv.migrate.marks`), if it
            has that table; None does neither.
        begin_journal: Whether a run makes that table where the database lacks it.
        protection: Takes a backup before a plan is carried out, if the plan needs one.
        restore: The command that brings a backup back, without its id.
    """

    def __init__(
        self,
        address: DatabaseURL,
        environment: AlembicEnvironment,
        *,
        managed: AbstractSet[str] | None = None,
        lock_timeout_seconds: float = 300.0,
        policy: DdlPolicy | None = None,
        create_all: Callable[[Connection], None] | None = None,
        engine: AsyncEngine | None = None,
        announce: Callable[[AppliedStep], None] | None = None,
        journal: Journal | None = None,
        begin_journal: bool = False,
        protection: Callable[[Plan], Awaitable[Backup | None]] | None = None,
        restore: str = RESTORE,
    ) -> None:
        self.address = address
        self.environment = environment
        self._managed = managed
        self._lock_timeout_seconds = lock_timeout_seconds
        self._policy = policy or DdlPolicy()
        self._create_all = create_all
        self._engine = engine
        self._announce = announce
        self._journal = journal
        self._begin_journal = begin_journal
        self._recorder = Recorder(journal, self._has_journal, partial(self._migrating, HeldLock()), self._current)
        self._read: tuple[object, History] | None = None
        self._protection = protection
        self._restore = restore

    def history(self) -> History:
        """Read the revisions on disk.

        Raises:
            BrokenHistoryError: They form no history.
        """
        # Parsing takes a tenth of a second, and one run asks several times. A changed file is read again.
        files = tuple(
            (path, found.st_mtime_ns, found.st_size)
            for directory in self.environment.version_directories
            for path in sorted(directory.glob("*.py"))
            for found in (path.stat(),)
        )
        if self._read is None or self._read[0] != files:
            self._read = files, read_history(self.environment)
        return self._read[1]

    async def _history(self) -> History:
        """Read the revisions, and import the driver, without holding the event loop up."""
        await anyio.to_thread.run_sync(lambda: self.address.url.get_dialect().import_dbapi())
        return await anyio.to_thread.run_sync(self.history)

    async def status(self) -> Status:
        """Look where the database stands; creates nothing, changes nothing and takes no lock.

        Raises:
            DatabaseUnavailableError: It cannot be read.
            BrokenHistoryError: The revisions on disk form no history.
        """
        history = await self._history()
        with database_errors(self.address):
            if is_absent(self.address):
                return empty_status(history)
            return await self._look(read_status, history, self._managed, journal=self._journal)

    async def snapshot(self) -> Snapshot:
        """Return the schema of the whole database, what is not the application's included.

        Raises:
            DatabaseUnavailableError: It cannot be read.
        """
        with database_errors(self.address):
            if is_absent(self.address):
                return Snapshot.of(self.address.dialect, ())
            return await self._look(take_snapshot)

    def managed(self) -> Managed:
        """Return what of a database is the application's."""
        return Managed(self.history(), self._managed or frozenset())

    async def plan_upgrade(self, target: str = "head") -> Plan:
        """Plan the way up to a target.

        Raises:
            RefusedError: The database's place is unknown, or the target lies below it.
            RevisionNotFoundError, MultipleHeadsError: The target names no revision, or several.
        """
        return self._plan(Direction.UPGRADE, await self.status(), target)

    async def plan_downgrade(self, target: str) -> Plan:
        """Plan the way down to a target; raises as `plan_upgrade`."""
        return self._plan(Direction.DOWNGRADE, await self.status(), target)

    async def upgrade(self, target: str = "head") -> Outcome:
        """Apply what is pending up to a target; does nothing, and takes no lock, when nothing is.

        Raises:
            UpgradeFailedError: A revision failed; the ones before it stay applied.
            LockTimeoutError: Another run did not end in time.
            DatabaseUnavailableError: The database cannot be reached or written.
            RefusedError, RevisionNotFoundError, MultipleHeadsError: As `plan_upgrade`.
        """
        return await self._run(Direction.UPGRADE, target)

    async def build(self) -> Outcome:
        """Bring a database to head, an empty one in a single transaction from the models where that is proven.

        The models are used when the ledger knows every revision, the chain leaves no rows in an empty database,
        and what they make has the fingerprint of head; otherwise the chain runs. Raises as `upgrade`.
        """
        proven = proven_head(self.environment, self.history(), self.address.dialect)
        if self._create_all is None or proven is None or (await self.status()).state is not State.EMPTY:
            return await self.upgrade()
        async with self._recorded(Direction.CREATE) as trace:
            with database_errors(self.address):
                async with migration_lock(self.address, self._lock_timeout_seconds) as held:
                    trace.outcome = await self._create(self._create_all, proven, held)
        return trace.outcome or await self.upgrade()

    async def _create(
        self, create_all: Callable[[Connection], None], fingerprint: str, held: HeldLock
    ) -> Outcome | None:
        if (await self.status()).state is not State.EMPTY:
            return None
        async with self._migrating(held) as connection:
            head, keeper = self.history().head, self._keeper()
            if not await connection.run_sync(create_at_head, create_all, head, fingerprint, keeper):
                return None
            return Outcome(Direction.CREATE, (), await connection.run_sync(read_revisions))

    async def downgrade(self, target: str) -> Outcome:
        """Revert revisions down to a target; raises as `upgrade`."""
        return await self._run(Direction.DOWNGRADE, target)

    async def stamp(self, target: str) -> Outcome:
        """Record a revision without running anything.

        Raises:
            RevisionNotFoundError: There is no such revision.
        """
        resolved = self.history().resolve(target)
        async with self._recorded(Direction.STAMP) as trace:
            trace.before = (await self.status()).current
            await self._ensure_journal()
            await self._require_room(resolved)
            await self._require_importable()
            plan = Plan(Direction.STAMP, trace.before, target, ())
            with database_errors(self.address):
                async with migration_lock(self.address, self._lock_timeout_seconds) as held:
                    trace.outcome = await self._attempt(plan, held, trace.clock)
            return trace.outcome

    async def adopt(self, adoption: Adoption) -> Outcome:
        """Adopt an unversioned database as planned.

        Raises:
            AdoptionError: It records a revision, or the plan would lose something; nothing was changed.
        """
        async with self._recorded(Direction.ADOPT) as trace:
            await self._ensure_journal()
            with database_errors(self.address):
                async with migration_lock(self.address, self._lock_timeout_seconds) as held:
                    status = await self.status()
                    if status.state is not State.UNVERSIONED:
                        raise AdoptionError(f"the database is {status.description}: there is nothing to adopt")
                    plan = Plan(Direction.ADOPT, (), adoption.revision, ())
                    if adoption.statements:
                        trace.backup = await self._backed_up(plan)
                    async with self._migrating(held) as connection:
                        if self._journal is not None:
                            await connection.run_sync(_forget_marks, self._journal)
                        await connection.run_sync(adopt, adoption, self.managed())
                        after = await connection.run_sync(read_revisions)
            trace.outcome = Outcome(Direction.ADOPT, (), after, backup=trace.backup)
            return trace.outcome

    async def recorded_match(self) -> str | None:
        """Return the revision that an unversioned database equals, by the ledger alone; None if in doubt."""
        found = await self.snapshot()
        return recorded_match(self.environment, self.history(), found.only(self.managed()))

    async def script(self, plan: Plan) -> str:
        """Return the SQL of a plan for this database; see `tbcv.migrate.preview`.

        Raises:
            MigrationError: A revision needs results that offline mode has not.
        """
        if plan.direction is Direction.STAMP:
            return stamp_script(self.history().resolve(plan.target))
        if not plan.steps:
            return f"-- nothing to do: the database is at {', '.join(plan.current) or 'base'}\n"
        await self._require_importable()
        if self.address.dialect == "postgresql":
            return await self._offline(plan)
        with database_errors(self.address), copy_address() as (address, path):
            if self.address.sqlite_path is not None:
                await copy_sqlite(self.address.sqlite_path, path)
            copy = MigrationRunner(address, self.environment, managed=self._managed)
            engine = migration_engine(address)
            with recorded(engine) as statements:
                async with self._connection(engine) as connection:
                    await copy._carry_out(connection, plan, StepClock())
            if not statements:
                raise MigrationError(
                    "env.py connects by itself, so that what it would execute cannot be seen",
                    hint="let it take config.attributes['connection']",
                )
            return script_text(plan, statements)

    async def plan_stamp(self, target: str) -> Plan:
        """Plan to record a revision; raises as `stamp`."""
        self.history().resolve(target)
        return Plan(Direction.STAMP, (await self.status()).current, target, ())

    def _plan(self, direction: Direction, status: Status, target: str) -> Plan:
        history = self.history()
        self._require_place(direction, status, target)
        if status.tolerable:
            return Plan(direction, status.current, target, ())
        planned = plan_upgrade if direction is Direction.UPGRADE else plan_downgrade
        return planned(history, status.current, target)

    def _require_place(self, direction: Direction, status: Status, target: str) -> None:
        # To an older release, a newer schema on which it may run is nothing to upgrade, and nothing to refuse.
        if not (status.tolerable and direction is Direction.UPGRADE and target in ("head", "heads")):
            require_known_place(status)

    async def _run(self, direction: Direction, target: str) -> Outcome:
        async with self._recorded(direction) as trace:
            status = await self.status()
            trace.before = status.current
            self._require_place(direction, status, target)
            trace.known = True
            plan = self._plan(direction, status, target)
            await self._ensure_journal()
            if not plan.steps:
                return Outcome(direction, plan.current, plan.current)
            await self._require_room(plan.ids)
            await self._require_importable()
            if direction is Direction.UPGRADE:
                self._tell_of_ledger()
            with database_errors(self.address):
                async with migration_lock(self.address, self._lock_timeout_seconds) as held:
                    # A relative target means what it meant before somebody else held the lock.
                    target = target if _absolute(target) else plan.destination
                    plan = self._plan(direction, await self.status(), target)
                    await self._require_carried(plan)
                    trace.backup = await self._backed_up(plan)
                    try:
                        outcome = await self._try(direction, target, held, trace.clock)
                    except UpgradeFailedError as error:
                        if not trace.backup:
                            raise
                        back = f"the database as it was before the run: `{self._restore} {trace.backup}`"
                        raise error.amended(backup=trace.backup, hint=f"{error.hint}; {back}") from error.__cause__
            if not outcome.applied:
                return outcome
            trace.outcome = replace(outcome, backup=trace.backup)
            return trace.outcome

    def _tell_of_ledger(self) -> None:
        """Warn where the ledger contradicts the revision files, which count."""
        # What is written down nowhere is tried on a scratch database, once for each revision perhaps.
        if self._journal is None:
            return
        if wrong := contradictions(self.environment, self.history()):
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            _log.warning("the ledger is not up to date, and the revision files count: %s%s", wrong[0], more)

    async def _require_room(self, ids: Iterable[str]) -> None:
        if all(len(one) <= ID_LENGTH for one in ids):
            return
        length = ID_LENGTH if is_absent(self.address) else await self._look(read_id_length)
        require_room(self.history(), ids, length)

    async def _require_importable(self) -> None:
        async with alembic_alone():
            # In a thread: what a revision does when it is imported may take long.
            await anyio.to_thread.run_sync(require_importable, self.environment)

    async def _require_carried(self, plan: Plan) -> None:
        """Refuse a plan before its first step where a later one would be, for what its rebuild on SQLite would lose.

        Raises:
            RefusedError: So a copy of the schema says. What else fails there may need rows, and says nothing.
        """
        path = self.address.sqlite_path
        if path is None or not plan.current or len(plan.steps) < 2:
            return
        # In a thread: taking many definitions apart would hold the event loop up.
        if not await anyio.to_thread.run_sync(may_lose, path):
            return
        with copy_address() as (address, copy):
            await copy_schema(path, copy)
            trial = MigrationRunner(address, self.environment, managed=self._managed)
            try:
                await trial._attempt(plan, HeldLock(), StepClock())
            except UpgradeFailedError as error:
                if isinstance(error.__cause__, RefusedError):
                    cause = error.__cause__
                    raise RefusedError(
                        f"revision {error.failed} would be refused: {cause.message}",
                        hint=f"{cause.hint}; nothing was changed",
                    ) from None
            except TbcvError:
                return

    async def _backed_up(self, plan: Plan) -> str:
        """Take the backup that a plan needs; returns its id, or nothing where it needs none."""
        backup = None if self._protection is None else await self._protection(plan)
        if backup is None:
            return ""
        _log.info("backup %s was taken", backup.id, extra={"event": "backup", "backup": backup.id})
        return backup.id

    async def _try(self, direction: Direction, target: str, held: HeldLock, clock: StepClock) -> Outcome:
        """Attempt until it succeeds, or fails for a reason that does not pass; plan anew each time."""
        before = (await self.status()).current
        for number in range(1, self._policy.attempts + 1):
            plan = self._plan(direction, await self.status(), target)
            if not plan.steps:
                return Outcome(direction, before, plan.current, tuple(clock.steps))
            try:
                return replace(await self._attempt(plan, held, clock), before=before)
            except UpgradeFailedError as error:
                await pause(error, held, self._policy, number)
        raise AssertionError("the last attempt raises")

    def _recorded(self, direction: Direction) -> AbstractAsyncContextManager[Trace]:
        return self._recorder.run(direction, StepClock(partial(self._tell, direction)))

    def _tell(self, direction: Direction, step: AppliedStep) -> None:
        """Say that a step is done; of a scratch database, only whoever asked for it."""
        if self._journal is not None:
            fields = {"event": "step", "direction": direction, "revision": step.id, "seconds": round(step.seconds, 3)}
            _log.info("revision %s: %s (%.2f s)", step.id, step.message, step.seconds, extra=fields)
        if self._announce is not None:
            self._announce(step)

    async def entries(self) -> tuple[Entry, ...]:
        """Read the journal of the database, newest first.

        Raises:
            DatabaseUnavailableError: It cannot be read.
        """
        with database_errors(self.address):
            if self._journal is None or is_absent(self.address):
                return ()
            return await self._look(read_entries, self._journal)

    async def _has_journal(self) -> bool:
        """Tell whether runs are written down; looks where somebody else's database is not to be written to."""
        if self._journal is None or is_absent(self.address):
            return False
        return not self._journal.dedicated or await self._look(has_table, self._journal)

    async def _ensure_journal(self) -> None:
        """Begin the journal, if that was asked for and the database has none.

        Raises:
            RefusedError: A table of its name is something else.
        """
        if self._journal is None or not self._begin_journal:
            return
        with database_errors(self.address):
            if await self._has_journal():
                return
            lock = migration_lock(self.address, self._lock_timeout_seconds)
            async with lock as held, self._migrating(held) as connection:
                await connection.run_sync(make_table, self._journal)

    async def _attempt(self, plan: Plan, held: HeldLock, clock: StepClock) -> Outcome:
        async with self._migrating(held) as connection:
            return await self._carry_out(connection, plan, clock)

    async def _carry_out(self, connection: AsyncConnection, plan: Plan, clock: StepClock) -> Outcome:
        cautious = self._journal is not None
        attempt = Attempt(self.address, self.environment, self.history(), plan, self._current, self._keeper(), cautious)
        return await attempt.run(connection, clock)

    def _keeper(self) -> MarkKeeper | None:
        if self._journal is None:
            return None
        return MarkKeeper(self._journal, marks_of(self.environment, self.history()))

    async def _current(self) -> tuple[str, ...]:
        return (await self.status()).current

    async def _offline(self, plan: Plan) -> str:
        async with alembic_alone():
            try:
                # In a thread: offline mode runs env.py, which may do anything but await.
                sql = await anyio.to_thread.run_sync(render, self.environment, self.address, plan)
            except TbcvError:
                raise
            except Exception as error:  # a revision and env.py may raise anything
                raise MigrationError(
                    f"a revision cannot be written as SQL without a database: {type(error).__name__}: {reason(error)}",
                    hint="it reads results, or env.py has no offline mode; run it with `tbcv migrate upgrade`",
                ) from error
        return finish_postgresql_script(sql)

    async def _look(self, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **more: P.kwargs) -> T:
        """Call a function with a connection that cannot write."""
        async with self._connection(self._engine or reading_engine(self.address)) as connection:
            return await connection.run_sync(work, *arguments, **more)

    @asynccontextmanager
    async def _migrating(self, held: HeldLock) -> AsyncIterator[AsyncConnection]:
        """Connect for a migration: a connection in no transaction, with foreign keys off on SQLite."""
        if self._engine is None:
            engine = migration_engine(self.address)
            if self.address.dialect == "postgresql":
                guard(engine, held, self._policy)
            async with self._connection(engine) as connection:
                yield connection
            return
        async with connected(self._engine) as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.execute("PRAGMA foreign_keys=OFF")
            try:
                yield connection
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.rollback()
                    await raw.execute("PRAGMA foreign_keys=ON")

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with connected(engine) as connection:
                yield connection
        finally:
            if engine is not self._engine:
                with anyio.CancelScope(shield=True):
                    await engine.dispose()


def _forget_marks(connection: Connection, journal: Journal) -> None:
    remove_marks(connection, journal)
    connection.commit()


def _absolute(target: str) -> bool:
    return not any(sign in target for sign in "+-")
