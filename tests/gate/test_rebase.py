"""`tbcv migrate rebase`: own revisions are put on top of what was released meanwhile, all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.engine.scratch import ScratchDatabases
from tbcv.errors import RefusedError, RevisionInvalidError
from tbcv.gate.change.base import opened_base
from tbcv.gate.change.files import read_files
from tbcv.gate.change.history import check_history, check_lines, check_released
from tbcv.gate.rebase import rebase, reparented
from tests.gate.repository import Repository

pytestmark = pytest.mark.anyio

PHONE = 'op.add_column("customers", sa.Column("phone", sa.String(20)))'
NO_PHONE = 'op.drop_column("customers", "phone")'
AGE = 'op.add_column("customers", sa.Column("age", sa.Integer()))'
NO_AGE = 'op.drop_column("customers", "age")'


def contents(repository: Repository) -> dict[Path, bytes]:
    """Return all files of the migrations."""
    return {
        path: path.read_bytes()
        for path in (repository.root / "migrations").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def clean(repository: Repository) -> bool:
    """Tell whether history, released revisions and ledger are in order."""
    environment = repository.environment
    files = read_files(environment)
    with opened_base(environment, files, "main") as base:
        findings = (*check_history(files, base), *check_released(environment, files, base))
    return not [*findings, *check_lines(environment, files)]


async def race(repository: Repository, server: str, theirs: str = AGE, back: str = NO_AGE) -> None:
    """Let main release a revision beside ours, each with its ledger, and leave the conflict of the merge."""
    repository.revision("003", "002", PHONE, NO_PHONE)
    repository.revision("004", "003")
    await repository.measure(server)
    repository.commit("ours")
    repository.git("switch", "--quiet", "main")
    repository.revision("00x", "002", theirs, back)
    await repository.measure(server)
    repository.commit("theirs")
    repository.git("switch", "--quiet", "change")


async def test_after_a_merge(repository: Repository, scratch: ScratchDatabases, postgres_admin_url: str) -> None:
    """Two heads and a ledger in conflict become one line, with ledger and schemas that are true."""
    await race(repository, postgres_admin_url)
    with pytest.raises(RefusedError, match="git merge main"):
        await rebase(repository.environment, scratch, "main")
    with pytest.raises(AssertionError):
        repository.git("merge", "--quiet", "main")
    assert "<<<<<<<" in (repository.root / "migrations/ledger").read_text()
    done = await rebase(repository.environment, scratch, "main")
    assert [(one.revision, one.before, one.after) for one in done.moves] == [("003", ("002",), ("00x",))]
    text = (repository.versions / "003_revision.py").read_text()
    assert 'down_revision = "00x"' in text
    assert "Revises: 00x" in text
    assert [path.name for path in done.written] == ["003_revision.py", "ledger", "sqlite.txt", "postgresql.txt"]
    assert clean(repository)
    for dialect in ("sqlite", "postgresql"):
        schema = (repository.root / f"migrations/schema/{dialect}.txt").read_text()
        assert "customers.age" in schema
        assert "customers.phone" in schema
        assert "<<<<" not in schema
    before = contents(repository)
    assert (await rebase(repository.environment, scratch, "main")).moves == ()
    assert contents(repository) == before


async def test_all_or_nothing(repository: Repository, scratch: ScratchDatabases, postgres_admin_url: str) -> None:
    """Where the chain does not run in its new order, nothing is changed."""
    await race(repository, postgres_admin_url, PHONE, NO_PHONE)
    with pytest.raises(AssertionError):
        repository.git("merge", "--quiet", "main")
    before = contents(repository)
    with pytest.raises(RevisionInvalidError, match="003"):
        await rebase(repository.environment, scratch, "main")
    assert contents(repository) == before


async def test_several_own_revisions(repository: Repository, scratch: ScratchDatabases) -> None:
    """Own revisions that stand side by side, or on an old one, come into one line."""
    repository.revision("b", "001")
    repository.revision("c", "b")
    repository.revision("a", None)
    (repository.root / "migrations" / "ledger").unlink()
    repository.git("rm", "--quiet", "--cached", "migrations/ledger")
    done = await rebase(repository.environment, scratch, "002")
    assert done.onto == "002"
    assert [(one.revision, one.after) for one in done.moves] == [("a", ("002",)), ("b", ("a",))]
    assert [one.parents for one in read_files(repository.environment).revisions.values() if one.id in "abc"] == [
        ("002",),
        ("a",),
        ("b",),
    ]


async def test_nothing_is_known(repository: Repository, scratch: ScratchDatabases, tmp_path: Path) -> None:
    """Without a base nobody knows what may be moved."""
    repository.revision("003", "001")
    (repository.root / ".git").rename(tmp_path / "git")
    with pytest.raises(RefusedError, match="--base"):
        await rebase(repository.environment, scratch)


@pytest.mark.parametrize(
    ("before", "parents", "after"),
    [
        (b"down_revision = 'a'\n", ("b",), b'down_revision = "b"\n'),
        (b"down_revision: str | None = None  # x\r\n", ("b",), b'down_revision: str | None = "b"  # x\r\n'),
        (b"x = 1; down_revision = ('a', 'c')\n", ("b", "d"), b'x = 1; down_revision = ("b", "d")\n'),
        (b'down_revision = (\n    "a",\n    "c",\n)\ny = 2\n', ("b",), b'down_revision = "b"\ny = 2\n'),
        (b"down_revision = 'a'\n", (), b"down_revision = None\n"),
        (
            '"""Ärger.\n\nRevises: a\nCreate Date: x\n"""\ndown_revision = "a"\n'.encode(),
            ("b",),
            '"""Ärger.\n\nRevises: b\nCreate Date: x\n"""\ndown_revision = "b"\n'.encode(),
        ),
        (
            b'"""Of it.\r\n\r\nRevises: a\r\n"""\r\ndown_revision = "a"\r\n',
            ("b",),
            b'"""Of it.\r\n\r\nRevises: b\r\n"""\r\ndown_revision = "b"\r\n',
        ),
    ],
)
def test_the_file(before: bytes, parents: tuple[str, ...], after: bytes) -> None:
    """Nothing of a file changes but what it follows, however it is written."""
    assert reparented(before, parents) == after
