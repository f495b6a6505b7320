"""Pull requests, made by script on branches: every bad one is blocked, at the right line, and every good one passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.engine.scratch import ScratchDatabases
from tbcv.findings import Finding
from tbcv.gate.check import Change, check
from tbcv.gate.drift import ModelSource
from tbcv.gate.verdict import Verdict
from tests.gate.changes import PULL_REQUESTS, PullRequest, models
from tests.gate.repository import Repository

pytestmark = pytest.mark.anyio

ROWS = 120


async def judged(request: PullRequest, repository: Repository, scratch: ScratchDatabases) -> Verdict:
    """Let the gate judge a branch, on both engines."""
    metadata = models()
    if request.models is not None:
        request.models(metadata)
    source = ModelSource(metadata.create_all, "", repository.root) if request.ledger else None
    change = Change(repository.environment, scratch, ("sqlite", "postgresql"), source, ROWS)
    return await check(change, base="main")


def told(finding: Finding, verdict: Verdict) -> tuple[str, str, int | None]:
    """Return code, file and line of a finding."""
    assert finding.location is not None, finding
    return finding.code, verdict.place(finding.location.path), finding.location.line


@pytest.mark.postgresql
@pytest.mark.parametrize("request_", PULL_REQUESTS, ids=lambda one: one.name)
async def test_pull_request(
    request_: PullRequest, released: Repository, scratch: ScratchDatabases, tmp_path: Path, postgres_admin_url: str
) -> None:
    """The gate finds what is wrong with a branch, at its file and line, and nothing else."""
    repository = released.copy(tmp_path / "project")
    if not request_.ledger:
        repository.git("rm", "--quiet", "-r", "migrations/ledger", "migrations/schema")
        repository.commit("without a ledger")
    repository.branch()
    request_.change(repository)
    if request_.measured:
        await repository.measure(postgres_admin_url)
    repository.commit()
    verdict = await judged(request_, repository, scratch)
    found = {(*told(one, verdict), one.dialect) for one in verdict.blocking}
    expected = {
        (one.code, one.file, one.line(repository.root), dialect)
        for one in request_.expected
        for dialect in one.dialects or (None,)
    }
    assert found == expected, [one.message for one in verdict.findings]
    assert verdict.passed is not bool(request_.expected)


def test_there_are_enough() -> None:
    """No two are called the same, and there are at least sixty."""
    names = [one.name for one in PULL_REQUESTS]
    assert len(set(names)) == len(names) >= 60
