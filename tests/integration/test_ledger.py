"""The ledger: what it says about a chain, and what is found when it and the revision files part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.errors import BrokenHistoryError
from tbcv.findings import Finding
from tbcv.migrate.history import read_history
from tbcv.migrate.ledger import Entry, check_ledger, ledger_path, proven_head, read_ledger, short, write_ledger
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.runner import MigrationRunner
from tests.integration.synthetic import FIRST, SECOND, environment, revision, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def chain(tmp_path: Path, postgres_admin_url: str) -> AlembicEnvironment:
    """Make a chain of two revisions with a ledger."""
    made = environment(tmp_path, FIRST, SECOND)
    await write(made, postgres_admin_url)
    return made


def findings(chain: AlembicEnvironment) -> list[Finding]:
    """Compare the ledger with the files."""
    return list(check_ledger(chain, read_history(chain)))


def codes(chain: AlembicEnvironment) -> list[tuple[str, str | None]]:
    """Return code and revision of each finding."""
    return [(one.code, one.revision) for one in findings(chain)]


def file(chain: AlembicEnvironment, name: str) -> Path:
    """Return the file of a revision."""
    return chain.version_directories[0] / f"{name}_revision.py"


def proven(chain: AlembicEnvironment) -> list[bool]:
    """Tell for each engine whether a fresh database may be built from the models."""
    return [proven_head(chain, read_history(chain), one) is not None for one in ("sqlite", "postgresql")]


async def test_measured_ledger_is_clean(chain: AlembicEnvironment, database_url: str) -> None:
    """A ledger that was just written agrees with the files, and with the schema of a database at each revision."""
    assert findings(chain) == []
    assert proven(chain) == [True, True]
    runner = MigrationRunner(parse_database_url(database_url), chain)
    for entry in read_ledger(chain).values():
        await runner.upgrade(entry.id)
        snapshot = await runner.snapshot()
        assert entry.fingerprints[snapshot.dialect] == short(snapshot.fingerprint)
        assert not entry.leaves_rows


async def test_rows_are_noted_until_they_are_gone(tmp_path: Path, postgres_admin_url: str) -> None:
    """The ledger notes after which revisions the chain leaves rows, on whichever engine."""
    insert = 'op.execute("INSERT INTO orders (id) VALUES (1)")\n'
    only_sqlite = f"if op.get_bind().dialect.name == 'sqlite':\n    {insert}"
    chain = environment(tmp_path, FIRST, only_sqlite, SECOND, "op.execute('DELETE FROM orders')\n")
    await write(chain, postgres_admin_url)
    assert [entry.leaves_rows for entry in read_ledger(chain).values()] == [False, True, True, False]


async def test_missing_entry_is_found(chain: AlembicEnvironment) -> None:
    """A revision file of which the ledger says nothing is a finding at that file."""
    path = revision(chain.version_directories[0], "003", "002", "pass")
    [finding] = findings(chain)
    assert (finding.code, finding.revision) == ("ledger-missing", "003")
    assert finding.location is not None
    assert finding.location.path == path
    assert proven(chain) == [False, False]


async def test_ledger_that_is_not_there_misses_all(tmp_path: Path) -> None:
    """Without a ledger every revision is missing from it."""
    assert codes(environment(tmp_path, FIRST, SECOND)) == [("ledger-missing", "001"), ("ledger-missing", "002")]


async def test_edited_file_is_found(chain: AlembicEnvironment) -> None:
    """A file that means something else than when its entry was written is a finding."""
    path = file(chain, "001")
    path.write_text(path.read_text(encoding="utf-8").replace("String(10)", "String(11)"), encoding="utf-8")
    assert codes(chain) == [("ledger-checksum", "001")]
    assert proven(chain) == [False, False]


async def test_comment_and_line_ends_are_no_finding(chain: AlembicEnvironment) -> None:
    """A file with another comment, another docstring and other line ends means the same."""
    path = file(chain, "001")
    source = "# new\n" + path.read_text(encoding="utf-8").replace("Revision 001.", "The first one.")
    path.write_bytes(source.replace("\n", "\r\n").encode())
    assert codes(chain) == []
    assert proven(chain) == [True, True]


async def test_other_parent_is_found(chain: AlembicEnvironment) -> None:
    """An entry whose parent is not that of the file is a finding."""
    first, second = read_ledger(chain).values()
    write_ledger(chain, [first, Entry(second.id, (), second.checksum, second.fingerprints, leaves_rows=False)])
    assert codes(chain) == [("ledger-parent", "002")]


async def test_file_moved_to_another_parent_is_found(chain: AlembicEnvironment) -> None:
    """A file that follows another revision than before is found, as edited and as moved."""
    path = revision(chain.version_directories[0], "000", "001", "pass")
    second = file(chain, "002")
    second.write_text(second.read_text(encoding="utf-8").replace("'001'", "'000'"), encoding="utf-8")
    assert path.exists()
    assert codes(chain) == [("ledger-missing", "000"), ("ledger-checksum", "002"), ("ledger-parent", "002")]


async def test_entry_without_a_file_is_found(chain: AlembicEnvironment) -> None:
    """An entry of a revision that has no file is a finding at the ledger."""
    file(chain, "002").unlink()
    [finding] = findings(chain)
    assert (finding.code, finding.revision) == ("ledger-unknown", "002")
    assert finding.location is not None
    assert finding.location.path == ledger_path(chain)
    assert proven(chain) == [False, False]


async def test_other_order_is_found(chain: AlembicEnvironment) -> None:
    """Entries that do not stand in the order of the chain are a finding."""
    write_ledger(chain, reversed(read_ledger(chain).values()))
    assert codes(chain) == [("ledger-order", None)]


async def test_revision_that_stands_twice_is_refused(chain: AlembicEnvironment) -> None:
    """A ledger with two lines for one revision, as after a careless merge, is refused."""
    path = ledger_path(chain)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[-1]]), encoding="utf-8")
    with pytest.raises(BrokenHistoryError, match="line 5 of ledger"):
        read_ledger(chain)


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", "001 - abc", "001 - a b c empty maybe", "001 - a b c some -"])
async def test_broken_line_is_refused(chain: AlembicEnvironment, line: str) -> None:
    """A line that is no entry, as after a merge that left its marks, is refused with its number."""
    with ledger_path(chain).open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(BrokenHistoryError, match="line 5 of ledger"):
        read_ledger(chain)


async def test_ledger_is_read_as_it_was_written(chain: AlembicEnvironment) -> None:
    """What is written is read again, marks and engines that are not known included, and writing leaves nothing else."""
    entries = [
        Entry("001", (), "a" * 32, {"sqlite": "b" * 32}, leaves_rows=False, additive=True),
        Entry("002", ("001",), "c" * 32, {"postgresql": "d" * 32}, leaves_rows=True, additive=False),
        Entry("003", ("001", "002"), "e" * 32, {}, leaves_rows=False),
    ]
    before = sorted(chain.directory.iterdir())
    write_ledger(chain, entries)
    assert list(read_ledger(chain).values()) == entries
    assert sorted(chain.directory.iterdir()) == before


async def test_command_tells_what_is_wrong(chain: AlembicEnvironment) -> None:
    """`tbcv migrate ledger` ends with 0 where all agrees, and with 1 and the finding's code where it does not."""
    command = [sys.executable, "-m", "tbcv", "migrate", "ledger", "-c", str(chain.config_file)]
    clean = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (clean.returncode, clean.stderr) == (0, "")
    file(chain, "002").unlink()
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "ledger-unknown" in wrong.stdout + wrong.stderr
