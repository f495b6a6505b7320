"""A migration in the process of the application: its event loop goes on."""

from __future__ import annotations

import asyncio

from tbcv.engine.url import parse_database_url
from tests.faults.figures import Figures, Stalls
from tests.faults.places import CHAIN, place
from tests.migrations.chain import Chain


def test_the_loop_goes_on(database_url: str, figures: Figures) -> None:
    """While the whole chain is applied in process, the event loop is never held up for long."""
    stalls = asyncio.run(_migrate(Chain(database_url)))
    assert place(database_url).revision == CHAIN[-1]
    dialect = parse_database_url(database_url).dialect
    figures.note(
        f"event loop while the chain is applied in process, {dialect}",
        f"longest stall {stalls.longest * 1000:.0f} ms over {stalls.beats} beats",
    )
    # Generous: other processes of a busy machine hold it up too.
    assert stalls.longest < 0.5


async def _migrate(chain: Chain) -> Stalls:
    stalls = Stalls()

    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(0.001)
            stalls.beat()

    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(0.05)
    await chain.up()
    beating.cancel()
    return stalls
