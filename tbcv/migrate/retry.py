"""Trying again what failed because of somebody else: a lock timeout, a deadlock."""

from __future__ import annotations

import logging
import random

import anyio

from tbcv.errors import UpgradeFailedError
from tbcv.migrate.guard import DdlPolicy, passing
from tbcv.migrate.lock import HeldLock

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 5.0


async def pause(error: UpgradeFailedError, held: HeldLock, policy: DdlPolicy, number: int) -> None:
    """Wait before another attempt, twice as long as before the last one.

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
    who = held.blockers or "another session"
    if number == policy.attempts:
        raise error.amended(
            message=f"{error.message}; {what} in each of {number} attempts, held by {who}",
            hint="end that session, or migrate at a quieter time (TBCV_DDL_LOCK_TIMEOUT_SECONDS)",
        ) from error
    seconds = min(_FIRST_SECONDS * 2 ** (number - 1), _LONGEST_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311  # no secret
    _log.warning(
        "revision %s was rolled back after %s, held by %s; attempt %d of %d in %.1f s",
        error.failed,
        what,
        who,
        number + 1,
        policy.attempts,
        seconds,
    )
    await anyio.sleep(seconds)
