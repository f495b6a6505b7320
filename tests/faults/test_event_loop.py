"""A migration in the process of the application: its event loop goes on."""

from __future__ import annotations

import asyncio
import gc
import time

from tbcv.engine.url import parse_database_url
from tests.faults.figures import Figures, Stalls
from tests.faults.places import CHAIN, place
from tests.migrations.chain import Chain

LIMIT_SECONDS = 0.05


def test_the_loop_goes_on(database_url: str, figures: Figures) -> None:
    """While the chain is applied in process, the event loop is never held up for 50 ms by what the migration does.

    Counted is the time for which the loop's own thread computes between two beats, since on a busy machine other
    processes hold it up as well, and without the garbage collector, which stops every thread of a process whatever
    that does. A wait inside of a callback would not be computing: it is bounded by the clock on the wall.
    """
    gc.collect()
    gc.disable()
    try:
        computing, waiting = asyncio.run(_migrate(Chain(database_url)))
    finally:
        gc.enable()
    assert place(database_url).revision == CHAIN[-1]
    figures.note(
        f"event loop while the chain is applied in process, {parse_database_url(database_url).dialect}",
        f"held up by the migration for {computing.longest * 1000:.0f} ms at most, over {computing.beats} beats",
    )
    assert computing.longest < LIMIT_SECONDS
    assert waiting.longest < 10 * LIMIT_SECONDS


async def _migrate(chain: Chain) -> tuple[Stalls, Stalls]:
    stalls = Stalls(time.thread_time), Stalls()

    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(0.001)
            for one in stalls:
                one.beat()

    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(0.05)
    await chain.up()
    beating.cancel()
    return stalls
