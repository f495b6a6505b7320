"""What a revision is said to do is what it does: hazards are found, and what only looks like one is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from tbcv.engine.scratch import ScratchDatabases
from tbcv.findings import Effect
from tbcv.gate.judgement.hazards import judge
from tbcv.gate.rehearsals.rehearsal import rehearse
from tbcv.migrate.history import read_history
from tbcv.settings import Settings
from tests.conftest import ENGINES
from tests.gate import corpus

ROWS = 150


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
