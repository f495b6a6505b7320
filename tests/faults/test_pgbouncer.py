"""Migrations through PgBouncer in transaction mode, where each transaction may run in another session.

Needs the program ``pgbouncer``, on Debian ``apt-get install pgbouncer``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tbcv.migrate.lock import LOCK_KEY
from tests.faults.commands import Forge, ask, until
from tests.faults.figures import Figures
from tests.faults.places import CHAIN, place
from tests.faults.synthetic import Synthetic, wait

pytestmark = pytest.mark.postgresql

ONE = "op.execute('CREATE TABLE one (id int)')"
KEY = "(classid::bigint << 32 | objid::bigint)"

_INI = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
"""


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """Start PgBouncer in front of a database, and return the URL that leads through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        message = "pgbouncer is not installed: apt-get install pgbouncer"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    url = make_url(postgres_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="tbcv-pgbouncer-") as name:
        directory = Path(name)
        # For whoever runs it; pytest's own directories are for their owner alone.
        directory.chmod(0o755)
        ini = directory / "pgbouncer.ini"
        users = directory / "users"
        users.write_text(f'"{url.username}" "{url.password or ""}"\n')
        ini.write_text(_INI.format(host=url.host, port=url.port or 5432, listen_port=port, users=users))
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([program, str(ini)], stdout=log, stderr=log, **_nobody())
        try:
            until(lambda: _listens(port) or process.poll() is not None, 10)
            assert process.poll() is None, (directory / "log").read_text()
            yield url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        finally:
            process.kill()
            process.wait()


def test_through_a_transaction_pooler(forge: Forge, pooled_url: str, postgres_url: str, figures: Figures) -> None:
    """All of ten simultaneous upgrades through the pooler exit 0, and so do a second run and the way back."""
    started = [forge.start("migrate", "--database-url", pooled_url, "upgrade") for _ in range(10)]
    ended = [process.finish() for process in started]
    assert [done.code for done in ended] == [0] * 10, [done for done in ended if done.code]
    assert sum("✓ 011" in done.err for done in ended) == 1
    assert place(postgres_url).revision == CHAIN[-1]
    forge.run("migrate", "--database-url", pooled_url, "upgrade")
    forge.run("revert", pooled_url, "008")
    assert place(postgres_url).revision == "008"
    forge.run("migrate", "--database-url", pooled_url, "upgrade")
    assert place(postgres_url).revision == CHAIN[-1]
    forge.run("migrate", "--database-url", pooled_url, "current", "--check")
    figures.note("10 simultaneous upgrades through PgBouncer, transaction mode", "10 of 10 exit 0, each revision once")


def test_the_lock_is_lost_behind_a_pooler(forge: Forge, pooled_url: str, postgres_url: str, tmp_path: Path) -> None:
    """When the session that holds the lock ends, the migration stops before its next statement, pooler or not."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    synthetic = Synthetic(forge, tmp_path / "environment", pooled_url)
    synthetic.write("a1", f"{ONE}{wait(ready, go)}op.execute('CREATE TABLE two (id int)')")
    process = synthetic.start("upgrade")
    until(ready.exists, 30)
    held = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND {KEY} = {LOCK_KEY}"
    (holder,) = ask(postgres_url, held)
    assert ask(postgres_url, f"SELECT pg_terminate_backend({holder['pid']}, 5000)")
    go.touch()
    done = process.finish()
    assert done.code == 3, done
    assert "the connection that holds the migration lock was closed" in done.line
    assert ask(postgres_url, "SELECT tablename FROM pg_tables WHERE tablename IN ('one', 'two')") == []
    synthetic.run("upgrade")
    assert len(ask(postgres_url, "SELECT tablename FROM pg_tables WHERE tablename IN ('one', 'two')")) == 2


def test_a_direct_route_beside_the_pooler(forge: Forge, pooled_url: str, postgres_url: str, tmp_path: Path) -> None:
    """With TBCV_MIGRATION_DATABASE_URL all of a migration goes past the pooler that DATABASE_URL leads through."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    name = make_url(postgres_url).database
    synthetic = Synthetic(forge, tmp_path / "environment", pooled_url)
    synthetic.write("a1", f"{ONE}{wait(ready, go)}")
    # Through the pooler everybody has its application name.
    pooled, direct = (
        make_url(url).update_query_dict({"application_name": one})
        for url, one in ((pooled_url, "pooled"), (postgres_url, "direct"))
    )
    environ = {
        "DATABASE_URL": pooled.render_as_string(hide_password=False),
        "TBCV_MIGRATION_DATABASE_URL": direct.render_as_string(hide_password=False),
    }
    process = forge.start("migrate", "-c", str(synthetic.ini), "upgrade", environ=environ)
    until(ready.exists, 30)
    seen = ask(
        postgres_url,
        f"SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE datname = '{name}'"
        " AND pid <> pg_backend_pid()",
    )
    go.touch()
    assert process.finish().code == 0
    assert [row["name"] for row in seen] == ["direct"]


def _nobody() -> dict[str, Any]:
    """Return who runs the pooler: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
