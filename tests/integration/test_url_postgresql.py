"""What the translated parameters of a URL do to real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from time import monotonic
from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tbcv.engine.embedded import EmbeddedPostgres
from tbcv.engine.url import parse_database_url

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect as tbcv does: with the URL and the arguments that parsing gives."""
    address = parse_database_url(url)
    engine = create_async_engine(address.url, connect_args=dict(address.connect_args), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def setting(url: str, name: str) -> str:
    """Return a setting of the session that a URL opens."""
    async with connected(url) as connection:
        return str(await connection.scalar(text("SELECT current_setting(:name)"), {"name": name}))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Listen on a port, and never accept or answer."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Hold a port on which nobody listens, so that connecting to it is refused."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_session_says_who_it_is_and_keeps_utc(postgres_url: str) -> None:
    """A session is called tbcv and lives in UTC."""
    assert await setting(postgres_url, "application_name") == "tbcv"
    assert await setting(postgres_url, "timezone") == "UTC"


async def test_application_name(postgres_url: str) -> None:
    """The name in the URL is the name that the server shows."""
    assert await setting(f"{postgres_url}?application_name=worker+1", "application_name") == "worker 1"


async def test_options(postgres_url: str) -> None:
    """The options of the URL hold in the session, except that they do not take it out of UTC."""
    options = quote("-c statement_timeout=5s -c search_path=foo -c timezone=Europe/Berlin")
    async with connected(f"{postgres_url}?options={options}") as connection:
        query = "SELECT current_setting(n) FROM unnest(ARRAY['statement_timeout', 'search_path', 'timezone']) n"
        assert list(await connection.scalars(text(query))) == ["5s", "foo", "UTC"]


async def test_no_prepared_statement_stays(postgres_url: str) -> None:
    """A session keeps no prepared statement, unless the URL asks for a cache of them."""
    query = text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
    for parameters, kept in (("", False), ("?statement_cache_size=9&prepared_statement_cache_size=9", True)):
        async with connected(postgres_url + parameters) as connection:
            await connection.execute(text("SELECT 1"))
            assert bool(await connection.scalar(query)) is kept


@pytest.mark.parametrize("form", ["postgresql://postgres@/postgres?host={0}&port={1}", "postgres://postgres@{0}:{1}/"])
async def test_unix_socket(postgres_server: EmbeddedPostgres, form: str) -> None:
    """Both ways to write a socket directory lead to the socket."""
    url = form.format(quote(str(postgres_server.socket_directory), safe=""), postgres_server.port)
    async with connected(url) as connection:
        assert await connection.scalar(text("SELECT inet_server_addr()")) is None


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_tls_that_is_not_required(postgres_server: EmbeddedPostgres, mode: str) -> None:
    """A mode that does without TLS connects to a server that has none."""
    assert await setting(f"{postgres_server.url()}?sslmode={mode}", "ssl") == "off"


@pytest.mark.parametrize("query", ["sslmode=require", "ssl=true", "sslrootcert=system"])
async def test_tls_that_is_required(postgres_server: EmbeddedPostgres, query: str) -> None:
    """A mode that insists on TLS does not connect to a server that has none."""
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        await setting(f"{postgres_server.url()}?{query}", "ssl")


async def test_tls_files_are_read(postgres_server: EmbeddedPostgres) -> None:
    """The certificate of the URL is the one that asyncpg looks for."""
    with pytest.raises((OSError, DBAPIError), match="No such file"):
        await setting(f"{postgres_server.url()}?sslmode=verify-full&sslrootcert=/nonexistent.crt", "ssl")


async def test_connect_timeout(silent_port: int) -> None:
    """A server that accepts and never answers costs the time that the URL allows, and no more."""
    began = monotonic()
    with pytest.raises(TimeoutError):
        await setting(f"postgresql://postgres@127.0.0.1:{silent_port}/db?connect_timeout=1", "ssl")
    assert 0.9 < monotonic() - began < 5


async def test_no_connect_timeout(silent_port: int) -> None:
    """A limit of zero is none."""
    url = f"postgresql://postgres@127.0.0.1:{silent_port}/db?connect_timeout=0"
    waiting = asyncio.create_task(setting(url, "ssl"))
    done, _ = await asyncio.wait([waiting], timeout=1)
    assert not done
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_command_timeout(postgres_url: str) -> None:
    """A statement may take the time that the URL allows."""
    with pytest.raises(TimeoutError):
        async with connected(f"{postgres_url}?command_timeout=0.2") as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://postgres@127.0.0.1:{dead},127.0.0.1:{port}/postgres",
        "postgresql://postgres@/postgres?host=127.0.0.1:{dead}&host=127.0.0.1:{port}",
        "postgresql://postgres@/postgres?host=127.0.0.1,127.0.0.1&port={dead},{port}",
    ],
)
async def test_first_host_is_dead(postgres_server: EmbeddedPostgres, dead_port: int, form: str) -> None:
    """A host that refuses is passed over for the next one, in all three ways to write several."""
    url = form.format(dead=dead_port, port=postgres_server.port)
    async with connected(url) as connection:
        assert await connection.scalar(text("SELECT inet_server_port()")) == postgres_server.port


async def test_target_session_attrs(postgres_server: EmbeddedPostgres, dead_port: int) -> None:
    """Of several hosts one that can be written to is taken, and none is when only a standby would do."""
    hosts = f"127.0.0.1:{dead_port},127.0.0.1:{postgres_server.port}"
    url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs="
    assert await setting(f"{url}read-write", "transaction_read_only") == "off"
    with pytest.raises((OSError, DBAPIError)):
        await setting(f"{url}standby", "transaction_read_only")


async def test_user_in_the_url(postgres_url: str) -> None:
    """A role whose name holds every delimiter can log in by an encoded URL."""
    role = "o'b:/@%?#%41+ &="
    async with connected(postgres_url) as connection:
        await connection.exec_driver_sql(f'CREATE ROLE "{role}" LOGIN')
        await connection.commit()
        try:
            async with connected(f"{postgres_url}?user={quote(role)}") as other:
                assert await other.scalar(text("SELECT current_user")) == role
        finally:
            await connection.exec_driver_sql(f'DROP ROLE "{role}"')
            await connection.commit()
