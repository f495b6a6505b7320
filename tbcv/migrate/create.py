"""New revisions: written against a scratch database at head, tried on scratch databases, then put in place.

The user's database is not looked at: what it lacks or has besides is no reason for a revision.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from alembic import command
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from tbcv.engine.failures import reason
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.errors import ConfigurationError, MigrationError, RevisionInvalidError, UpgradeFailedError
from tbcv.findings import Finding
from tbcv.migrate.draft import drafted
from tbcv.migrate.drift import find_drift
from tbcv.migrate.executor import alembic_alone, configuration, require_importable, run_alembic
from tbcv.migrate.history import read_history
from tbcv.migrate.ledger import ledger_path
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.lock import file_lock
from tbcv.migrate.measure import at_head, measure
from tbcv.migrate.runner import MigrationRunner

_PATIENCE_SECONDS = 300.0

Mark = Callable[[AlembicEnvironment, ScratchDatabases, Collection[str]], Awaitable[Mapping[str, bool]]]
Grounds = Mapping[Dialect, DatabaseURL]
Rehearse = Callable[[AlembicEnvironment, ScratchDatabases, str, Grounds], Awaitable[tuple[Finding, ...]]]


@dataclass(frozen=True, slots=True)
class Review:
    """What is to be found out about a new revision, by those who can.

    Attributes:
        mark: Tells of revisions whether the release before each may run on its schema, for the ledger.
        rehearse: Tells what a generated revision does to rows, from databases at its parent; an empty one does nothing
            yet.
    """

    mark: Mark
    rehearse: Rehearse


@dataclass(frozen=True, slots=True)
class Creation:
    """A new revision, or the finding that none is needed.

    Attributes:
        revision: Its id; None where the models do not differ from the head.
        path: Its file; None where nothing was written.
        upgrade_sql: The SQL of the way up per engine on which it was tried.
        downgrade_sql: The SQL of the way down.
        tried_on: The engines on which it went up, down and up again.
        findings: What a reviewer should know of what was generated.
    """

    revision: str | None
    path: Path | None = None
    upgrade_sql: tuple[tuple[Dialect, str], ...] = ()
    downgrade_sql: tuple[tuple[Dialect, str], ...] = ()
    tried_on: tuple[Dialect, ...] = ()
    findings: tuple[Finding, ...] = ()


async def create_revision(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    message: str,
    *,
    create_all: Callable[[Connection], None] | None = None,
    autogenerate: bool = True,
    write: bool = True,
    review: Review | None = None,
) -> Creation:
    """Create a revision on top of the single head.

    Args:
        environment: Where it belongs.
        scratch: Where it is generated and tried; PostgreSQL where it can be had, since it sees more.
        message: What it does, in a line.
        create_all: Builds the schema of the models, which the new head is compared with; None where there are none.
        autogenerate: Whether to fill it with the difference between models and head.
        write: Whether to put the file in place.
        review: Finds out what it means for others; None asks nobody.

    Raises:
        ConfigurationError: The message is empty, or the environment has no template for revisions.
        MultipleHeadsError, BrokenHistoryError: The history does not end in one head.
        LockTimeoutError: Another one was being created all that time.
        RevisionInvalidError: It does not run, or the models still differ after it; nothing is written.
    """
    message = _clean(message)
    _require_template(environment)
    async with _one_at_a_time(environment):
        return await _create(environment, scratch, message, create_all, review, autogenerate=autogenerate, write=write)


async def _create(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    message: str,
    create_all: Callable[[Connection], None] | None,
    review: Review | None,
    *,
    autogenerate: bool,
    write: bool,
) -> Creation:
    head = read_history(environment).head
    async with AsyncExitStack() as stack:
        draft = stack.enter_context(drafted(environment))
        # The chain is run once on each engine; all else begins with copies of these.
        grounds = {one: await stack.enter_async_context(at_head(draft, scratch, one)) for one in scratch.dialects}

        async def agree(address: DatabaseURL) -> None:
            _require_agreement(address.dialect, await find_drift(address, draft, scratch, create_all))

        path = await _generate(draft, scratch, grounds, message, autogenerate=autogenerate)
        if path is None:
            for ground in grounds.values():
                await agree(ground)
            return Creation(None)
        revision = read_history(draft).head
        tried = []
        for dialect, ground in grounds.items():
            async with scratch.copy(ground) as address:
                tried.append((dialect, *await _try(draft, address, head)))
                if autogenerate:
                    await agree(address)
        target = environment.version_directories[0] / path.name
        found = await review.rehearse(draft, scratch, revision, grounds) if review and autogenerate else ()
        if write:
            # Another project has a ledger only if it wants one.
            kept = ledger_path(environment).exists()
            measured = await measure(draft, scratch, anew=[revision], below=grounds) if kept else None
            marks = await review.mark(draft, scratch, [revision]) if measured and review else {}
            _put(path, target)
            if measured is not None:
                measured.marked(marks).write(environment)
        return Creation(
            revision,
            target if write else None,
            tuple((dialect, up) for dialect, up, _ in tried),
            tuple((dialect, down) for dialect, _, down in tried),
            scratch.dialects,
            tuple(_placed(one, target) for one in found),
        )


def _placed(finding: Finding, target: Path) -> Finding:
    """Return a finding about a draft as one about the file that it becomes."""
    return replace(finding, location=replace(finding.location, path=target)) if finding.location else finding


async def merge_heads(environment: AlembicEnvironment, revisions: Iterable[str], message: str) -> Path:
    """Write a revision that joins heads.

    Raises:
        MigrationError: There is nothing to join.
    """
    _require_template(environment)
    async with _one_at_a_time(environment):
        return await _merge(environment, revisions, message)


async def _merge(environment: AlembicEnvironment, revisions: Iterable[str], message: str) -> Path:
    names = tuple(revisions) or read_history(environment).heads
    if len(names) < 2:
        raise MigrationError(
            f"there is one head, {', '.join(names) or 'base'}: nothing to merge",
            hint="merging joins two or more",
        )
    async with alembic_alone():
        require_importable(environment)
        config = configuration(environment, parse_database_url("sqlite://"))
        try:
            made = command.merge(config, list(names), message=_clean(message or f"merge {' and '.join(names)}"))
        except CommandError as error:
            raise MigrationError(f"cannot merge {', '.join(names)}: {reason(error)}") from None
    assert isinstance(made, Script)
    return Path(made.path)


def _require_template(environment: AlembicEnvironment) -> None:
    if not (environment.directory / "script.py.mako").is_file():
        raise ConfigurationError(
            f"{environment.directory} has no script.py.mako, out of which revisions are made",
            hint="copy one from `alembic init`",
        )


def _one_at_a_time(environment: AlembicEnvironment) -> AbstractAsyncContextManager[None]:
    """Let whoever creates at the same time, on this machine, wait and follow: five at once make no five heads."""
    directory = hashlib.sha256(os.fsencode(environment.directory.resolve())).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else ""
    # Not beside the revisions, where it would turn up in version control. A lock of another user's cannot be opened.
    path = Path(tempfile.gettempdir(), f"tbcv-create-{user}-{directory}.lock")
    return file_lock(path, _PATIENCE_SECONDS, "`tbcv migrate create`")


def _clean(message: str) -> str:
    """Make a message fit for a docstring and a file name."""
    line = "".join(one for one in " ".join(message.split()) if one.isprintable())
    line = line.replace("\\", "/").replace('"', "'")
    if not line:
        raise ConfigurationError("the message is empty", hint='say what the revision does: create "add column x"')
    return line


async def _generate(
    draft: AlembicEnvironment,
    scratch: ScratchDatabases,
    grounds: Grounds,
    message: str,
    *,
    autogenerate: bool,
) -> Path | None:
    # The last engine is PostgreSQL where there is one.
    async with scratch.copy(grounds[scratch.dialects[-1]]) as address:
        return await run_alembic(address, _revise, draft, address, message, autogenerate)


def _revise(
    connection: Connection,
    draft: AlembicEnvironment,
    address: DatabaseURL,
    message: str,
    autogenerate: bool,
) -> Path | None:
    def drop_empty(_context: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
        operations = directives[0].upgrade_ops
        if autogenerate and operations is not None and operations.is_empty():
            directives.clear()

    config = configuration(draft, address)
    config.attributes["connection"] = connection
    try:
        made = command.revision(config, message, autogenerate=autogenerate, process_revision_directives=drop_empty)
    except CommandError as error:
        raise MigrationError(f"cannot create a revision: {reason(error)}") from error
    # Alembic returns an empty list where the directives were cleared.
    return Path(made.path) if isinstance(made, Script) else None


def _require_agreement(dialect: str, left: Collection[str]) -> None:
    if left:
        raise RevisionInvalidError(
            f"on {dialect} the models differ from the migrations beyond what Alembic generates: {'; '.join(left)}",
            hint="nothing was written; create it with --no-autogenerate and write the operations by hand",
        )


async def _try(draft: AlembicEnvironment, address: DatabaseURL, parent: str) -> tuple[str, str]:
    """Run a draft up, down and up on a database at its parent; returns the SQL of both ways."""
    runner = MigrationRunner(address, draft)
    try:
        up = await runner.script(await runner.plan_upgrade())
        await runner.upgrade()
        down = await runner.script(await runner.plan_downgrade(parent))
        await runner.downgrade(parent)
        await runner.upgrade()
    except UpgradeFailedError as error:
        raise RevisionInvalidError(
            f"the new revision does not run on {address.dialect}: {error.message}", hint="nothing was written"
        ) from error
    return up, down


def _put(draft: Path, target: Path) -> None:
    """Put a finished file in place at once: nobody ever sees half of it."""
    beside = target.with_suffix(".tmp")
    shutil.copyfile(draft, beside)
    beside.replace(target)
