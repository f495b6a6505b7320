"""Manifests, names, sums of rows and the environment of the client programs: what needs no database."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError, MigrationError
from tbcv.migrate.backup.export import Rows
from tbcv.migrate.backup.model import Backup, Column, Export, Part, StoredFile, read_manifest, write_manifest
from tbcv.migrate.backup.shelf import Slot, database_name
from tbcv.migrate.backup.tools import environment
from tbcv.migrate.backup.work import Stop, StoppedError, in_thread

pytestmark = pytest.mark.anyio

lines = st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b" ") + b"\n"), max_size=20)


def backup_in(path: Path) -> Backup:
    """Return a backup that uses every field."""
    export = Export("Zoë's", "000.copy.gz", (Column("id", "integer"), Column("n", "text")), ("id",), ("n",), 3, "ff")
    return Backup(
        id=path.name,
        path=path,
        dialect="postgresql",
        kind="partial",
        reason="to see",
        database="postgresql://host/name",
        revisions=("a", "b"),
        created_at=datetime(2026, 11, 22, 17, tzinfo=UTC),
        size_bytes=7,
        fingerprint="0f",
        made_by="tbcv 3, postgresql 18",
        rows={"Zoë's": 3},
        files={"000.copy.gz": StoredFile(7, "aa")},
        exports=(export,),
    )


def test_manifest_gives_back_the_backup(tmp_path: Path) -> None:
    """What is written down is read as it was, wherever the directory has been moved."""
    backup = backup_in(tmp_path)
    (tmp_path / "backup.json").write_text(write_manifest(backup), encoding="utf-8")
    assert read_manifest(tmp_path) == backup
    assert str(tmp_path.parent) not in write_manifest(backup)
    assert hash(backup) == hash(read_manifest(tmp_path))


@pytest.mark.parametrize(
    "edit", [{"format": 2}, {"id": "other"}, {"dialect": "oracle"}, {"kind": "half"}, {"created_at": "2026-01-01"}]
)
def test_foreign_manifest_is_no_backup(tmp_path: Path, edit: dict[str, object]) -> None:
    """A manifest of another format, name, engine or kind is not read."""
    manifest = json.loads(write_manifest(backup_in(tmp_path)))
    (tmp_path / "backup.json").write_text(json.dumps(manifest | edit))
    with pytest.raises(ValueError, match=r"another format|not a backup|without a zone"):
        read_manifest(tmp_path)


def test_parts_are_what_a_restore_overwrites(tmp_path: Path) -> None:
    """Columns where columns were lost, else the table."""
    (export,) = backup_in(tmp_path).exports
    assert export.parts == (Part("Zoë's", "n"),)


@pytest.mark.parametrize(
    ("revisions", "end"),
    [((), "-base"), (("011",), "-011"), (("a", "b"), "-a_b"), (("../x y",), "-.._x_y"), (("é" * 99,), "-" + "_" * 40)],
)
def test_names_are_safe_and_sort_by_time(tmp_path: Path, revisions: tuple[str, ...], end: str) -> None:
    """A name holds the time and the revisions, and nothing that means something to a file system."""
    slot = Slot(tmp_path)
    assert slot.name(revisions).endswith(end)
    assert "/" not in slot.name(revisions)
    later = Slot(tmp_path)
    later.created_at = slot.created_at + timedelta(microseconds=20)
    assert later.name(("000",)) > slot.name(("999",))


@given(lines, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_count(rows: list[bytes], random: object) -> None:
    """The same rows in any order and cut anywhere have one digest."""
    one, other = Rows(), Rows()
    one.write(b"".join(rows))
    for byte in b"".join(sorted(rows)):
        other.write(bytes([byte]))
    assert (one.count, one.digest) == (other.count, other.digest) == (len(rows), one.digest)


@given(lines, lines)
def test_other_rows_have_another_digest(rows: list[bytes], others: list[bytes]) -> None:
    """Rows count as often as they are there."""
    one, other = Rows(), Rows()
    one.write(b"".join(rows))
    other.write(b"".join(others))
    assert (one.digest == other.digest) == (sorted(rows) == sorted(others))


def test_programs_find_the_database_through_their_environment() -> None:
    """Whatever a URL says has a variable, and what it leaves open is not set."""
    url = "postgresql://u:p%40ss@h:5433/db?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x&options=-c%20a=b"
    found = environment(parse_database_url(url))
    expected = {
        "PGHOST": "h",
        "PGPORT": "5433",
        "PGUSER": "u",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "db",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.pem",
        "PGAPPNAME": "x",
        "PGOPTIONS": "-c a=b",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert environment(parse_database_url("postgresql://a,b:6000/db"))["PGPORT"] == "5432,6000"
    assert environment(parse_database_url("postgresql:///db?host=/run/pg"))["PGHOST"] == "/run/pg"
    assert environment(parse_database_url("postgresql://h/db?sslrootcert=system"))["PGSSLROOTCERT"] == "system"
    with pytest.raises(BackupError, match="TLS key"):
        environment(parse_database_url("postgresql://h/db?sslmode=require&sslkey=/k&sslpassword=x"))


def test_databases_are_told_apart_without_their_passwords() -> None:
    """The role and its password are no part of which database it is."""
    one, other = (database_name(parse_database_url(f"postgresql://{who}@h/db")) for who in ("a:secret", "b"))
    assert one == other == "postgresql://h/db"
    assert database_name(parse_database_url("sqlite:////x/y.db")) == "/x/y.db"


async def test_cancelled_task_waits_for_its_thread() -> None:
    """However often a task is cancelled, its thread has ended when it ends."""
    running, ended = threading.Event(), threading.Event()

    def work(stop: Stop) -> None:
        running.set()
        try:
            while True:
                stop.check()
                time.sleep(0.001)
        except StoppedError:
            time.sleep(0.05)
            ended.set()
            raise

    task = asyncio.create_task(in_thread(work))
    while not running.is_set():
        await asyncio.sleep(0.001)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_error_is_one_of_migrations() -> None:
    """It ends with exit code 3, like the others."""
    assert issubclass(BackupError, MigrationError)
    assert (BackupError.code, BackupError.exit_code) == ("backup", 3)
