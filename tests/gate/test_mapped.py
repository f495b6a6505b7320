"""The models of two releases on each other's schemas, each imported in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.errors import ConfigurationError
from tbcv.gate.releases.compatibility import Compatibility, Verdict, check_compatibility
from tbcv.gate.releases.mapped import MappedClasses, Models
from tbcv.migrate.history import read_history
from tbcv.migrate.location import AlembicEnvironment, own_environment
from tbcv.settings import Settings
from tests.integration.synthetic import environment

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ADDITIVE, NEW_FIRST, BREAKING = Verdict.ADDITIVE, Verdict.NEEDS_NEW_CODE_FIRST, Verdict.BREAKING
dialects = pytest.mark.parametrize("dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
MODELS = """\
import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Enum, Float, ForeignKey, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, validates

print("imported")


class Base(DeclarativeBase):
    pass


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Owner(Base):
    __tablename__ = "owners"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "owner"}


class Firm(Owner):
    __tablename__ = "firms"
    id: Mapped[int] = mapped_column(ForeignKey("owners.id"), primary_key=True)
    number: Mapped[str] = mapped_column(String(4))
    __mapper_args__ = {"polymorphic_identity": "firm"}


class Thing(Base):
    __tablename__ = "things"
    __table_args__ = (CheckConstraint("price > 0 AND grade IN ('A', 'B')", name="some"),)
    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    size: Mapped[Size] = mapped_column(Enum(Size, name="size"))
    price: Mapped[float] = mapped_column(Numeric(6, 2))
    grade: Mapped[str] = mapped_column(String(1))
    weight: Mapped[float] = mapped_column(Float)
    note: Mapped[str | None] = mapped_column(String(20))
    document: Mapped[Any | None] = mapped_column(JSON)
    made_at: Mapped[datetime | None]
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id"))
    whole_code: Mapped[str | None] = mapped_column(ForeignKey("things.code"))
    owner: Mapped[Owner] = relationship()

    def __init__(self, code: str) -> None:
        self.code = code

    @validates("code")
    def _upper(self, _key: str, value: str) -> str:
        return value.upper()
"""
FIRST = """\
op.create_table("owners", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(20),
    nullable=False), sa.Column("kind", sa.String(10), nullable=False))
op.create_table("firms", sa.Column("id", sa.Integer(), sa.ForeignKey("owners.id"), primary_key=True),
    sa.Column("number", sa.String(4), nullable=False))
op.create_table("things", sa.Column("code", sa.String(8), primary_key=True),
    sa.Column("size", sa.Enum("SMALL", "LARGE", name="size", create_constraint=True), nullable=False),
    sa.Column("price", sa.Numeric(6, 2), nullable=False), sa.Column("grade", sa.String(1), nullable=False),
    sa.Column("weight", sa.Float(), nullable=False),
    sa.Column("note", sa.String(20)), sa.Column("document", sa.JSON()), sa.Column("made_at", sa.DateTime()),
    sa.Column("owner_id", sa.Integer(), sa.ForeignKey("owners.id"), nullable=False),
    sa.Column("whole_code", sa.String(8), sa.ForeignKey("things.code")),
    sa.CheckConstraint("price > 0 AND grade IN ('A', 'B')", name="some"))
"""
NULLABLE = 'op.add_column("things", sa.Column("more", sa.Text()))\n'
UNUSED = 'op.add_column("owners", sa.Column("unused", sa.Text()))\n'
UNUSED_DROPPED = 'with op.batch_alter_table("owners") as batch:\n    batch.drop_column("unused")\n'
DROPPED = 'with op.batch_alter_table("things") as batch:\n    batch.drop_column("note")\n'
OTHER_SPELLING = "op.execute(\"UPDATE owners SET kind = 'person' WHERE kind = 'owner'\")\n"
NEW_CHECK = 'with op.batch_alter_table("things") as batch:\n    batch.create_check_constraint("dear", "price <> 3")\n'


def release(directory: Path, models: str) -> Path:
    """Write the models of a release into a directory."""
    (directory / "app").mkdir(parents=True)
    (directory / "app" / "models.py").write_text(models)
    return directory


async def check(
    chain: AlembicEnvironment, server: str, dialect: Dialect, models: Models, *, last: int
) -> Compatibility:
    """Check the last revisions of a chain."""
    async with ScratchDatabases(Settings.from_env(scratch_database_url=server)) as scratch:
        revisions = read_history(chain).ordered()[-last:]
        async with MappedClasses(models) as classes:
            return await check_compatibility(chain, scratch, dialect, revisions, classes=classes)


@dialects
async def test_models_decide_what_is_used(tmp_path: Path, postgres_admin_url: str, dialect: Dialect) -> None:
    """A column that no model names may go; one that only the old models name may go once the new code is there."""
    new = MODELS.replace("    note: Mapped[str | None] = mapped_column(String(20))\n", "")
    models = Models("app.models:Base", release(tmp_path / "old", MODELS), release(tmp_path / "new", new))
    chain = environment(tmp_path, FIRST, NULLABLE, UNUSED, UNUSED_DROPPED, NEW_CHECK, DROPPED)
    found = await check(chain, postgres_admin_url, dialect, models, last=5)
    assert found.failure == ""
    assert [one.verdict for one in found.verdicts] == [ADDITIVE, ADDITIVE, ADDITIVE, NEW_FIRST, NEW_FIRST], (
        found.verdicts
    )
    assert [one.code for one in found.findings] == ["narrows-accepted-values", "breaks-previous-release"]
    certain = found.findings[1]
    assert certain.revision == "006"
    assert "note" in certain.message
    assert certain.evidence is not None
    assert certain.evidence.relation == "things"
    assert "Upgrade the database to 004. Deploy the new code" in found.deploy_order


@dialects
async def test_models_that_need_each_other_s_revision(
    tmp_path: Path, postgres_admin_url: str, dialect: Dialect
) -> None:
    """A renamed column breaks the old models after the revision and the new ones before it."""
    new = MODELS.replace("note: Mapped", "remark: Mapped")
    models = Models("app.models:Base", release(tmp_path / "old", MODELS), release(tmp_path / "new", new))
    renamed = (
        'with op.batch_alter_table("things") as batch:\n    batch.alter_column("note", new_column_name="remark")\n'
    )
    chain = environment(tmp_path, FIRST, renamed)
    found = await check(chain, postgres_admin_url, dialect, models, last=1)
    (verdict,) = found.verdicts
    assert verdict.verdict is BREAKING
    assert any("note" in one for one in verdict.reasons)
    assert any("remark" in one for one in verdict.reasons)
    assert "No order" in found.deploy_order


@dialects
async def test_models_that_no_schema_but_the_old_one_fits(
    tmp_path: Path, postgres_admin_url: str, dialect: Dialect
) -> None:
    """Models from which nobody has taken a dropped column yet fail after the revision, and not before it."""
    models = Models("app.models:Base", release(tmp_path / "old", MODELS), release(tmp_path / "new", MODELS))
    found = await check(environment(tmp_path, FIRST, DROPPED), postgres_admin_url, dialect, models, last=1)
    (verdict,) = found.verdicts
    assert verdict.verdict is NEW_FIRST, verdict.reasons


async def test_rows_that_the_old_models_cannot_read(tmp_path: Path, postgres_admin_url: str) -> None:
    """A revision that writes values which the old models do not know breaks them, though the schema stays."""
    new = MODELS.replace('"polymorphic_identity": "owner"', '"polymorphic_identity": "person"')
    models = Models("app.models:Base", release(tmp_path / "old", MODELS), release(tmp_path / "new", new))
    found = await check(environment(tmp_path, FIRST, OTHER_SPELLING), postgres_admin_url, "sqlite", models, last=1)
    (verdict,) = found.verdicts
    assert verdict.verdict is BREAKING, verdict


@dialects
async def test_the_models_of_tbcv(postgres_admin_url: str, dialect: Dialect) -> None:
    """The models of tbcv run on the schemas of its last revisions, every class and in every way."""
    models = Models("tbcv.core.database:Base", ROOT, ROOT)
    found = await check(own_environment(), postgres_admin_url, dialect, models, last=1)
    assert [one.verdict for one in found.verdicts] == [ADDITIVE], found.verdicts


@pytest.mark.parametrize("models", ["import nothing_of_that_name", "raise SystemExit(3)", "import os; os._exit(3)"])
async def test_models_that_cannot_be_imported(tmp_path: Path, postgres_admin_url: str, models: str) -> None:
    """Models that cannot be imported are an error in a line, not a verdict."""
    both = release(tmp_path / "old", models)
    with pytest.raises(ConfigurationError, match=r"app\.models:Base"):
        await check(
            environment(tmp_path, FIRST), postgres_admin_url, "sqlite", Models("app.models:Base", both, both), last=1
        )
