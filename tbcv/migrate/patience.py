"""How patient a migration is with others: what passes by itself, and how long to wait before trying again."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

import anyio
from sqlalchemy.exc import DBAPIError

from tbcv.errors import UpgradeFailedError
from tbcv.migrate.lock import HeldLock

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 5.0
_PASSING = {"55P03": "a lock timeout", "40P01": "a deadlock", "40001": "a serialization failure"}

QUIETER = "end that session, or migrate at a quieter time (TBCV_DDL_LOCK_TIMEOUT_SECONDS)"
"""What to do about a session that stays in the way."""


@dataclass(frozen=True, slots=True)
class DdlPolicy:
    """How patient a migration is with other sessions of the server.

    Attributes:
        lock_timeout_seconds: How long one statement may wait for a lock.
        attempts: How often a revision is tried whose statement waited longer, and how often such a statement itself
            where it stands outside of the revision's transaction.
    """

    lock_timeout_seconds: float = 1.0
    attempts: int = 20


def passing(error: BaseException | None) -> str:
    """Return what a failure was if trying again may help, else nothing.

    Args:
        error: What the driver raised, or SQLAlchemy for it.
    """
    raised = error.orig if isinstance(error, DBAPIError) else error
    return _PASSING.get(getattr(raised, "sqlstate", None) or "", "")


def delay_seconds(number: int) -> float:
    """Return how long to wait after an attempt: twice as long as after the one before, and never quite the same.

    Args:
        number: Which attempt it was, from 1.
    """
    return min(_FIRST_SECONDS * 2.0 ** (number - 1), _LONGEST_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret


async def pause(error: UpgradeFailedError, held: HeldLock, policy: DdlPolicy, number: int) -> None:
    """Wait before another attempt.

    Args:
        error: What the attempt ended with.
        held: The lock, which knows who was in the way.
        policy: How many attempts there may be.
        number: Which attempt it was, from 1.

    Raises:
        UpgradeFailedError: The failure will not pass by itself, or it was the last attempt.
    """
    what = passing(error.__cause__)
    if not what:
        raise error
    if number == policy.attempts:
        raise error.amended(
            message=f"{error.message}; {what} in each of {number} attempts, held by {held.in_the_way}", hint=QUIETER
        ) from error
    seconds = delay_seconds(number)
    _log.warning(
        "revision %s was rolled back after %s, held by %s; attempt %d of %d in %.1f s",
        error.failed,
        what,
        held.in_the_way,
        number + 1,
        policy.attempts,
        seconds,
        extra={"event": "retry", "revision": error.failed, "attempt": number + 1, "blockers": held.in_the_way},
    )
    await anyio.sleep(seconds)
