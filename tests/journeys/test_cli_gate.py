"""`tbcv migrate check` and `rebase` as a reviewer, a hook and a workflow meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gate.changes import DROP_EMAIL, EMAIL, NO_PHONE, PHONE
from tests.gate.repository import HERE, Repository, line_of, new_repository
from tests.journeys.command_line import CommandLine

CUSTOMERS = """
op.create_table(
    "customers",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("email", sa.String(80)),
)
"""
FILE = "migrations/versions/003_revision.py"
FEW = ("--rows", "50")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a project with a released revision, on a branch of its own."""
    made = new_repository(tmp_path / "project")
    made.revision("002", None, CUSTOMERS, 'op.drop_table("customers")')
    made.commit("released")
    made.branch()
    return made


@pytest.fixture
def tbcv(repository: Repository, postgres_admin_url: str) -> CommandLine:
    """Return the command line in the project's directory; no database is named anywhere."""
    return CommandLine(None, postgres_admin_url, repository.root)


def test_a_change_that_passes(tbcv: CommandLine, repository: Repository) -> None:
    """What is new is tried on both engines, committed or not, and exit code 0 says that nothing blocks."""
    assert "new       no revision" in tbcv("-c", "alembic.ini", "check").out
    repository.revision("003", "002", PHONE, NO_PHONE)
    said = tbcv("-c", "alembic.ini", "check", *FEW).out
    assert "new       003  Revision 003." in said
    assert "tried on  sqlite, postgresql" in said
    assert "passed in" in said
    assert "Upgrade the database first" in said
    assert repository.git("status", "--porcelain") == f"?? {FILE}"


def test_a_change_that_is_blocked(tbcv: CommandLine, repository: Repository) -> None:
    """Every format says the same: code, file, line; the exit code is 1."""
    path = repository.revision("003", "002", DROP_EMAIL, EMAIL)
    line = line_of(path, HERE)
    options = ("-c", "alembic.ini", "check", "--dialect", "sqlite", *FEW)
    done = tbcv(*options, code=1)
    assert done.err == ""
    assert f"error data-loss  {FILE}:{line}" in done.out
    assert "ALTER TABLE customers DROP COLUMN email" in done.out
    document = tbcv.document(*options, code=1)
    assert (document["kind"], document["passed"], document["dialects"]) == ("check", False, ["sqlite"])
    assert {(one["file"], one["line"]) for one in document["findings"]} == {(FILE, line)}
    (revision,) = document["revisions"]
    assert revision["engines"]["sqlite"]["compatibility"] == "needs-new-code-first"
    assert [one["sql"] for one in revision["engines"]["sqlite"]["upgrade"]] == [
        "ALTER TABLE customers DROP COLUMN email"
    ]
    summary = repository.root / "summary.md"
    summary.write_text("before\n")
    files = [repository.root.parent / name for name in ("a.sarif", "b.md", "c.json")]
    outputs = [word for file in files for word in ("--output", str(file))]
    workflow = tbcv.having(GITHUB_STEP_SUMMARY=str(summary))(*options, "--format", "github", *outputs, code=1)
    assert f"::error file={FILE},line={line},title=data-loss::" in workflow.out
    assert summary.read_text().startswith("before\n<!--")
    log, text, body = (file.read_text() for file in files)
    assert {one["ruleId"] for one in json.loads(log)["runs"][0]["results"]} >= {"data-loss", "irreversible"}
    assert "## Schema gate: blocked" in text
    assert json.loads(body)["kind"] == "check"
    assert json.loads(tbcv(*options, "--format", "sarif", code=1).out)["version"] == "2.1.0"
    as_json = str(repository.root.parent / "log.json")
    shown = tbcv(*options, "--format", "sarif", "--output", as_json, code=1).out
    assert "blocked by" in shown
    assert json.loads(Path(as_json).read_text())["version"] == "2.1.0"


def test_what_cannot_be_asked(tbcv: CommandLine, repository: Repository) -> None:
    """A base that is nothing, a format that nobody knows and a file that cannot be written are errors of usage."""
    assert "fetch" not in tbcv.refused("-c", "alembic.ini", "check", "--base", "nowhere", code=2)
    assert "--format" in tbcv.refused("-c", "alembic.ini", "check", "--output", "report.txt", code=2)
    assert "nowhere" in tbcv.refused("-c", "alembic.ini", "check", "--output", "nowhere/report.md", code=2)
    tbcv.refused("-c", "alembic.ini", "check", "--dialect", "oracle", code=2)
    tbcv.refused("-c", "alembic.ini", "check", "--rows", "0", code=2)
    document = json.loads(tbcv("-c", "alembic.ini", "check", "--base", "nowhere", "--json", code=2).out)
    assert document["error"]["code"] == "configuration"


def test_the_engine_of_the_project(tbcv: CommandLine, repository: Repository) -> None:
    """A project whose ini names an engine is tried on that one, and nothing is written where it points."""
    ini = repository.root / "alembic.ini"
    ini.write_text(ini.read_text() + "sqlalchemy.url = sqlite:///%(here)s/real.db\n")
    repository.revision("003", "002", PHONE, NO_PHONE)
    assert tbcv.document("-c", "alembic.ini", "check", *FEW)["dialects"] == ["sqlite"]
    assert not (repository.root / "real.db").exists()


def test_an_engine_on_which_the_project_does_not_run(tbcv: CommandLine, repository: Repository) -> None:
    """Unless it was asked for, such an engine is passed over and said so; asked for, it is a failure."""
    path = repository.versions / "002_revision.py"
    repository.edit(
        path, "def upgrade() -> None:\n", 'def upgrade() -> None:\n    op.execute("CREATE TYPE t AS ENUM ()")\n'
    )
    repository.commit()
    repository.revision("003", "002", PHONE, NO_PHONE)
    document = tbcv.document("-c", "alembic.ini", "check", "--base", "HEAD", *FEW)
    skipped = {one["name"]: one["skipped"] for one in document["parts"] if one["skipped"]}
    assert {"rehearsal on sqlite", "compatibility on sqlite"} <= skipped.keys()
    assert set(document["revisions"][0]["engines"]) == {"postgresql"}
    assert "002_revision.py" in tbcv.refused("-c", "alembic.ini", "check", "--base", "HEAD", "--dialect", "sqlite")


def test_kept_databases(tbcv: CommandLine, repository: Repository, tmp_path: Path) -> None:
    """What was released is built once; a kept database that is damaged is built again."""
    for number in range(3, 20):
        repository.revision(
            f"{number:03}", f"{number - 1:03}", f'op.create_table("t{number}", sa.Column("a", sa.Text()))'
        )
    repository.commit()
    repository.revision("new", "019", PHONE, NO_PHONE)
    cached = tbcv.having(TBCV_CACHE_DIRECTORY=str(tmp_path / "cache"))
    options = ("-c", "alembic.ini", "check", "--base", "HEAD", *FEW)
    first = cached.document(*options)
    kept = sorted((tmp_path / "cache" / "gate").iterdir())
    assert {path.suffix for path in kept} == {".postgresql", ".sqlite"}
    again = cached.document(*options)
    for path in kept:
        path.write_bytes(b"nonsense")
    damaged = cached.document(*options)
    for other in (again, damaged):
        assert [one["passed"] for one in (first, other)] == [True, True]
        assert other["revisions"][0]["engines"].keys() == first["revisions"][0]["engines"].keys()


def test_rebase(tbcv: CommandLine, repository: Repository) -> None:
    """A branch's revisions are moved, said in words or as a document, and then there is nothing to do."""
    repository.git("switch", "--quiet", "main")
    repository.revision("00x", "002")
    repository.commit()
    repository.git("switch", "--quiet", "change")
    repository.revision("003", "002", PHONE, NO_PHONE)
    assert "git merge main" in tbcv.refused("-c", "alembic.ini", "rebase")
    repository.git("merge", "--quiet", "main")
    assert [
        one["code"] for one in tbcv.document("-c", "alembic.ini", "check", "--dialect", "sqlite", code=1)["findings"]
    ] == ["multiple-heads"]
    document = tbcv.document("-c", "alembic.ini", "rebase")
    assert [(one["revision"], one["after"]) for one in document["moved"]] == [("003", ["00x"])]
    assert tbcv("-c", "alembic.ini", "rebase").out == "nothing to do: your revisions follow 00x already\n"
    assert tbcv.document("-c", "alembic.ini", "check", "--dialect", "sqlite", *FEW)["passed"]


def test_what_others_warn_of(tbcv: CommandLine, repository: Repository) -> None:
    """What an env.py or a library warns of stands nowhere among what the gate says."""
    env = repository.root / "migrations" / "env.py"
    env.write_text(f"import warnings\n\nwarnings.warn('an old habit')\n{env.read_text()}")
    repository.revision("003", "002", PHONE, NO_PHONE)
    done = tbcv("-c", "alembic.ini", "check", "--dialect", "sqlite", *FEW)
    assert "passed in" in done.out
    assert done.err == ""
