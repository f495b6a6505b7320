"""The table of hazards keeps its word: each recipe is hazard-free, and each code that can be seen is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tbcv.engine.scratch import ScratchDatabases
from tbcv.findings import Finding, Severity
from tbcv.gate.judgement.hazards import HAZARDS, judge
from tbcv.gate.rehearsals.rehearsal import rehearse
from tbcv.migrate.history import read_history
from tbcv.settings import Settings
from tests.conftest import ENGINES
from tests.gate import corpus

Dialect = Literal["sqlite", "postgresql"]
RECIPE = """
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "start"


{body}
"""


OWN = """
from sqlalchemy import MetaData

from tbcv.migrate.environment import run

run(MetaData(), rendered_types={})
"""


async def judged(
    directory: Path, dialect: Dialect, revisions: dict[str, str], env: str = corpus.ENVIRONMENT
) -> dict[str, list[Finding]]:
    """Rehearse revisions that follow the base of the corpus and return what is found about each."""
    environment = corpus.environment(directory / "migrations", {"start": corpus.BASE} | revisions, env)
    history = read_history(environment)
    async with ScratchDatabases(Settings.from_env()) as scratch:
        new = tuple(history.revisions[name] for name in revisions)
        rehearsal = await rehearse(environment, scratch, dialect, new, rows=200)
    found: dict[str, list[Finding]] = {name: [] for name in revisions}
    for finding in judge(rehearsal):
        found[str(finding.revision)].append(finding)
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_recipes_are_safe(dialect: Dialect, tmp_path: Path) -> None:
    """Whoever follows the advice of a hazard is not told of another one."""
    revisions = {}
    for hazard in HAZARDS:
        if dialect in hazard.dialects:
            name = hazard.code[:32].replace("-", "_")
            revisions[name] = RECIPE.format(name=name, body=hazard.recipe)
    found = await judged(tmp_path, dialect, revisions)
    assert {name: [(one.code, one.message) for one in findings] for name, findings in found.items() if findings} == {}


def test_the_table_is_whole() -> None:
    """Codes stand once and in lower case, and every hazard says what, why and what instead."""
    codes = [hazard.code for hazard in HAZARDS]
    assert len(set(codes)) == len(codes)
    for hazard in HAZARDS:
        assert hazard.code == hazard.code.lower().replace("_", "-").replace(" ", "-")
        assert all((hazard.title, hazard.observed, hazard.why, hazard.hint))
        compile(hazard.recipe, hazard.code, "exec")


CODES = Path(__file__).with_name("codes.txt")
UPGRADE_LINE = 10
"""The line of `def upgrade()` in the revisions of the corpus."""


@pytest.mark.anyio
@pytest.mark.postgresql
async def test_codes_and_lines(tmp_path: Path) -> None:
    """A finding names what it is and points at the operation that did it, in a batch and in a loop, too."""
    blocks = corpus.blocks(CODES)
    revisions = {head.split()[0]: corpus.revision(head.split()[0], up, down) for head, up, down in blocks}
    found = await judged(tmp_path, "postgresql", revisions)
    for head, _, _ in blocks:
        name, _, code, _, line = head.split()
        places = {one.code: one.location and one.location.line for one in found[name]}
        assert code in places, (name, places)
        if line != "-":
            assert places[code] == UPGRADE_LINE + int(line), (name, places)


@pytest.mark.anyio
@pytest.mark.parametrize("env", [corpus.ENVIRONMENT, OWN], ids=["another's", "tbcv's"])
async def test_rebuild_on_sqlite(tmp_path: Path, env: str) -> None:
    """A table that SQLite builds anew is named with the batch that makes it do so, whatever watches the rebuild."""
    text = corpus.revision(
        "rebuild",
        'op.execute("SELECT 1")\nwith op.batch_alter_table("tags") as batch:\n'
        '    batch.alter_column("name", type_=sa.String(60), existing_type=sa.String(50))',
        'with op.batch_alter_table("tags") as batch:\n'
        '    batch.alter_column("name", type_=sa.String(50), existing_type=sa.String(60))',
    )
    (finding,) = (await judged(tmp_path, "sqlite", {"rebuild": text}, env))["rebuild"]
    assert (finding.code, finding.severity) == ("sqlite-table-rebuild", Severity.ERROR)
    assert finding.location is not None
    assert finding.location.line == UPGRADE_LINE + 2
    assert "tags" in finding.message
    assert finding.evidence is not None
    assert finding.evidence.statement == "ALTER TABLE _alembic_tmp_tags RENAME TO tags"
    assert finding.depends_on


@pytest.mark.anyio
async def test_columns_that_go_in_rebuilds(tmp_path: Path) -> None:
    """A column that goes while SQLite builds its table anew is lost where that table is, whatever else is rebuilt."""
    text = corpus.revision(
        "rebuilds",
        'with op.batch_alter_table("tags", recreate="always") as batch:\n    batch.drop_column("name")\n'
        'with op.batch_alter_table("customers", recreate="always") as batch:\n    batch.drop_column("bio")',
        "pass",
    )
    found = (await judged(tmp_path, "sqlite", {"rebuilds": text}))["rebuilds"]
    lines = {
        one.evidence.relation: one.location.line - UPGRADE_LINE
        for one in found
        if one.code == "data-loss" and one.evidence and one.location and one.location.line
    }
    assert lines == {"tags.name": 1, "customers.bio": 3}


@pytest.mark.anyio
async def test_models_in_a_revision(tmp_path: Path) -> None:
    """An import of the application's models is found, one of something else is not."""
    application = tmp_path / "migrations" / "shop"
    application.mkdir(parents=True)
    (application / "__init__.py").write_text("")
    (application / "models.py").write_text("class Item:\n    __tablename__ = 'items'\n")
    (application / "words.py").write_text("WORD = 'a'\n")
    (tmp_path / "migrations" / "alembic.ini").write_text("")
    ini = "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parents[1]))\n"
    revisions = {
        "models": corpus.revision("models", "pass", head=f"{ini}from shop.models import Item\n"),
        "words": corpus.revision("words", "pass", head=f"{ini}from shop import words\n"),
    }
    found = await judged(tmp_path, "sqlite", revisions)
    assert [one.code for one in found["models"]] == ["imports-models"]
    assert found["words"] == []
