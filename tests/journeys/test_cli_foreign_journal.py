"""`-c` on somebody else's database: backups before a run, and a journal where one was asked for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from tests.journeys.command_line import (
    ROOT,
    CommandLine,
    Json,
    execute,
    fetch,
    recorded,
    write_environment,
    write_revision,
)
from tests.journeys.test_cli_environments import ASYNC

THINGS = 'op.create_table("things", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))'
MORE = 'op.create_table("more", sa.Column("id", sa.Integer, primary_key=True))'
DROP = 'op.drop_table("things")'
# What fails only where there are rows passes on the scratch database on which it is first tried out.
FAIL = 'if op.get_bind().execute(sa.text("SELECT 1 FROM kept")).first():\n        raise RuntimeError("no luck")'
KEPT = f'{THINGS}\n    op.create_table("kept", sa.Column("id", sa.Integer, primary_key=True))'
AUDIT = "CREATE TABLE audit_logs (id VARCHAR(36) PRIMARY KEY, what TEXT)"
ROWS = "SELECT id, name FROM things ORDER BY id"


@dataclass(frozen=True)
class Project:
    """An Alembic project of somebody else, whose ini file names its database.

    Attributes:
        tbcv: The command line; DATABASE_URL is not set.
        url: The database.
        directory: Where the project is.
    """

    tbcv: CommandLine
    url: str
    directory: Path

    @property
    def ini(self) -> str:
        """Its alembic.ini."""
        return str(self.directory / "alembic.ini")

    def write(self, name: str, body: str, down: str = "pass") -> None:
        """Write a revision on top of those that are there."""
        versions = self.directory / "script/versions"
        below = sorted(path.stem.removesuffix("_by_hand") for path in versions.glob("*.py"))
        write_revision(versions, name, below[-1] if below else None, body, down)

    def run(self, *words: str, code: int = 0) -> Json:
        """Run a command and return its document."""
        return self.tbcv.document("-c", self.ini, *words, code=code)

    def runs(self) -> list[Json]:
        """Return the journal, oldest first."""
        runs: list[Json] = self.run("history", "--applied")["runs"]
        return runs[::-1]

    def tables(self) -> set[str]:
        """Return the names of the tables."""
        query = (
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
            if self.url.startswith("sqlite")
            else "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        )
        return {row["name"] for row in fetch(self.url, query)}

    def follow(self, said: str) -> None:
        """Run the command that a line names, word for word."""
        named = re.search(r"`tbcv migrate (restore [^`]+)`", said)
        assert named, said
        self.tbcv(*shlex.split(named[1]), "--yes")


@pytest.fixture
def project(tbcv: CommandLine, tmp_path: Path) -> Project:
    """Return a project with one revision, which takes the connection that it is given."""
    url = str(tbcv.url)
    write_environment(tmp_path / "other one", url)
    made = Project(tbcv.at(None), url, tmp_path / "other one")
    made.write("a1", KEPT, f'{DROP}\n    op.drop_table("kept")')
    return made


def filled(project: Project, *words: str) -> Project:
    """Bring a project to its head and put rows in."""
    project.run("upgrade", *words)
    execute(project.url, "INSERT INTO things VALUES (1, 'one'), (2, 'two'); INSERT INTO kept VALUES (1)")
    return project


def test_a_failed_run_names_the_way_back(project: Project) -> None:
    """The command of the error, as it is printed, brings back what an earlier revision of the run has dropped."""
    rows = fetch(filled(project).url, ROWS)
    project.write("a2", DROP, THINGS)
    project.write("a3", FAIL)
    failed = project.tbcv("-c", project.ini, "upgrade", code=3)
    assert "revision a3" in failed.err
    assert "applied before it: a2;" in failed.err
    assert "no luck" in failed.err
    assert "things" not in project.tables()
    project.follow(failed.err.splitlines()[-1])
    assert fetch(project.url, ROWS) == rows
    assert recorded(project.url) == ["a1"]


def test_a_run_names_its_backup(project: Project) -> None:
    """So it is after a run that ended well, and with a database that the command line names; no password is shown."""
    rows = fetch(filled(project).url, ROWS)
    project.write("a2", DROP, THINGS)
    other = project.tbcv.at("sqlite:////no/such/place/at.db")
    url = make_url(project.url)
    given = project.url if url.password is None else url.render_as_string(hide_password=False)
    done = other("upgrade", "-c", project.ini, "--database-url", given)
    line = next(line for line in done.err.splitlines() if "brings it back" in line)
    assert "--database-url" in line
    project.follow(line)
    assert fetch(project.url, ROWS) == rows


def test_a_password_is_not_shown(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Where no backup has that name, the command that lists them is named without the password."""
    ini = write_environment(tmp_path / "other")
    url = "postgresql://me:hidden@db.example.com/x"
    said = on_sqlite.refused("restore", "-c", str(ini), "--database-url", url, "20260101T000000Z-0000-a1")
    assert "hidden" not in said
    assert f"`tbcv migrate backups -c {ini} --database-url 'postgresql://me:***@db.example.com/x'`" in said


def test_one_transaction_for_all(project: Project) -> None:
    """Where env.py puts a whole run into one transaction, error and journal tell what was rolled back with it."""
    (project.directory / "script/env.py").write_text(ASYNC, encoding="utf-8")
    rows = fetch(filled(project, "--journal").url, ROWS)
    project.write("a2", DROP, THINGS)
    project.write("a3", FAIL)
    project.write("a4", MORE)
    error = project.run("upgrade", code=3)["error"]
    together = not project.url.startswith("sqlite")
    assert error["failed"] == "a3"
    assert (error["applied"], error["remaining"]) == (([], ["a2", "a4"]) if together else (["a2"], ["a4"]))
    assert ("rolled back with it: a2;" in error["message"]) == together
    last = project.runs()[-1]
    assert ([one["revision"] for one in last["steps"]], last["after"]) == (
        ([], ["a1"]) if together else (["a2"], ["a2"])
    )
    project.follow(error["hint"])
    assert fetch(project.url, ROWS) == rows


def test_backups_can_be_turned_off(project: Project) -> None:
    """`TBCV_BACKUP=false` holds with `-c` too; a backup by hand can be had and brought back."""
    rows = fetch(filled(project).url, ROWS)
    by_hand = project.run("backup")["id"]
    project.write("a2", DROP, THINGS)
    without = Project(project.tbcv.having(TBCV_BACKUP="false"), project.url, project.directory)
    assert without.run("upgrade")["backup"] is None
    assert [one["id"] for one in project.run("backups")["backups"]] == [by_hand]
    project.run("restore", by_hand, "--yes")
    assert fetch(project.url, ROWS) == rows


def test_no_journal_unless_asked_for(project: Project) -> None:
    """Runs leave no table behind, and a table that is named audit_logs is not written to."""
    execute(project.url, AUDIT)
    project.run("stamp", "base")
    project.write("a2", MORE, 'op.drop_table("more")')
    execute(project.url, "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE kept (id INTEGER)")
    project.run("stamp", "a1")
    project.run("upgrade")
    project.run("downgrade", "-r", "a1", "--yes")
    assert project.runs() == []
    assert project.tables() == {"alembic_version", "audit_logs", "kept", "things"}
    assert fetch(project.url, "SELECT * FROM audit_logs") == []


def test_a_journal_of_every_run(project: Project) -> None:
    """Once it was begun every run is in it, with its backup: done, failed and refused; the schema is the same."""
    head = project.run("upgrade", "--journal")
    fingerprint = project.tbcv("-c", project.ini, "snapshot", "--fingerprint").out
    execute(project.url, AUDIT)
    execute(project.url, "INSERT INTO things VALUES (1, 'one'); INSERT INTO kept VALUES (1)")
    project.write("a2", DROP, THINGS)
    dropped = project.run("upgrade")
    project.write("a3", FAIL)
    failed = project.run("upgrade", code=3)["error"]
    (project.directory / "script/versions/a3_by_hand.py").unlink()
    (project.directory / "script/versions/a2_by_hand.py").unlink()
    refused = project.run("upgrade", code=3)["error"]
    runs = project.runs()
    assert [(one["direction"], one["ended"], one["before"], one["after"]) for one in runs] == [
        ("upgrade", "done", [], ["a1"]),
        ("upgrade", "done", ["a1"], ["a2"]),
        ("upgrade", "failed", ["a2"], ["a2"]),
        ("upgrade", "refused", ["a2"], ["a2"]),
    ]
    assert head["after"] == ["a1"]
    assert [one["backup"] for one in runs] == [None, dropped["backup"], failed["backup"] or None, None]
    assert dropped["backup"]
    assert [[step["revision"] for step in one["steps"]] for one in runs] == [["a1"], ["a2"], [], []]
    assert runs[2]["reason"].startswith(failed["message"][:40])
    assert (refused["code"], runs[3]["reason"][:40]) == ("database-ahead", refused["message"][:40])
    assert {one["who"] != "" and one["host"] != "" and one["version"] != "" for one in runs} == {True}
    assert fetch(project.url, "SELECT * FROM audit_logs") == []
    shown = project.tbcv("-c", project.ini, "history", "--applied").out
    assert dropped["backup"] in shown
    assert "tbcv_journal" not in project.tbcv("-c", project.ini, "snapshot").out
    execute(project.url, "DROP TABLE audit_logs")
    project.write("a2", DROP, THINGS)
    project.run("downgrade", "-r", "a1", "--yes")
    assert project.tbcv("-c", project.ini, "snapshot", "--fingerprint").out == fingerprint
    assert project.run("diff", "--against", "a1")["unmanaged"] == []


def test_a_journal_is_in_nobodys_way(project: Project) -> None:
    """A database that has only the journal is empty; one that is adopted is compared without it."""
    project.run("upgrade", "--journal")
    project.run("downgrade", "-r", "base", "--yes")
    assert project.run("current")["state"] == "empty"
    project.run("upgrade")
    execute(project.url, "DROP TABLE alembic_version")
    assert project.run("current")["state"] == "unversioned"
    assert project.run("adopt", "--yes")["after"] == ["a1"]
    assert [one["direction"] for one in project.runs()] == ["upgrade", "downgrade", "upgrade", "adopt"]
    project.run("stamp", "base", "--journal")
    assert project.runs()[-1]["direction"] == "stamp"


def test_a_table_of_that_name(project: Project) -> None:
    """A table that is named like the journal and is none is neither written to nor made over."""
    execute(project.url, "CREATE TABLE tbcv_journal (id INTEGER)")
    said = project.tbcv.refused("-c", project.ini, "upgrade", "--journal")
    assert "tbcv_journal" in said
    assert project.run("upgrade")["after"] == ["a1"]
    assert fetch(project.url, "SELECT * FROM tbcv_journal") == []


def test_marks_of_another_project(project: Project) -> None:
    """With a ledger and a journal, an older release of the project learns on what it may run."""
    (project.directory / "script/env.py").write_text(ASYNC, encoding="utf-8")
    project.write("a2", 'op.add_column("things", sa.Column("size", sa.Integer))', 'op.drop_column("things", "size")')
    project.tbcv("-c", project.ini, "ledger", "--write")
    project.run("upgrade", "--journal")
    versions = project.directory / "script/versions"
    (versions / "a2_by_hand.py").rename(project.directory / "a2.py")
    seen = project.run("current")
    assert (seen["state"], seen["above"], seen["blocking"]) == ("ahead", ["a2"], [])
    assert project.run("upgrade")["applied"] == []
    (project.directory / "a2.py").rename(versions / "a2_by_hand.py")
    project.run("downgrade", "-r", "a1", "--yes")
    project.run("stamp", "a2")
    (versions / "a2_by_hand.py").unlink()
    assert project.run("current")["blocking"] == ["a2"]


def test_not_for_tbcv_itself(on_sqlite: CommandLine) -> None:
    """Tbcv's own database gets no other table beside alembic_version; its journal names the backup too."""
    assert "audit_logs" in on_sqlite.refused("upgrade", "--journal", code=2)
    assert "audit_logs" in on_sqlite.refused("upgrade", "--journal", "-c", str(ROOT / "alembic.ini"), code=2)
    on_sqlite("upgrade", "-r", "010", "-c", str(ROOT / "alembic.ini"))
    done = on_sqlite.document("upgrade")
    newest = on_sqlite.document("history", "--applied")["runs"][0]
    assert (newest["after"], newest["backup"]) == (["011"], done["backup"])
    assert done["backup"] in on_sqlite("history", "--applied").out


@pytest.mark.parametrize("template", ["generic", "async"])
def test_an_environment_that_connects_by_itself(tbcv: CommandLine, tmp_path: Path, template: str) -> None:
    """An env.py as `alembic init` writes it works too, and one line says what does not hold there."""
    directory = tmp_path / "plain"
    directory.mkdir()
    initialise(directory, str(tbcv.url), template)
    project = Project(tbcv.at(None), str(tbcv.url), directory)
    project.write("a1", KEPT, f'{DROP}\n    op.drop_table("kept")')
    done = project.tbcv("-c", project.ini, "upgrade", "--journal")
    assert sum("connects by itself" in line for line in done.err.splitlines()) == 1
    execute(project.url, "INSERT INTO things VALUES (1, 'one'); INSERT INTO kept VALUES (1)")
    rows = fetch(project.url, ROWS)
    project.write("a2", DROP, THINGS)
    project.write("a3", f"{MORE}\n    {FAIL}")
    failed = project.tbcv("-c", project.ini, "upgrade", code=3)
    assert "revision a3" in failed.err
    assert "never awaited" not in failed.err
    project.follow(failed.err.splitlines()[-1])
    assert fetch(project.url, ROWS) == rows
    assert [one["ended"] for one in project.runs()][:1] == ["done"]
    down = project.run("downgrade", "-r", "base", "--yes")
    assert [one["table"] for one in down["losses"]] == ["kept", "things"]


def test_an_environment_with_another_database_in_mind(tbcv: CommandLine, tmp_path: Path) -> None:
    """An env.py that connects to a database of its own choice is stopped before a revision runs there."""
    directory = tmp_path / "plain"
    directory.mkdir()
    initialise(directory, "", "async")
    env = directory / "script/env.py"
    wrong = f"sqlite+aiosqlite:///{tmp_path}/wrong.db"
    env.write_text(
        env.read_text().replace("config.get_section(config.config_ini_section, {})", repr({"sqlalchemy.url": wrong}))
    )
    project = Project(tbcv, str(tbcv.url), directory)
    project.write("a1", THINGS, DROP)
    said = project.run("upgrade", code=3)["error"]
    assert said["code"] == "connects-elsewhere"
    right = Project(tbcv.at(wrong), wrong, directory)
    assert right.run("upgrade")["after"] == ["a1"]
    right.write("a2", DROP)
    refused = right.run("plan", code=3)["error"]
    assert refused["code"] == "connects-elsewhere"
    assert recorded(wrong) == ["a1"]


def initialise(directory: Path, url: str, template: str) -> None:
    """Make an environment as Alembic does."""
    config = Config(str(directory / "alembic.ini"))
    config.messaging_opts = {"quiet": True}
    command.init(config, str(directory / "script"), template=template)
    ini = (directory / "alembic.ini").read_text()
    (directory / "alembic.ini").write_text(
        re.sub("^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}", ini, flags=re.MULTILINE)
    )
