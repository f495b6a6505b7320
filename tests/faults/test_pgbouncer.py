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

from tests.faults.commands import Forge, until
from tests.faults.figures import Figures
from tests.faults.places import CHAIN, place

pytestmark = pytest.mark.postgresql

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


def _nobody() -> dict[str, Any]:
    """Return who runs the pooler: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
