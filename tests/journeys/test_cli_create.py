"""`tbcv migrate create`, `check` and `merge`: revisions out of changed models, proven before they are written."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.journeys.command_line import (
    HEAD,
    CommandLine,
    bytes_of,
    copy_checkout,
    recorded,
    upgrade,
    write_environment,
    write_revision,
)

# ruff: noqa: E501  # the text of the models
GROWN = (
    (
        "error_message: Mapped[str | None] = mapped_column(Text)\n    created_at",
        "error_message: Mapped[str | None] = mapped_column(Text)\n    owner: Mapped[str | None] = mapped_column(String(80))\n    created_at",
    ),
    (
        "@dataclass(frozen=True, slots=True)\nclass Initialization",
        'class Tag(Base):\n    __tablename__ = "tags"\n\n    id: Mapped[int] = mapped_column(primary_key=True)\n    workflow_id: Mapped[str] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"), index=True)\n\n\n@dataclass(frozen=True, slots=True)\nclass Initialization',
    ),
    (
        '        Index("idx_workflows_type_state", "type", "state"),\n',
        "",
    ),
)
STRICTER = (
    (
        'CheckConstraint("step_number >= 0", name="step_number_range"),',
        'CheckConstraint("step_number >= 0", name="step_number_range"),\n        CheckConstraint("length(name) > 0", name="name_given"),',
    ),
    (
        "name: Mapped[str] = mapped_column(String(100))\n    step_number",
        "name: Mapped[str] = mapped_column(String(200))\n    step_number",
    ),
    (
        "validation_hash: Mapped[str | None] = mapped_column(String(32))",
        "validation_hash: Mapped[str] = mapped_column(String(32))",
    ),
)


ONLY_GIVEN = """
import sqlalchemy as sa
from alembic import context

metadata = sa.MetaData()
sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True))
if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
"""


def change_models(root: Path, changes: tuple[tuple[str, str], ...]) -> None:
    """Edit the models of a copied checkout."""
    models = root / "tbcv/core/database.py"
    text = models.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    models.write_text(text, encoding="utf-8")


def test_out_of_changed_models(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Models that grow and then get stricter give revisions that both engines accept, and nobody's data is opened."""
    upgrade(str(on_sqlite.url), "004")
    before = bytes_of(str(on_sqlite.url))
    root = copy_checkout(tmp_path / "copy")
    tbcv = on_sqlite.within(root, edited=True)
    change_models(root, GROWN)
    drift = tbcv("check", code=1)
    assert drift.err == ""
    assert "sqlite: " in drift.out
    assert "postgresql: " in drift.out
    assert "tags" in drift.out
    changes = tbcv.document("check", code=1)
    assert (changes["kind"], changes["passed"]) == ("check", False)
    assert {one["code"] for one in changes["findings"]} == {"models-drift"}
    assert set(changes["changes"]) == {"sqlite", "postgresql"}
    files = sorted((root / "migrations").rglob("*.py"))
    shown = tbcv("create", "grow", "--sql")
    assert [line for line in shown.out.splitlines() if line.startswith("-- ") and " on " in line] == [
        "-- upgrade on sqlite",
        "-- upgrade on postgresql",
        "-- downgrade on sqlite",
        "-- downgrade on postgresql",
    ]
    assert shown.out.count("CREATE TABLE tags") == 2
    assert sorted((root / "migrations").rglob("*.py")) == files
    created = tbcv.document("create", "grow")
    told = {"revision", "path", "tried_on", "upgrade_sql", "downgrade_sql", "findings"}
    assert set(created) == {"schema", "kind", *told}
    assert {one["severity"] for one in created["findings"]} <= {"warning"}
    assert created["kind"] == "create"
    assert created["tried_on"] == ["sqlite", "postgresql"]
    text = Path(created["path"]).read_text(encoding="utf-8")
    assert f"down_revision = '{HEAD}'" in text.replace('"', "'")
    assert tbcv("check").out.count("the models agree with the migrations") == 2
    change_models(root, STRICTER)
    said = tbcv("create", "be stricter").out
    assert said.startswith("created ")
    assert "run up, down and up on sqlite and postgresql" in said
    # The schema lets the new NOT NULL and the new CHECK meet rows that they refuse.
    line = next(one for one in said.splitlines() if one.startswith("error fails-on-existing-data  "))
    file, number = line.rpartition("  ")[2].split(":")
    (path,) = (root / "migrations/versions").glob(file)
    assert "op.batch_alter_table(" in path.read_text(encoding="utf-8").splitlines()[int(number) - 1]
    nothing = tbcv("create", "nothing")
    assert nothing.out == "no changes: the models agree with the head; nothing was written\n"
    assert tbcv.document("create", "nothing")["revision"] is None
    assert len(list((root / "migrations").rglob("*.py"))) == len(files) + 2
    assert tbcv.document("ledger")["findings"] == []
    assert bytes_of(str(on_sqlite.url)) == before
    assert tbcv.document("upgrade")["after"] == [tbcv.document("heads")["revisions"][0]["revision"]]


def test_an_environment_that_cannot_be_rehearsed(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Where env.py runs on a given connection only, the revision is created all the same, and that is said."""
    ini = write_environment(tmp_path / "other")
    env = tmp_path / "other/script/env.py"
    env.write_text(ONLY_GIVEN, encoding="utf-8")
    done = on_sqlite("-c", str(ini), "create", "a table")
    assert done.out.startswith("created ")
    assert "not rehearsed on sqlite: " in done.err
    assert "not rehearsed on postgresql: " in done.err
    assert len(list((tmp_path / "other/script/versions").glob("*_a_table.py"))) == 1


def test_messages(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Whatever is typed as a message, the file is Python, carries it as its docstring, and stays in its directory."""
    ini = str(write_environment(tmp_path / "other"))
    versions = tmp_path / "other/script/versions"
    for message in (
        "say \"no\" and 'yes'",
        '""" + exit(1) + """',
        "two\nlines \\",
        "../../etc/passwd ${1} <% x %> %s {y}",
        "数据库 \N{HONEYBEE}\u200b",
        "x" * 300,
    ):
        before = set(versions.iterdir())
        created = on_sqlite.document("-c", ini, "create", message, "--no-autogenerate")
        path = Path(created["path"])
        assert set(versions.iterdir()) - before == {path}
        assert path.parent == versions
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc is not None
        assert doc.splitlines()[0]
        assert on_sqlite.document("-c", ini, "heads")["revisions"][0]["revision"] == created["revision"]
    history = on_sqlite.document("-c", ini, "history")["revisions"]
    assert len(history) == 6
    assert history[0]["message"] == "x" * 300
    partial = history[2]["revision"][:6]
    assert on_sqlite.document("-c", ini, "upgrade", "-r", partial)["after"] == [history[2]["revision"]]
    for message in ("", " \n\t", "\x00"[:0] + "\u200b"):
        assert "empty" in on_sqlite.refused("-c", ini, "create", message, code=2)


def test_heads_and_their_merge(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Two heads are refused wherever one is needed, each can be named, and a merge joins them."""
    ini = str(write_environment(tmp_path / "other"))
    versions = tmp_path / "other/script/versions"
    for name, parent in (("aaaa01", None), ("bbbb01", "aaaa01"), ("bbbb02", "aaaa01")):
        write_revision(
            versions,
            name,
            parent,
            f'op.execute("CREATE TABLE t{name} (id integer)")',
            f'op.execute("DROP TABLE t{name}")',
        )
    for words in (["upgrade"], ["create", "more"], ["upgrade", "-r", "bbbb"], ["stamp", "head"]):
        line = on_sqlite.refused("-c", ini, *words)
        assert "bbbb01" in line
        assert "bbbb02" in line
    assert on_sqlite.document("-c", ini, "upgrade", "-r", "heads")["after"] == ["bbbb01", "bbbb02"]
    assert on_sqlite.document("-c", ini, "current")["state"] == "at-head"
    assert "nothing to merge" in on_sqlite.refused("-c", ini, "merge", "bbbb01")
    assert "zzz" in on_sqlite.refused("-c", ini, "merge", "bbbb01", "zzz")
    merged = on_sqlite.document("-c", ini, "merge", "-m", 'join "both"')
    assert set(merged) == {"schema", "kind", "path"}
    (head,) = on_sqlite.document("-c", ini, "heads")["revisions"]
    assert (head["parents"], head["message"]) == (["bbbb01", "bbbb02"], "join 'both'")
    assert on_sqlite.document("-c", ini, "upgrade")["after"] == [head["revision"]]
    down = on_sqlite.document("-c", ini, "downgrade", "-r", "aaaa01", "--yes")
    assert down["after"] == ["aaaa01"]
    assert {one["table"] for one in down["losses"]} == {"tbbbb01", "tbbbb02"}
    assert recorded(str(on_sqlite.url)) == ["aaaa01"]
    assert "nothing to merge" in on_sqlite.refused("-c", ini, "merge")
