"""A whole PostgreSQL database in pg_dump's custom format, and back.

A dump is restored through psql in a transaction that is committed only when pg_restore has ended well: whichever
of the two programs fails or is killed, the database stays as it was.
"""

from __future__ import annotations

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import anyio

from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError
from tbcv.migrate.backup.tools import Tools, environment
from tbcv.migrate.lock import WORK_KEY

DUMP = "database.dump"

_CHUNK_BYTES = 2**18
# What came after the dump has to go as well, and may refer to what is in it. So everything goes first. The lock
# tells a successor of this process, should it die, that its work may still go on.
_OPENING = f"""
BEGIN;
SET client_min_messages = warning;
SELECT pg_advisory_xact_lock_shared({WORK_KEY});
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH ours AS (
            SELECT n.oid, n.nspname FROM pg_namespace n
            WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        ), members AS (
            SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
        ), things AS (
            SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                    WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind,
                format('%I.%I', o.nspname, c.relname) AS name, c.tableoid, c.oid
            FROM pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
            UNION ALL
            SELECT 'TYPE', format('%I.%I', o.nspname, t.typname), t.tableoid, t.oid
            FROM pg_type t JOIN ours o ON o.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r')
            UNION ALL
            SELECT 'ROUTINE', format('%I.%I(%s)', o.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
                p.tableoid, p.oid
            FROM pg_proc p JOIN ours o ON o.oid = p.pronamespace
            UNION ALL
            SELECT 'SCHEMA', format('%I', nspname), 'pg_namespace'::regclass, oid FROM ours WHERE nspname <> 'public'
        )
        SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) FROM things
        WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = things.tableoid AND m.objid = things.oid)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
"""


async def dump(tools: Tools, address: DatabaseURL, target: Path, snapshot: str) -> None:
    """Write a database into a file.

    Args:
        tools: Not older than the server.
        address: The database.
        target: An empty file.
        snapshot: The exported snapshot of a transaction that stays open meanwhile: what it sees is dumped.

    Raises:
        BackupError: pg_dump fails.
    """
    words = ("--format=custom", "--no-password", f"--file={target}", f"--snapshot={snapshot}")
    with tempfile.TemporaryFile() as errors:
        async with _started(tools, "pg_dump", words, environment(address), errors) as process:
            await process.wait()
        _require_success("pg_dump", process, errors)


async def restore(tools: Tools, address: DatabaseURL, source: Path, *, roles: bool = True) -> None:
    """Replace what is in a database by a dump, in one transaction.

    Args:
        tools: Those that wrote the dump, or newer ones.
        address: The database.
        source: The dump.
        roles: Whether owners and privileges are restored; a scratch database has no such roles.

    Raises:
        BackupError: Something failed, and nothing was changed.
    """
    words = ["--clean", "--if-exists", "--file=-", *([] if roles else ["--no-owner", "--no-privileges"]), str(source)]
    client = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1")
    env = environment(address)
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as errors:
        async with (
            _started(tools, "psql", client, env, errors, stdin=PIPE) as psql,
            _started(tools, "pg_restore", words, env, complaints, stdout=PIPE) as reader,
        ):
            try:
                await _pour(reader, psql)
            except (BrokenPipeError, ConnectionResetError):
                # psql has ended at an error, which it tells itself.
                await psql.wait()
                _require_success("psql", psql, errors)
                raise
            _require_success("pg_restore", reader, complaints)
            await _commit(psql)
        _require_success("psql", psql, errors)


async def _pour(reader: Process, psql: Process) -> None:
    assert reader.stdout is not None
    assert psql.stdin is not None
    psql.stdin.write(_OPENING.encode())
    while data := await reader.stdout.read(_CHUNK_BYTES):
        psql.stdin.write(data)
        await psql.stdin.drain()
    await reader.wait()


async def _commit(psql: Process) -> None:
    assert psql.stdin is not None
    try:
        psql.stdin.write(b"\nCOMMIT;\n")
        await psql.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass
    psql.stdin.close()
    await psql.wait()


@asynccontextmanager
async def _started(
    tools: Tools,
    name: str,
    words: tuple[str, ...] | list[str],
    env: Mapping[str, str],
    errors: IO[bytes],
    *,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
) -> AsyncIterator[Process]:
    """Run a program, which is killed if it has not ended with the block."""
    process = await asyncio.create_subprocess_exec(
        tools.program(name), *words, env=env, stdin=stdin, stdout=stdout, stderr=errors
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
                await process.wait()
            await _let_go(process)


async def _let_go(process: Process) -> None:
    """Wait for the pipes of a program that has ended: an event loop that is closed before them complains later."""
    if process.stdin is not None:
        process.stdin.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()
    if process.stdout is not None:
        await process.stdout.read()


def _require_success(name: str, process: Process, errors: IO[bytes]) -> None:
    if process.returncode == 0:
        return
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    # The first line tells the cause, and later ones what followed from it.
    said = next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), "")
    raise BackupError(f"{name} failed: {said or f'it ended with status {process.returncode}'}")
