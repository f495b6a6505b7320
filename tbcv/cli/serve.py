"""`tbcv serve`: the API, whose startup brings the schema to head."""

from __future__ import annotations

import click

from tbcv.api import server
from tbcv.cli.interrupted import ended_at_once
from tbcv.cli.loop import await_result
from tbcv.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one."
)
@click.option("--reload", is_flag=True, help="Start anew when a source file changes.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="The number of processes.")
@click.option("--database-url", metavar="URL", help="The database; DATABASE_URL otherwise.")
def serve(host: str, port: int, reload: bool, workers: int, database_url: str | None) -> None:
    """Serve the API; TBCV_MIGRATE_ON_STARTUP says what its startup does about pending revisions."""
    with ended_at_once():
        server.load()
    settings = Settings.from_env(database_url=database_url, migration_database_url=database_url)
    server.serve(settings, host=host, port=port, reload=reload, workers=workers, run=await_result)
