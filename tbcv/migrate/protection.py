"""A backup before a plan that needs one: always on SQLite, and on PostgreSQL of what the plan drops.

Where that cannot be found out, it is of the whole database on PostgreSQL too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConnectsElsewhereError
from tbcv.migrate.backup import Backup, default_directory, take_backup
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.losses import Losses, find_losses
from tbcv.migrate.plan import Direction, Plan
from tbcv.migrate.runner import MigrationRunner
from tbcv.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Protection:
    """Takes the backup that a plan needs.

    Attributes:
        address: The database.
        environment: The revisions; what they drop is found out on a scratch database.
        settings: Where backups stand and how many are kept.
    """

    address: DatabaseURL
    environment: AlembicEnvironment
    settings: Settings

    async def __call__(self, plan: Plan) -> Backup | None:
        """Take a backup before a plan is carried out; None where there is nothing that could be lost.

        Raises:
            BackupError: It cannot be taken or does not equal the database; the plan must not be carried out.
        """
        adopts = plan.direction is Direction.ADOPT
        if adopts and self.address.dialect == "postgresql":
            # It runs in one transaction and drops nothing.
            return None
        if not adopts and not (plan.steps and plan.current):
            return None
        async with ScratchDatabases(self.settings) as scratch:
            losses = None
            if self.address.dialect == "postgresql":
                known = await self._losses(plan, scratch)
                if known.unknown:
                    _log.info("the backup is of the whole database: %s", known.unknown)
                elif not known.found:
                    return None
                else:
                    losses = known.found
            return await take_backup(
                self.address,
                backup_directory(self.address, self.settings),
                reason=f"before {plan.direction} to {plan.target}",
                scratch=scratch,
                losses=losses,
                keep=self.settings.backup_keep,
            )

    async def _losses(self, plan: Plan, scratch: ScratchDatabases) -> Losses:
        try:
            return await find_losses(MigrationRunner(self.address, self.environment), plan, scratch)
        except ConnectsElsewhereError as error:
            return Losses(unknown=error.message)


def backup_directory(address: DatabaseURL, settings: Settings) -> Path:
    """Return where the backups of a database stand."""
    if settings.backup_directory is not None:
        return settings.backup_directory
    return default_directory(address) if address.sqlite_path is not None else Path("backups")
