"""What a revision is said to do is what it does: hazards are found, and what only looks like one is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from tbcv.engine.engines import administration_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import parse_database_url
from tbcv.findings import Effect
from tbcv.gate.judgement.hazards import judge
from tbcv.gate.rehearsals.rehearsal import rehearse
from tbcv.migrate.history import read_history
from tbcv.settings import Settings
from tests.conftest import ENGINES
from tests.gate import corpus

ROWS = 150
# What takes more than tables: triggers put aside, and an index marked as unfinished, which only a superuser may.
OF_A_SUPERUSER = (
    *("build-unguarded-hazard", "build-skipped-hazard", "build-skipped-safe", "skipped-the-second-time-hazard"),
    *("inserted-over-hazard", "inserted-over-safe", "default-reference-hazard", "default-reference-safe"),
    *("delete-of-a-kind-safe", "rows-of-others-hazard", "rows-left-behind-safe", "index-safe"),
)
ONLY_BY_MARKING = {"build-skipped-hazard"}


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_effects_of_the_corpus(dialect: Literal["sqlite", "postgresql"], tmp_path: Path) -> None:
    """Each revision of the corpus is found to have its effects, and no others."""
    environment, cases = corpus.write(tmp_path / "migrations", dialect)
    history = read_history(environment)
    revisions = tuple(history.revisions[name] for name in cases)
    async with ScratchDatabases(Settings.from_env()) as scratch:
        rehearsal = await rehearse(environment, scratch, dialect, revisions, rows=ROWS)
    found: dict[str, set[Effect]] = {name: set() for name in cases}
    for finding in judge(rehearsal):
        found[str(finding.revision)].update(finding.effects)
    right, missed, wrong = Counter[Effect](), Counter[Effect](), Counter[Effect]()
    report = []
    for name, case in cases.items():
        expected = case.expected(dialect) or frozenset()
        right.update(expected & found[name])
        missed.update(expected - found[name])
        wrong.update(found[name] - expected)
        if expected != found[name]:
            report.append(f"{case.name}: expected {sorted(expected)}, found {sorted(found[name])}")
    recall = right.total() / (right.total() + missed.total())
    precision = right.total() / (right.total() + wrong.total())
    assert not report, f"recall {recall:.3f}, precision {precision:.3f}\n" + "\n".join(report)


@pytest.mark.anyio
async def test_a_role_that_may_only_create_databases(tmp_path: Path, postgres_admin_url: str) -> None:
    """What an ordinary role may not do is left undone, and nothing but an index kept unfinished goes unnoticed."""
    environment, cases = corpus.write(tmp_path / "migrations", "postgresql")
    chosen = {name: case for name, case in cases.items() if case.name in OF_A_SUPERUSER}
    assert len(chosen) == len(OF_A_SUPERUSER)
    role = f"tbcv_test_{uuid4().hex}"
    url = make_url(postgres_admin_url).set(username=role, password="secret")
    engine = administration_engine(parse_database_url(postgres_admin_url))
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'secret'")
            try:
                given = url.render_as_string(hide_password=False)
                async with ScratchDatabases(Settings.from_env(scratch_database_url=given)) as scratch:
                    revisions = tuple(read_history(environment).revisions[name] for name in chosen)
                    rehearsal = await rehearse(environment, scratch, "postgresql", revisions, rows=ROWS)
            finally:
                await connection.exec_driver_sql(f"DROP ROLE {role}")
    finally:
        await engine.dispose()
    found: dict[str, set[Effect]] = {name: set() for name in chosen}
    for finding in judge(rehearsal):
        found[str(finding.revision)].update(finding.effects)
    for name, case in chosen.items():
        assert found[name] == (set() if case.name in ONLY_BY_MARKING else case.expected("postgresql")), case.name
