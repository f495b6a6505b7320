"""What a run will do and what it did, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tbcv.migrate.history import History, Revision


class Direction(StrEnum):
    """Which way a plan goes; ``create`` builds from the models, ``adopt`` and ``stamp`` record a revision."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    CREATE = "create"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps from a database to a target.

    Attributes:
        direction: Up or down.
        current: The revisions that the database recorded when the plan was made.
        target: As it was asked for.
        steps: The revisions to apply or to revert, in order; empty when there is nothing to do.
    """

    direction: Direction
    current: tuple[str, ...]
    target: str
    steps: tuple[Revision, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the steps."""
        return tuple(step.id for step in self.steps)

    @property
    def destination(self) -> str:
        """The target without anything relative in it, in Alembic's words."""
        if not self.steps:
            return self.target
        if self.direction is Direction.UPGRADE:
            return "heads" if self.target == "heads" else self.steps[-1].id
        below = self.steps[-1].parents
        return below[0] if below else "base"


@dataclass(frozen=True, slots=True)
class AppliedStep:
    """One revision that a run applied or reverted.

    Attributes:
        id: The revision.
        message: Its first line.
        seconds: How long its transaction took.
    """

    id: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did.

    Attributes:
        direction: Up, down, stamped or created.
        before: The revisions recorded before.
        after: The revisions recorded after, read back from the database.
        applied: The steps, in the order in which they were taken; empty when there was nothing to do.
        backup: The id of the backup that was taken before; empty where none was.
    """

    direction: Direction
    before: tuple[str, ...]
    after: tuple[str, ...]
    applied: tuple[AppliedStep, ...] = ()
    backup: str = ""


def plan_upgrade(history: History, current: Sequence[str], target: str = "head") -> Plan:
    """Plan the way up.

    Raises:
        RevisionNotFoundError, MultipleHeadsError, RefusedError: As `History.pending`.
    """
    if target == "head":
        _ = history.head
    return Plan(Direction.UPGRADE, tuple(current), target, history.pending(current, target))


def plan_downgrade(history: History, current: Sequence[str], target: str) -> Plan:
    """Plan the way down.

    Raises:
        RevisionNotFoundError, RefusedError: As `History.reverted`.
    """
    return Plan(Direction.DOWNGRADE, tuple(current), target, history.reverted(current, target))
