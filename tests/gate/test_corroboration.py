"""What a release might write counts as written where there are rows that say so."""

from __future__ import annotations

import pytest

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.findings import Effect, Evidence, Finding, Severity
from tbcv.gate.check import Change, check
from tbcv.gate.judgement.corroboration import corroborated
from tests.gate.repository import Repository

BOTH: tuple[Dialect, ...] = ("sqlite", "postgresql")
BREAKS = (Effect.BREAKS_PREVIOUS_RELEASE,)
UNIQUE = 'op.create_index("ix_name", "customers", ["name"], unique=True)'
FOLDED = """
op.execute("UPDATE orders SET note = 'open' WHERE note = 'new'")
op.execute("UPDATE orders SET note = 'open' WHERE note <> 'done'")
with op.batch_alter_table("orders") as batch:
    batch.create_check_constraint("known_note", "note IN ('open', 'done')")
"""
SHORTER = """
with op.batch_alter_table("orders") as batch:
    batch.create_check_constraint("short_note", "length(note) < 200")
"""


def finding(code: str, relation: str, revision: str = "003", dialect: Dialect = "sqlite") -> Finding:
    """Return something found about a relation."""
    evidence = Evidence(f"UPDATE {relation}", relation=relation)
    return Finding(code, Severity.WARNING, f"about {relation}", "", revision, dialect=dialect, evidence=evidence)


@pytest.mark.parametrize(
    "other",
    [
        finding("data-loss", "customers.name"),
        finding("data-loss", "orders.note", revision="004"),
        finding("fails-on-existing-data", "orders", dialect="postgresql"),
        finding("fails-on-existing-data", "customers"),
        finding("table-rewrite", "orders"),
    ],
)
def test_what_says_nothing_of_it(other: Finding) -> None:
    """Another table, another revision, another engine and another hazard leave a suspicion what it is."""
    both = [finding("narrows-accepted-values", "orders"), other]
    assert list(corroborated(both)) == both


@pytest.mark.anyio
@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("up", "effects"),
    [
        pytest.param(UNIQUE, BREAKS, id="rows are refused"),
        pytest.param(FOLDED, BREAKS, id="rows are made to fit"),
        pytest.param(
            'op.execute("DELETE FROM orders WHERE length(note) > 199")' + SHORTER, BREAKS, id="rows have to go"
        ),
        pytest.param(
            'op.execute("UPDATE customers SET name = upper(name)")' + SHORTER.replace("< 200", "< 201 OR id < 0"),
            None,
            id="no value is refused",
        ),
    ],
)
async def test_values_that_are_refused(
    repository: Repository, scratch: ScratchDatabases, up: str, effects: tuple[Effect, ...] | None
) -> None:
    """The warning claims that the previous release breaks where the rehearsal met such values, and else does not."""
    repository.revision("003", "002", up)
    repository.commit()
    verdict = await check(Change(repository.environment, scratch, BOTH, None, 120), base="main")
    said = [one for one in verdict.findings if one.code == "narrows-accepted-values"]
    assert {(one.dialect, one.effects) for one in said} == (
        set() if effects is None else {(dialect, effects) for dialect in BOTH}
    ), [one.message for one in verdict.findings]
