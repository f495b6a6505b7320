"""Heads, bases, orphans, circles, what was released, and what a merge with the base would give."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tbcv.errors import ConfigurationError
from tbcv.findings import Severity
from tbcv.gate.change.base import Base, BaseKind, opened_base
from tbcv.gate.change.files import read_files
from tbcv.gate.change.history import check_history, check_lines, check_released
from tests.gate.repository import Repository, line_of

pytestmark = pytest.mark.anyio

ADD_PHONE = 'op.add_column("customers", sa.Column("phone", sa.String(20)))  # HERE'
DROP_PHONE = 'op.drop_column("customers", "phone")'


def found(repository: Repository, base: str | None = "main") -> list[tuple[str, str, int | None]]:
    """Return code, file and line of what is wrong with history and released revisions, warnings excluded."""
    files = read_files(repository.environment)
    with opened_base(repository.environment, files, base) as opened:
        findings = (
            *check_history(files, opened),
            *check_released(repository.environment, files, opened),
        )
    return sorted(
        (one.code, one.location.path.name, one.location.line)
        for one in findings
        if one.location and one.severity is Severity.ERROR
    )


def opened(repository: Repository, given: str | None) -> Base:
    """Open a base and close it again."""
    with opened_base(repository.environment, read_files(repository.environment), given) as base:
        return base


def new(repository: Repository, given: str | None) -> list[str]:
    """Return the revisions that are new against a base, in order."""
    files = read_files(repository.environment)
    with opened_base(repository.environment, files, given) as base:
        return [one.id for one in base.new(files)]


def parent(path: Path) -> int:
    """Return the line where a revision names its parent."""
    return line_of(path, "down_revision =")


async def test_new_revisions_in_the_order_of_the_chain(repository: Repository) -> None:
    """What the base has not is new, by whatever the base is named, and not the order of the files decides."""
    repository.revision("b", "002")
    repository.revision("a", "b")
    ledger = str(repository.root / "migrations" / "ledger")
    for base in ("main", "HEAD", "002", None, ledger, repository.git("rev-parse", "main")):
        assert new(repository, base) == ["b", "a"], base
    assert new(repository, "001") == ["002", "b", "a"]
    assert new(repository, "base") == ["001", "002", "b", "a"]
    assert new(repository, "a") == []


async def test_what_the_base_is_called(repository: Repository) -> None:
    """The base says as what it was given, and names the commit where the branch left it."""
    left = repository.git("rev-parse", "main")
    kinds = [opened(repository, one).kind for one in ("main", "002", "migrations/ledger", None)][:2]
    assert kinds == [BaseKind.GIT, BaseKind.REVISION]
    repository.git("switch", "--quiet", "main")
    tip = repository.commit("more")
    repository.git("switch", "--quiet", "change")
    base = opened(repository, "main")
    assert (base.commit, base.tip, base.root) == (left, tip, repository.root)
    assert left[:10] in base.description


async def test_nothing_is_left_behind(repository: Repository) -> None:
    """Looking at a base changes nothing in the repository: no index, no work tree, no file."""
    repository.revision("003", "002")
    before = repository.git("status", "--porcelain"), repository.git("worktree", "list")
    opened(repository, "main")
    assert (repository.git("status", "--porcelain"), repository.git("worktree", "list")) == before


async def test_base_that_is_nothing(repository: Repository, tmp_path: Path) -> None:
    """A base that is no revision, no ledger and no commit is refused with what it may be."""
    for base in ("nowhere", "--all", "", "main:nowhere", "0123456789"):
        with pytest.raises(ConfigurationError, match="--base takes"):
            opened(repository, base)
    (tmp_path / "text").write_text("no ledger\n")
    with pytest.raises(ConfigurationError, match="no ledger"):
        opened(repository, str(tmp_path / "text"))


async def test_without_git(repository: Repository, tmp_path: Path) -> None:
    """Outside of a repository everything counts as released, unless a revision says otherwise."""
    (repository.root / ".git").rename(tmp_path / "git")
    repository.revision("003", "002")
    assert new(repository, None) == []
    assert "no git repository" in opened(repository, None).description
    assert new(repository, "002") == ["003"]
    with pytest.raises(ConfigurationError, match="in no git repository"):
        opened(repository, "main")


async def test_base_in_a_file_that_is_not_read(repository: Repository) -> None:
    """Where a base may be a revision that could not be read, or none was found at all, that is said instead."""
    path = repository.revision("003", "002")
    repository.edit(path, "revision = '003'", "revision = name()")
    with pytest.raises(ConfigurationError) as raised:
        opened(repository, "003")
    assert path.name in raised.value.hint
    for one in path.parent.glob("*.py"):
        one.unlink()
    with pytest.raises(ConfigurationError) as raised:
        opened(repository, "003")
    assert "there is no revision in" in raised.value.hint
    assert "version_locations in alembic.ini" in raised.value.hint


async def test_without_a_main_branch(repository: Repository) -> None:
    """Where no branch is called main nothing is new, and that is said."""
    repository.revision("003", "002")
    repository.git("branch", "--quiet", "--move", "main", "elsewhere")
    assert new(repository, None) == []
    assert "no main branch" in opened(repository, None).description


async def test_shallow_clone(released: Repository, tmp_path: Path) -> None:
    """A clone that lacks the base says how to get it."""
    whole = released.copy(tmp_path / "whole")
    whole.branch()
    whole.commit("one")
    clone = Repository(tmp_path / "clone")
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", "--branch=change", f"file://{whole.root}", clone.root],
        check=True,
        capture_output=True,
    )
    with pytest.raises(ConfigurationError, match="fetch-depth: 0"):
        opened(clone, "main")
    assert new(clone, None) == []
    clone.git("fetch", "--quiet", "--depth=1", "origin", "main:main")
    with pytest.raises(ConfigurationError, match="fetch-depth: 0"):
        opened(clone, "main")


async def test_sound_history(repository: Repository) -> None:
    """A line of revisions on top of what was released has no finding."""
    repository.revision("003", "002", ADD_PHONE, DROP_PHONE)
    repository.revision("004", "003")
    assert found(repository) == []


async def test_two_heads(repository: Repository) -> None:
    """A revision beside the head is found where it names its parent."""
    path = repository.revision("003", "001")
    assert found(repository) == [("multiple-heads", path.name, parent(path))]


async def test_two_bases(repository: Repository) -> None:
    """A revision that follows nothing is a second base, and a second head."""
    path = repository.revision("003", None)
    assert found(repository) == [
        ("multiple-bases", path.name, parent(path)),
        ("multiple-heads", path.name, parent(path)),
    ]


async def test_orphans_and_circles(repository: Repository) -> None:
    """A parent without a file and revisions that follow each other are found, and what hangs on them is not."""
    path = repository.revision("003", "zzz")
    assert found(repository) == [("parent-missing", path.name, parent(path))]
    path.unlink()
    one, other = repository.revision("003", "004"), repository.revision("004", "003")
    repository.revision("005", "004")
    assert found(repository) == [
        ("history-circular", one.name, parent(one)),
        ("history-circular", other.name, parent(other)),
    ]


async def test_files_that_cannot_be_read(repository: Repository) -> None:
    """A file that is no Python, one that computes its id and one that repeats another are found at their lines."""
    path = repository.revision("003", "002", "pass pass  # HERE")
    assert found(repository) == [("revision-unreadable", path.name, line_of(path))]
    path.unlink()
    path = repository.revision("003", "002")
    repository.edit(path, "down_revision = '002'", "down_revision = str(2)")
    assert found(repository) == [("revision-unreadable", path.name, parent(path))]
    path.unlink()
    twice = repository.revision("002", "001", file="003_again.py")
    assert found(repository) == [("revision-twice", twice.name, line_of(twice, "revision = '002'"))]


async def test_released_revision_edited(repository: Repository) -> None:
    """A released revision that means something else is found at the first line that differs; a comment is nothing."""
    path = repository.versions / "001_revision.py"
    repository.edit(path, "import sqlalchemy", "# as released\nimport sqlalchemy")
    assert found(repository) == []
    repository.git("checkout", "--quiet", "--", ".")
    repository.edit(path, "sa.String(40)", "sa.String(50)")
    line = line_of(path, "sa.String(50)")
    assert found(repository) == [("released-edited", path.name, line)]
    assert found(repository, str(repository.root / "migrations" / "ledger")) == [("released-edited", path.name, None)]


async def test_released_revision_moved(repository: Repository) -> None:
    """A released revision that follows another one is found at its parent, and not as edited."""
    path = repository.versions / "002_revision.py"
    repository.revision("000", "001")
    repository.edit(path, "down_revision = '001'", "down_revision = '000'")
    assert found(repository) == [("released-reparented", path.name, parent(path))]


async def test_released_revision_gone(repository: Repository) -> None:
    """A released revision without a file is found, and one with another name is called renamed."""
    path = repository.versions / "002_revision.py"
    text = path.read_text()
    path.unlink()
    assert found(repository) == [("released-removed", path.name, None)]
    path.write_text(text.replace("revision = '002'", "revision = '02b'", 1))
    assert found(repository) == [("released-renamed", path.name, line_of(path, "revision = '02b'"))]
    path.unlink()
    moved = repository.versions / "002_other.py"
    moved.write_text(text)
    assert found(repository) == [("released-renamed", moved.name, line_of(moved, "revision = '002'"))]
    moved.write_text(text.replace("revision = '002'", "revision = '02b'", 1))
    assert found(repository) == [("released-renamed", moved.name, line_of(moved, "revision = '02b'"))]


async def test_merge_race(repository: Repository) -> None:
    """Two branches that are sound alone and not together are found before the second is merged."""
    mine = repository.revision("003", "002", 'op.create_table("mine", sa.Column("id", sa.Integer()))')
    repository.commit()
    repository.branch("theirs")
    repository.revision("00x", "002", 'op.create_table("theirs", sa.Column("id", sa.Integer()))')
    repository.commit()
    repository.git("switch", "--quiet", "main")
    repository.git("merge", "--quiet", "theirs")
    repository.git("switch", "--quiet", "change")
    assert found(repository) == [("merge-heads", mine.name, parent(mine))]
    assert new(repository, "main") == ["003"]
    repository.git("merge", "--quiet", "main", "--message", "merged")
    assert found(repository) == [("multiple-heads", mine.name, parent(mine))]
    repository.edit(mine, "down_revision = '002'", "down_revision = '00x'")
    assert found(repository) == []


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ('op.add_column("customers", sa.Column("phone", sa.Integer()))', ["merge-conflict", "merge-heads"]),
        ('op.drop_table("customers")', ["merge-conflict", "merge-heads"]),
        ('op.execute("ALTER TABLE customers RENAME TO people")', ["merge-heads", "merge-overlap"]),
        ('with op.batch_alter_table("customers") as t:\n    t.drop_column("phone")', ["merge-conflict", "merge-heads"]),
        ('op.drop_column("customers", "email")', ["merge-heads", "merge-overlap"]),
        ('op.drop_column("orders", "note")', ["merge-heads"]),
    ],
)
async def test_conflicts_of_meaning(repository: Repository, theirs: str, expected: list[str]) -> None:
    """What both sides change is named, at the line of this side: an object is an error, a table a warning."""
    mine = repository.revision("003", "002", ADD_PHONE, DROP_PHONE)
    repository.commit()
    repository.git("switch", "--quiet", "main")
    repository.revision("00x", "002", theirs)
    repository.commit()
    repository.git("switch", "--quiet", "change")
    files = read_files(repository.environment)
    with opened_base(repository.environment, files, "main") as base:
        findings = check_history(files, base)
    assert sorted(one.code for one in findings) == expected
    for one in findings:
        assert one.location is not None
        if one.code != "merge-heads":
            assert (one.location.path, one.location.line) == (mine, line_of(mine))
            assert "00x" in one.message


async def test_the_same_revision_by_another_way(repository: Repository) -> None:
    """A revision that the base got by another commit, as of a squashed merge, is released and not a conflict."""
    path = repository.revision("003", "002", ADD_PHONE, DROP_PHONE)
    text = path.read_text()
    repository.revision("004", "003")
    repository.commit()
    repository.git("switch", "--quiet", "main")
    path.write_text(text)
    repository.commit("squashed")
    repository.git("switch", "--quiet", "change")
    assert new(repository, "main") == ["004"]
    assert found(repository) == []
    repository.edit(path, "sa.String(20)", "sa.String(21)")
    assert [code for code, _, _ in found(repository)] == ["released-edited"]


async def test_ledger(repository: Repository) -> None:
    """What the ledger lacks, and marks that a merge left in it, are findings."""
    files = read_files(repository.environment)
    assert check_lines(repository.environment, files) == ()
    repository.revision("003", "002")
    (finding,) = check_lines(repository.environment, read_files(repository.environment))
    assert finding.code == "ledger-missing"
    ledger = repository.root / "migrations" / "ledger"
    ledger.write_text(ledger.read_text() + "<<<<<<< HEAD\n")
    (finding,) = check_lines(repository.environment, files)
    assert (finding.code, finding.location and finding.location.line) == ("ledger-unreadable", 5)
