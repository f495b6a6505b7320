"""Waiting for what must have ended before its caller goes on, cancelled or not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import anyio


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do something without being cancelled in the middle of it; whoever was cancelled meanwhile is so afterwards."""
    future = asyncio.ensure_future(work)
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await settled(future)
        raise


async def settled(future: asyncio.Future[Any]) -> None:
    """Wait until something has ended, however often this task is cancelled meanwhile.

    What it raised counts as taken, so that the loop does not complain of it.
    """
    # A cancel scope of anyio would cancel each wait anew.
    with anyio.CancelScope(shield=True):
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
    if not future.cancelled():
        future.exception()
