"""`tbcv migrate upgrade` and `stamp`: the way up, one step or all, alone or at the same time as somebody else."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.command_line import (
    CHAIN,
    HEAD,
    CommandLine,
    contents,
    execute,
    fetch,
    finish,
    interrupt,
    recorded,
    upgrade,
    write_environment,
    write_revision,
)


def test_the_way_up(tbcv: CommandLine) -> None:
    """Results go to stdout and steps to stderr; a second run has nothing to do; +n goes up by n."""
    assert tbcv.url is not None
    first = tbcv("upgrade", "-r", "+2")
    assert first.out.startswith("upgraded base → 002: 2 revisions in ")
    assert [line.split()[1] for line in first.err.splitlines()] == ["001", "002"]
    document = tbcv.document("upgrade", "--revision", "004+1")
    assert set(document) == {"schema", "kind", "database", "before", "after", "applied", "backup"}
    assert (document["kind"], document["before"], document["after"]) == ("upgrade", ["002"], ["005"])
    assert [set(step) for step in document["applied"]] == [{"revision", "message", "seconds"}] * 3
    assert [step["revision"] for step in document["applied"]] == ["003", "004", "005"]
    assert tbcv("upgrade").out.startswith(f"upgraded 005 → {HEAD}: 6 revisions in ")
    again = tbcv("upgrade")
    assert (again.out, again.err) == (f"nothing to do: the database is at {HEAD}\n", "")
    assert tbcv.document("upgrade", "-r", "heads")["applied"] == []
    assert recorded(tbcv.url) == [HEAD]


def test_where_an_upgrade_does_not_lead(tbcv: CommandLine) -> None:
    """Below, beyond, nowhere and nothing are refused in a line that names what was asked; nothing changes."""
    assert tbcv.url is not None
    upgrade(tbcv.url, "005")
    before = contents(tbcv.url)
    for target in ("base", "004", "002+1"):
        assert f"downgrade -r {target}" in tbcv.refused("upgrade", "-r", target)
    for target in ("+7", "zzz", "head+1"):
        assert target in tbcv.refused("upgrade", "-r", target)
    assert "empty" in tbcv.refused("upgrade", "-r", "", code=2)
    error = tbcv.document("upgrade", "-r", "zzz", code=3)
    assert set(error) == {"schema", "kind", "error"}
    assert (error["kind"], error["error"]["code"]) == ("error", "revision-not-found")
    assert contents(tbcv.url) == before


def test_stamp(tbcv: CommandLine) -> None:
    """A stamp records a revision, any revision of the chain, and runs nothing; its SQL does the same."""
    assert tbcv.url is not None
    document = tbcv.document("stamp", "004")
    assert set(document) == {"schema", "kind", "database", "before", "after", "applied", "backup"}
    assert (document["kind"], document["before"], document["after"]) == ("stamp", [], ["004"])
    assert tbcv("stamp", "head").out == f"recorded {HEAD}\n"
    script = tbcv("stamp", "002", "--sql").out
    assert recorded(tbcv.url) == [HEAD]
    execute(tbcv.url, script)
    assert recorded(tbcv.url) == ["002"]
    execute(tbcv.url, "INSERT INTO alembic_version VALUES ('feedbeef')")
    assert tbcv("stamp", "base").out == "recorded base\n"
    assert recorded(tbcv.url) == []
    assert tbcv.document("current")["state"] == "empty"
    for target in ("zzz", "+1"):
        assert target in tbcv.refused("stamp", target)
    assert "relative" in tbcv.refused("stamp", "--", "-1")
    assert "empty" in tbcv.refused("stamp", "", code=2)
    assert recorded(tbcv.url) == []


def test_two_at_once(tbcv: CommandLine) -> None:
    """Of two upgrades at the same moment both succeed, and each revision is applied by one of them."""
    assert tbcv.url is not None
    done = [finish(process) for process in (tbcv.start("upgrade"), tbcv.start("upgrade"))]
    assert [one.code for one in done] == [0, 0], done
    steps = [line.split()[1] for one in done for line in one.err.splitlines() if "✓" in line]
    assert steps == list(CHAIN)
    assert sorted(one.out.split(":")[0] for one in done) == ["nothing to do", f"upgraded base → {HEAD}"]
    assert recorded(tbcv.url) == [HEAD]


def test_two_relative_downgrades_at_once(tbcv: CommandLine) -> None:
    """Two that both said "one down" from the same place go one down: each means the revision that it named."""
    assert tbcv.url is not None
    upgrade(tbcv.url)
    words = ("downgrade", "-r", "-1", "--yes")
    done = [finish(process) for process in (tbcv.start(*words), tbcv.start(*words))]
    assert [one.code for one in done] == [0, 0], done
    # Whoever came late enough to see 010 meant 009; most often both saw 011.
    seen = ["reverts 010." in one.err for one in done]
    assert recorded(tbcv.url) == ["009" if any(seen) else "010"]


def test_ctrl_c_in_the_middle(tbcv: CommandLine, tmp_path: Path) -> None:
    """An interrupted revision is rolled back, the ones before it stay, and the process says so and exits with 130."""
    assert tbcv.url is not None
    started = tmp_path / "started"
    versions = tmp_path / "other/script/versions"
    ini = write_environment(tmp_path / "other")
    write_revision(versions, "a1", None, 'op.execute("CREATE TABLE kept (id integer)")')
    sleep = "SELECT 1" if tbcv.url.startswith("sqlite") else "SELECT pg_sleep(0.05)"
    body = f"""op.execute("CREATE TABLE lost (id integer)")
    Path({str(started)!r}).touch()
    for _ in range(1200):
        op.execute("INSERT INTO lost VALUES (1)")
        op.execute({sleep!r})
        time.sleep(0.02)"""
    write_revision(versions, "a2", "a1", body)
    done = interrupt(tbcv.start("-c", str(ini), "upgrade"), started)
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("tbcv: ")]) == 1
    assert recorded(tbcv.url) == ["a1"]
    tables = "sqlite_schema" if tbcv.url.startswith("sqlite") else "pg_tables"
    column = "name" if tbcv.url.startswith("sqlite") else "tablename"
    assert fetch(tbcv.url, f"SELECT {column} FROM {tables} WHERE {column} IN ('kept', 'lost')") == [{column: "kept"}]


def test_a_revision_that_fails(tbcv: CommandLine, tmp_path: Path) -> None:
    """What was applied before the failing revision stays; the error says which is which, in words and in JSON."""
    assert tbcv.url is not None
    versions = tmp_path / "other/script/versions"
    ini = str(write_environment(tmp_path / "other"))
    write_revision(versions, "a1", None, 'op.execute("CREATE TABLE kept (id integer)")')
    write_revision(
        versions, "a2", "a1", 'op.execute("CREATE TABLE lost (id integer)")\n    raise ValueError("oh\\nno")'
    )
    write_revision(versions, "a3", "a2")
    document = tbcv.document("-c", ini, "upgrade", code=3)
    error = document["error"]
    assert set(error) == {"code", "message", "hint", "applied", "failed", "remaining", "backup"}
    assert (error["code"], error["applied"], error["failed"], error["remaining"]) == (
        "upgrade-failed",
        ["a1"],
        "a2",
        ["a3"],
    )
    assert recorded(tbcv.url) == ["a1"]
    line = tbcv.refused("-c", ini, "upgrade")
    assert "a2" in line
    assert "rolled back: oh" in line
    tables = "sqlite_schema" if tbcv.url.startswith("sqlite") else "pg_tables"
    column = "name" if tbcv.url.startswith("sqlite") else "tablename"
    assert fetch(tbcv.url, f"SELECT {column} FROM {tables} WHERE {column} IN ('kept', 'lost')") == [{column: "kept"}]
