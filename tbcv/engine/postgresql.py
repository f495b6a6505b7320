"""PostgreSQL connections that can be cancelled while they are made."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from tbcv.engine.waiting import settled

_GRACE_SECONDS = 0.5
"""How long a cancelled connection may go on being made; on a server that answers it takes milliseconds."""


async def connect(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # asyncpg has no types
    """Connect as asyncpg does; when cancelled, let the server answer first, and close what came of it.

    asyncpg that is cancelled just as it asks for TLS forgets a future whose exception the loop then complains of, long
    after and to whoever is there. Until it gets that far nothing is forgotten, so a server that does not answer need
    not be waited for.

    Args:
        arguments: Passed on to ``asyncpg.connect``.
        options: Passed on likewise.

    Returns:
        A connection of asyncpg.

    Raises:
        Exception: Whatever ``asyncpg.connect`` raises.
    """
    connecting = asyncio.ensure_future(asyncpg.connect(*arguments, **options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        giving_up = asyncio.get_running_loop().call_later(_GRACE_SECONDS, connecting.cancel)
        await settled(connecting)
        giving_up.cancel()
        if not connecting.cancelled() and connecting.exception() is None:
            connecting.result().terminate()
        raise
