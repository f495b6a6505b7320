"""Waivers: what is read from a revision's comments, and what becomes of one that nothing needs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tbcv.findings import Finding, Severity
from tbcv.gate.waivers import Judgement, Waiver, apply_waivers, read_waivers
from tbcv.migrate.history import Revision

TODAY = date(2026, 11, 22)
BOTH = frozenset({"sqlite", "postgresql"})


def revision(directory: Path, text: str) -> Revision:
    """Write a revision file."""
    path = directory / "a1.py"
    path.write_text(text, encoding="utf-8")
    return Revision("a1", (), (), (), "", "", path)


def judged(directory: Path, text: str, *findings: Finding, tried: frozenset[str] = BOTH) -> Judgement:
    """Read a revision's waivers and apply them."""
    return apply_waivers(findings, [revision(directory, text)], today=TODAY, tried=tried)


def test_wherever_a_comment_stands(tmp_path: Path) -> None:
    """On a line of its own or behind code, in any case; the last day counts, and other comments are none."""
    text = (
        "# tbcv: allow data-loss because we copied it until 2026-11-22\n"
        "x = 1  # TBCV:  Allow IRREVERSIBLE  because: it is one, until we see, until 2027-01-01 \n"
        '"""\n# tbcv: allow fails because of nothing until 2027-01-01\n"""\n'
        "# tbcv is a tool\n"
    )
    first, second = read_waivers(revision(tmp_path, text), TODAY)
    assert isinstance(first, Waiver)
    assert isinstance(second, Waiver)
    assert (first.code, first.reason, first.until, first.line) == ("data-loss", "we copied it", TODAY, 1)
    assert (second.code, second.until, second.line) == ("irreversible", date(2027, 1, 1), 2)
    assert "until we see" in second.reason


@pytest.mark.parametrize(
    "words",
    [
        "allow",
        "allow data-loss",
        "data-loss because x until 2027-01-01",
        "allow data-loss because x until tomorrow",
        "",
    ],
)
def test_what_is_no_waiver(tmp_path: Path, words: str) -> None:
    """Whatever begins like one and is none is an error, since somebody relies on it."""
    (finding,) = read_waivers(revision(tmp_path, f"# tbcv: {words}\n"), TODAY)
    assert isinstance(finding, Finding)
    assert (finding.code, finding.severity) == ("waiver-malformed", Severity.ERROR)


@pytest.mark.parametrize(
    ("code", "tried", "severity"),
    [
        ("data-loss", BOTH, Severity.ERROR),
        ("data-loss", frozenset({"sqlite"}), Severity.WARNING),
        ("blocking-index-build", frozenset({"postgresql"}), Severity.ERROR),
        ("blocking-index-build", frozenset({"sqlite"}), Severity.WARNING),
        ("breaks-previous-release", frozenset({"postgresql"}), Severity.WARNING),
        ("no-such-code", frozenset(), Severity.ERROR),
        ("multiple-heads", frozenset(), Severity.ERROR),
    ],
)
def test_a_waiver_that_nothing_needs(tmp_path: Path, code: str, tried: frozenset[str], severity: Severity) -> None:
    """It is an error where all was tried on which its code can be found, and else a warning."""
    (finding,) = judged(tmp_path, f"# tbcv: allow {code} because x until 2027-01-01\n", tried=tried).findings
    assert (finding.code, finding.severity) == ("waiver-unused", severity)


def test_what_a_waiver_covers(tmp_path: Path) -> None:
    """Every finding of its code about its revision, and no other."""
    mine = [Finding("data-loss", Severity.ERROR, word, revision="a1") for word in ("one", "two")]
    other = Finding("data-loss", Severity.ERROR, "other", revision="b2")
    found = judged(tmp_path, "# tbcv: allow data-loss because x until 2027-01-01\n", *mine, other)
    assert found.findings == (other,)
    assert [one.finding for one in found.waived] == mine
